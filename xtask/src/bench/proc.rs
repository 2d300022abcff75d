//! Figures of a running process from Linux's `/proc`. They are unavailable once the process has ended.

use std::time::Duration;

/// The largest resident memory of a process so far (`VmHWM`).
pub(crate) fn peak_memory_kb(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.split_whitespace().next()?.parse().ok()
}

/// User and system time of a process so far, in steps of 10 ms, without its children.
pub(crate) fn cpu(pid: u32) -> Option<Duration> {
    cpu_of(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// A process and all its descendants.
pub(crate) fn tree(pid: u32) -> Vec<u32> {
    let mut tree = vec![pid];
    let mut looked_at = 0;
    while let Some(parent) = tree.get(looked_at) {
        let path = format!("/proc/{parent}/task/{parent}/children");
        let children = std::fs::read_to_string(path).unwrap_or_default();
        tree.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        looked_at += 1;
    }
    tree
}

/// The number of processors.
pub(crate) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// A program's name may contain blanks and parentheses, so fields are counted from its end. They are in units of 1/100
/// s on all architectures that Linux supports today.
fn cpu_of(stat: &str) -> Option<Duration> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(11).map_while(|field| field.parse::<u64>().ok());
    Some(Duration::from_millis(10 * (times.next()? + times.next()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_process_is_known() {
        let pid = std::process::id();
        assert!(peak_memory_kb(pid).unwrap() > 100);
        assert!(cpu(pid).is_some() && tree(pid).starts_with(&[pid]));
        // No process has this number.
        assert_eq!((peak_memory_kb(u32::MAX), cpu(u32::MAX)), (None, None));
    }

    #[test]
    fn names_of_programs_do_not_confuse_the_fields() {
        let stat = "12 (a) b (c) S 1 12 12 0 -1 4194560 100 0 0 0 150 25 0 0 20 0 1 0 100 1000 10";
        assert_eq!(cpu_of(stat), Some(Duration::from_millis(1_750)));
        assert_eq!(cpu_of("12 (a) S 1"), None);
    }
}
