//! Limits of what is told of alerts: how long and how often it is tried.

use std::time::Duration;

/// Notices of a job that wait for their delivery; the oldest go first.
pub const NOTICES_MAX: usize = 100;

/// How long one try at one receiver may take. Three posts with the pauses between them, and with what a `Retry-After`
/// asks for, take 35 s at most.
pub const NOTICE_TRY_TIMEOUT: Duration = Duration::from_secs(60);

/// The pause after the first try that failed; it doubles.
pub const NOTICE_PAUSE: Duration = Duration::from_secs(10);

/// The longest pause between two tries. A receiver that was down gets what waits within this time.
pub const NOTICE_PAUSE_MAX: Duration = Duration::from_secs(300);

/// How long a notice is tried.
pub const NOTICE_LIFE: Duration = Duration::from_secs(86_400);

/// How long a process may be at a try before another one takes the notice over: it has ended meanwhile. Four minutes
/// longer than a try may take, so that clocks may differ by so much.
pub const NOTICE_CLAIM: Duration = Duration::from_secs(300);

/// Rounds of deliveries at the end of a run, before it has its result. What is left then is delivered later.
pub const NOTICE_ROUNDS: usize = 4;
