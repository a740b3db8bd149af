//! What the program runs on.

/// The processor's name, as far as the system tells.
pub fn processor() -> String {
    let told = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = told.lines().find_map(|line| line.strip_prefix("model name"));
    let name = name
        .and_then(|rest| rest.split_once(':'))
        .map(|(_, name)| name.trim());
    name.unwrap_or(std::env::consts::ARCH).to_owned()
}

/// Memory of this process that is in use, in bytes, and its peak: on Linux.
pub fn memory() -> Option<(u64, u64)> {
    let told = std::fs::read_to_string("/proc/self/status").ok()?;
    let bytes = |key: &str| {
        let line = told.lines().find_map(|line| line.strip_prefix(key))?;
        let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(1024 * kib)
    };
    Some((bytes("VmRSS:")?, bytes("VmHWM:")?))
}
