//! What a figure was measured on.

use std::time::{Duration, Instant};

use infer::{InstructionSet, Precision};

/// The best rate of `threads` threads at once, in operations per second, of several tries.
pub(super) fn peak(set: InstructionSet, precision: Precision, threads: usize) -> f64 {
    const TRIES: usize = 5;
    const TRY: Duration = Duration::from_millis(40);
    let one = || {
        let start = Instant::now();
        let mut operations = 0;
        while start.elapsed() < TRY {
            operations += infer::burst(set, precision);
        }
        operations as f64 / start.elapsed().as_secs_f64()
    };
    let all = || -> f64 {
        std::thread::scope(|scope| {
            let running: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
            running
                .into_iter()
                .map(|thread| thread.join().unwrap_or(0.0))
                .sum()
        })
    };
    (0..TRIES).map(|_| all()).fold(0.0, f64::max)
}
