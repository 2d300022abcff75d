//! Limits of the shutdown of a process.

use std::time::Duration;

/// How long a process may run after the first signal: twice the time that any command takes to stop.
pub const GOING_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a process may run after the second signal, to print its last message.
pub const LAST_WORDS_TIMEOUT: Duration = Duration::from_secs(1);
