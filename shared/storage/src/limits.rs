//! Limits that are not settings: name, unit, and the reason for the size.

use std::time::Duration;

/// Tasks in one record; longer lists are stored in parts.
pub const LIST_TASKS_MAX: usize = 500;

/// The ack deadline: a message that is not acknowledged in this time is redelivered.
pub const ACK_WAIT: Duration = Duration::from_secs(30);

/// Entries of the history file, which is used without NATS: an hourly snapshot for months.
pub const FILE_ENTRIES_MAX: usize = 10_000;

/// Obsolete lines of that file before it is compacted.
pub const FILE_LINES_SPARE: u64 = 200;

/// Bytes of the history file. At half of this it is compacted to a quarter.
pub const HISTORY_FILE_BYTES_MAX: u64 = 64 << 20;

/// Bytes of one of its lines: an entry, at most as large as a NATS message, as escaped text.
pub const HISTORY_LINE_BYTES_MAX: u64 = 4 << 20;

/// The largest revision that is read from a file: the exact range of a JSON number. Revisions grow by one with each
/// entry.
pub const REVISION_MAX: u64 = 1 << 53;

/// How long to try to lock a file. Other processes hold the lock for milliseconds.
pub const FILE_LOCK_WAIT: Duration = Duration::from_secs(5);

/// The pause between two tries.
pub const FILE_LOCK_POLL: Duration = Duration::from_millis(10);

/// Time limit for using a file, including the wait for its lock.
pub const FILE_TIMEOUT: Duration = Duration::from_secs(30);

/// Progress notes of tasks that are buffered in a process; the oldest are dropped. A thousand concurrent tasks send as
/// many in a second.
pub const TASK_NOTES_KEPT: usize = 1_000;
