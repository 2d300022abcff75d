//! Limits of a process as a whole: how it ends.

use std::time::Duration;

/// How long a process may go on after the first signal, whatever it does: twice what any command grants itself.
pub const GOING_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a process may go on after the second signal, to say that it leaves.
pub const LAST_WORDS_TIMEOUT: Duration = Duration::from_secs(1);
