//! Limits of the shutdown of a process.

use std::time::Duration;

/// How long a process may run after the first signal: twice the time that any command takes to stop.
pub const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a process may run after the second signal, to print its last message.
pub const FORCED_EXIT_TIMEOUT: Duration = Duration::from_secs(1);
