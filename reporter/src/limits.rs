//! Limits that are not settings: name, unit, and the reason for the size.

use std::time::Duration;

/// Reports of a job that are kept in a directory; the oldest are removed first.
pub const REPORTS_KEPT: usize = 100;

/// Pending notifications of a job, two for each rule among them; the oldest are dropped first.
pub const NOTIFICATIONS_MAX: usize = 300;

/// Time limit for one attempt at one receiver. Three posts with the pauses between them, including a `Retry-After`,
/// take at most 35 s.
pub const NOTIFICATION_TRY_TIMEOUT: Duration = Duration::from_secs(60);

/// The longest pause between two attempts. A receiver that was down gets pending notifications within this time.
pub const NOTIFICATION_PAUSE_MAX: Duration = Duration::from_secs(300);

/// How long delivery is attempted.
pub const NOTIFICATION_LIFE: Duration = Duration::from_secs(86_400);

/// How long a process may claim a notification before another one takes it over, because the first must have ended.
/// Four minutes longer than the time limit, to allow for clock skew.
pub const NOTIFICATION_CLAIM: Duration = Duration::from_secs(300);

/// Delivery passes at the end of a run, before it has its result. The rest is delivered later.
pub const NOTIFICATION_ROUNDS: usize = 4;
