//! Limits of what is told of a run beside its records.

use std::time::Duration;

/// Bytes of names of keys that qualify and stay (protected, or only reported) that a scan task enters into the audit
/// trail: about 2,000 of them. What is deleted stands there whole, and must not be pushed out by what is not.
pub const KEPT_NAMES_BYTES_MAX: usize = 64 << 10;

/// How often a run tells those who follow its events how far it is.
pub const PROGRESS_EVERY: Duration = Duration::from_secs(5);

/// How often a task tells how far it is.
pub const TASK_NOTE_EVERY: Duration = Duration::from_secs(1);

/// Notes of tasks that wait within a process; the oldest are lost. A thousand tasks at work tell as many in a second.
pub const TASK_NOTES_KEPT: usize = 1_000;

/// How long NATS may be away before a process that drives one run gives up: another one takes the run up when NATS is
/// back, as soon as somebody serves or attaches to it.
pub const NATS_GONE_AFTER: Duration = Duration::from_secs(900);

/// How often whoever drives a run stores how far it is, for those who ask.
pub const SO_FAR_EVERY: Duration = Duration::from_secs(1);
