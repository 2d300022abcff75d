//! The identity of this process, for locks, logs and histories.

/// `process 4711 on host-1`.
#[must_use]
pub fn myself() -> String {
    format!("process {} on {}", std::process::id(), hostname())
}

/// The host name.
#[must_use]
pub fn hostname() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if name.trim().is_empty() { "unknown".to_owned() } else { name.trim().to_owned() }
}
