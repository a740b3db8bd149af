//! What each kernel and product takes.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use candle_core::Result;
use candle_core::cuda_backend::WrapErr;
use candle_core::cuda_backend::cudarc::driver::CudaStream;

use super::lock;

/// Launches and seconds of a kernel, or of the matrix products.
#[derive(Debug, Clone, PartialEq)]
pub struct Share {
    /// The kernel's name; for matrix products their sizes, by columns.
    pub name: String,
    /// How often it was launched.
    pub launches: u64,
    /// Seconds that it took, each launch by itself.
    pub seconds: f64,
}

type Profile = HashMap<String, (u64, f64)>;
static PROFILE: Mutex<Option<Profile>> = Mutex::new(None);
static PROFILES: AtomicBool = AtomicBool::new(false);

/// Runs `work` and says what its kernels took, the largest share first. Each launch waits for the one before it, so
/// the whole takes longer than usual.
///
/// # Errors
/// What `work` says.
pub fn profile<E>(work: impl FnOnce() -> std::result::Result<(), E>) -> std::result::Result<Vec<Share>, E> {
    *lock(&PROFILE) = Some(Profile::new());
    PROFILES.store(true, Ordering::Relaxed);
    let done = work();
    PROFILES.store(false, Ordering::Relaxed);
    let found = lock(&PROFILE).take().unwrap_or_default();
    done?;
    let share = |(name, (launches, seconds))| Share {
        name,
        launches,
        seconds,
    };
    let mut shares: Vec<Share> = found.into_iter().map(share).collect();
    shares.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    Ok(shares)
}

/// Does one launch, and measures it while a profile is taken.
pub(super) fn measured<T>(
    stream: &CudaStream,
    name: impl FnOnce() -> String,
    launch: impl FnOnce() -> Result<T>,
) -> Result<T> {
    if !PROFILES.load(Ordering::Relaxed) {
        return launch();
    }
    stream.synchronize().w()?;
    let start = Instant::now();
    let result = launch()?;
    stream.synchronize().w()?;
    if let Some(profile) = lock(&PROFILE).as_mut() {
        let share = profile.entry(name()).or_default();
        share.0 += 1;
        share.1 += start.elapsed().as_secs_f64();
    }
    Ok(result)
}
