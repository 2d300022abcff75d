//! The system clock, for code that cannot get the time as an argument.

use jiff::Timestamp;

/// The time, in milliseconds since the epoch.
#[must_use]
pub fn now_ms() -> u64 {
    u64::try_from(Timestamp::now().as_millisecond()).unwrap_or_default()
}

/// A time in milliseconds since the epoch, as RFC 3339 in UTC.
#[must_use]
pub fn rfc3339(ms: u64) -> String {
    let stamp = i64::try_from(ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    stamp.unwrap_or(Timestamp::UNIX_EPOCH).to_string()
}
