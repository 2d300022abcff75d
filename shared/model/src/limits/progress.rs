//! Limits of the progress reports of a run.

use std::time::Duration;

/// Bytes of names of keys that qualify but stay (protected, or only reported) that a scan task adds to the audit log:
/// about 2,000 of them. Deleted keys are listed in full, and must not be displaced by the others.
pub const KEPT_NAMES_BYTES_MAX: usize = 64 << 10;

/// How often a run publishes its progress to subscribers of its events.
pub const PROGRESS_EVERY: Duration = Duration::from_secs(5);

/// How often a task reports its progress.
pub const TASK_NOTE_EVERY: Duration = Duration::from_secs(1);

/// Progress notes of tasks that are buffered in a process; the oldest are dropped. A thousand concurrent tasks send as
/// many in a second.
pub const TASK_NOTES_KEPT: usize = 1_000;

/// How long NATS may be unreachable before a process that drives one run exits. Another process that serves or
/// attaches to the run takes over when NATS is back.
pub const NATS_GONE_AFTER: Duration = Duration::from_secs(900);

/// How often the driver of a run stores its progress for clients that query it.
pub const SO_FAR_EVERY: Duration = Duration::from_secs(1);
