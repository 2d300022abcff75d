//! Limits of what is told of a run as it goes.

use std::time::Duration;

/// How often a task tells how far it is.
pub const TASK_NOTE_EVERY: Duration = Duration::from_secs(1);

/// Notes of tasks that wait within a process; the oldest are lost. A thousand tasks at work tell as many in a second.
pub const TASK_NOTES_KEPT: usize = 1_000;

/// How long NATS may be away before a process that drives one run gives up: another one takes the run up when NATS is
/// back, as soon as somebody serves or attaches to it.
pub const NATS_GONE_AFTER: Duration = Duration::from_secs(900);

/// How often whoever drives a run stores how far it is, for those who ask.
pub const SO_FAR_EVERY: Duration = Duration::from_secs(1);
