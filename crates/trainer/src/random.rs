//! Random choices that are named, not drawn in turn: the stream of a purpose at a step is always the same.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;

/// The seed of the dropout of a batch.
pub(crate) fn pass(seed: u64, number: u64) -> u64 {
    seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// The stream for `purpose` at number `counter` (a step or an epoch) of a run with this seed.
pub fn stream(seed: u64, purpose: &str, counter: u64) -> ChaCha8Rng {
    // FNV-1a over the purpose, so that two purposes never share a key for the same seed.
    let key = purpose.bytes().fold(0xcbf2_9ce4_8422_2325 ^ seed, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mut random = ChaCha8Rng::seed_from_u64(key);
    random.set_stream(counter);
    random
}
