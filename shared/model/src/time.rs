//! The system clock, for code that cannot get the time as an argument.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::{SignedDuration, Timestamp};

/// The clock of a simulation, in place of the system's.
static SIMULATED: OnceLock<fn() -> Timestamp> = OnceLock::new();

/// How far [`now`] is ahead of the system clock, in milliseconds.
static AHEAD_MS: AtomicI64 = AtomicI64::new(0);

/// The time.
#[must_use]
pub fn now() -> Timestamp {
    let time = SIMULATED.get().map_or_else(Timestamp::now, |clock| clock());
    time + SignedDuration::from_millis(AHEAD_MS.load(Ordering::Relaxed))
}

/// The time, in milliseconds since the epoch.
#[must_use]
pub fn now_ms() -> u64 {
    u64::try_from(now().as_millisecond()).unwrap_or_default()
}

/// Sets the clock of this process to `time`, for tests that go through weeks.
#[doc(hidden)]
pub fn set(time: Timestamp) {
    let ahead = time.duration_since(Timestamp::now());
    AHEAD_MS.store(i64::try_from(ahead.as_millis()).unwrap_or(i64::MAX), Ordering::Relaxed);
}

/// Replaces the clock of this process, for simulations. The first call counts.
#[doc(hidden)]
pub fn simulate(clock: fn() -> Timestamp) {
    let _ = SIMULATED.set(clock);
}

/// Whether the clock of this process is simulated.
#[doc(hidden)]
#[must_use]
pub fn is_simulated() -> bool {
    SIMULATED.get().is_some()
}

/// A time in milliseconds since the epoch, as RFC 3339 in UTC.
#[must_use]
pub fn rfc3339(ms: u64) -> String {
    let stamp = i64::try_from(ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    stamp.unwrap_or(Timestamp::UNIX_EPOCH).to_string()
}
