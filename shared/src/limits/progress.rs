//! Limits of what is told of a run as it goes.

use std::time::Duration;

/// How often a task tells how far it is.
pub const TASK_NOTE_EVERY: Duration = Duration::from_secs(1);

/// Notes of tasks that wait within a process; the oldest are lost. A thousand tasks at work tell as many in a second.
pub const TASK_NOTES_KEPT: usize = 1_000;

/// How often whoever drives a run stores how far it is, for those who ask.
pub const SO_FAR_EVERY: Duration = Duration::from_secs(1);
