//! Limits that are not settings: name, unit, and the reason for the size.

use std::time::Duration;

/// How long a process waits for another one that writes to the file. Other processes write for milliseconds.
pub const LOCK_WAIT: Duration = Duration::from_secs(5);

/// How long it waits again after it has waited so long in vain, until a write succeeds: work that must end because of that
/// does not wait for each of its writes.
pub const LOCK_WAIT_AGAIN: Duration = Duration::from_millis(100);

/// The pause between two tries to open a file that another process is creating.
pub const LOCK_POLL: Duration = Duration::from_millis(10);

/// Time limit of one operation, including the wait for other processes.
pub const OPERATION_TIMEOUT: Duration = Duration::from_secs(30);

/// Writes that are committed together. More wait for the next commit.
pub const GROUP_WRITES_MAX: usize = 256;

/// Bytes of the write-ahead log that are kept between commits. It grows beyond this while a large write lasts.
pub const LOG_BYTES_KEPT: u64 = 16 << 20;

/// How often a watch looks for entries of other processes. Those of this process wake it at once.
pub const WATCH_POLL: Duration = Duration::from_millis(200);

/// How long events are kept, as in NATS.
pub const EVENTS_KEPT: Duration = Duration::from_secs(7 * 86_400);

/// How long counter snapshots are kept, as in NATS.
pub const SAMPLES_KEPT: Duration = Duration::from_secs(100 * 86_400);

/// How long specs and results of runs are kept, for `runs show` and `runs report`.
pub const RESULTS_KEPT: Duration = Duration::from_secs(100 * 86_400);

/// How long it is kept that a run was started at its due time: longer than the time between two of a yearly schedule.
pub const DUE_TIMES_KEPT: Duration = Duration::from_secs(400 * 86_400);

/// Runs whose line in the history is kept. NATS keeps `[nats] history_runs`.
pub const HISTORY_RUNS_KEPT: u64 = 10_000;

/// Bytes of the whole file. Beyond it, the audit trail of the oldest runs is removed.
pub const FILE_BYTES_MAX: u64 = 1 << 30;

/// Pages that are given back to the file system in one step, so that no other write waits for long.
pub const VACUUM_PAGES: u64 = 1_000;

/// Bytes of what a service says about itself: an address and the names of its jobs.
pub const NOTICE_BYTES_MAX: u64 = 1 << 20;

/// Bytes of a line of the former history file.
pub const OLD_LINE_BYTES_MAX: u64 = 4 << 20;

/// Bytes of the former history file.
pub const OLD_FILE_BYTES_MAX: u64 = 64 << 20;
