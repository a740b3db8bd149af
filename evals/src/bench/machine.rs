//! What a figure was measured on.

use std::time::{Duration, Instant};

use infer::{InstructionSet, Precision};

/// The processor's name, as far as the system tells.
pub(super) fn processor() -> String {
    let told = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = told.lines().find_map(|line| line.strip_prefix("model name"));
    let name = name
        .and_then(|rest| rest.split_once(':'))
        .map(|(_, name)| name.trim());
    name.unwrap_or(std::env::consts::ARCH).to_owned()
}

/// Memory of this process that is in use, in bytes, and its peak: on Linux.
pub(super) fn memory() -> Option<(u64, u64)> {
    let told = std::fs::read_to_string("/proc/self/status").ok()?;
    let bytes = |key: &str| {
        let line = told.lines().find_map(|line| line.strip_prefix(key))?;
        let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(1024 * kib)
    };
    Some((bytes("VmRSS:")?, bytes("VmHWM:")?))
}

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
