//! Limits that are not settings: name, unit, and the reason for the size.

use std::time::Duration;

/// Tasks in one record; longer lists are stored in parts.
pub const LIST_TASKS_MAX: usize = 500;

/// The ack deadline: a message that is not acknowledged in this time is redelivered.
pub const ACK_WAIT: Duration = Duration::from_secs(30);

/// Characters of a name that a worker says of itself.
pub const WORKER_NAME_CHARS_MAX: usize = 100;

/// Progress notes of tasks that are buffered in a process; the oldest are dropped. A thousand concurrent tasks send as
/// many in a second.
pub const TASK_NOTES_KEPT: usize = 1_000;
