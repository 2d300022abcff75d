//! The clock, where the core cannot be told the time as an argument.

use jiff::Timestamp;

/// The time, in milliseconds since the epoch.
#[must_use]
pub fn now_ms() -> u64 {
    u64::try_from(Timestamp::now().as_millisecond()).unwrap_or_default()
}
