//! When a job is due: a cron expression in a time zone, or [`auto`]; and the delay before a failed run is retried. Pure: `now` is
//! always an argument, and nothing here sleeps or starts anything.

pub mod auto;
mod job;
mod parse;

use std::iter::successors;
use std::time::Duration;

use croner::Cron;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};

use crate::limits::{ATTEMPT_PAUSE_MAX, MISSED_TIMES_MAX};

pub use self::job::{BadSchedule, JobSchedule};
pub use self::parse::ScheduleError;

/// The times at which a job is due.
///
/// # When clocks change With fixed hours (`0 */6 * * *`, `30 2 * * *`), each time of day is due exactly once a day:
/// one that exists twice is due the first time; one that is skipped is due when the clock jumps over it (several
/// skipped ones together, and together with a time that is due then anyway). With every hour (`*/10 * * * *`), real
/// hours count: times in both hours of the same name are due, and skipped ones are not.
#[derive(Clone, Debug)]
pub struct Schedule {
    cron: Cron,
    zone: TimeZone,
    /// Whether the expression covers every hour of the day.
    hourly: bool,
}

/// Times at which a job was due while no service was running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MissedTimes {
    /// How many, [`MISSED_TIMES_MAX`] at most, which then means "at least".
    pub count: u64,
    /// The first of them.
    pub first: Timestamp,
    /// The last of them, even if it was not counted.
    pub last: Timestamp,
}

impl Schedule {
    /// Parses a cron expression of five fields, with names (`MON`, `JAN`) in any case, or a nickname such as
    /// `@hourly`; `timezone` is the IANA name of the fields' time zone.
    ///
    /// # Errors
    /// When either is malformed, or the expression is never due, such as February 30.
    pub fn parse(cron: &str, timezone: &str) -> Result<Self, ScheduleError> {
        let cron = parse::cron(cron)?;
        let zone = parse::zone(timezone)?;
        let hourly = (0..24).all(|hour| cron.pattern.hour_match(hour).unwrap_or(false));
        Ok(Self { cron, zone, hourly })
    }

    /// The first time after `now` at which the job is due; `None` only at the end of the calendar.
    #[must_use]
    pub fn next_after(&self, now: Timestamp) -> Option<Timestamp> {
        if self.hourly {
            let due = self.cron.find_next_occurrence(&now.to_zoned(self.zone.clone()), false).ok()?;
            return Some(due.timestamp());
        }
        // After clocks were set back, repeated times have passed already.
        let mut time = self.zone.to_datetime(now);
        loop {
            time = self.cron.find_next_occurrence(&time, false).ok()?;
            let due = moment(&self.zone, time)?;
            if due > now {
                return Some(due);
            }
        }
    }

    /// The next `n` times after `now`.
    #[must_use]
    pub fn next_times(&self, now: Timestamp, n: usize) -> Vec<Timestamp> {
        successors(self.next_after(now), |due| self.next_after(*due)).take(n).collect()
    }

    /// The times after `last` up to and including `now`; `None` if there is none.
    #[must_use]
    pub fn missed(&self, last: Timestamp, now: Timestamp) -> Option<MissedTimes> {
        let (mut count, mut found) = (0, None);
        let mut due = self.next_after(last).filter(|due| *due <= now);
        while let (Some(time), true) = (due, count < MISSED_TIMES_MAX) {
            count += 1;
            found = Some((found.map_or(time, |(first, _)| first), time));
            due = self.next_after(time).filter(|due| *due <= now);
        }
        let (first, counted) = found?;
        Some(MissedTimes { count, first, last: due.map_or(counted, |time| self.last_until(time, now)) })
    }

    /// The schedule as text, such as `At 02:30, in Europe/Berlin`.
    #[must_use]
    pub fn describe(&self) -> String {
        let words = self.cron.describe();
        format!("{}, in {}", words.trim_end_matches('.'), self.timezone())
    }

    /// The cron expression, as it was given apart from nicknames.
    #[must_use]
    pub fn cron(&self) -> &str {
        self.cron.as_str()
    }

    /// The IANA name of the time zone.
    #[must_use]
    pub fn timezone(&self) -> &str {
        self.zone.iana_name().unwrap_or("UTC")
    }

    /// The last due time until `now`, given that the job was due at `due`. A binary search, because iterating could
    /// take long.
    fn last_until(&self, mut due: Timestamp, now: Timestamp) -> Timestamp {
        let mut none_after = now.as_second();
        while due.as_second() < none_after {
            let middle = due.as_second().midpoint(none_after);
            let next = Timestamp::from_second(middle).ok().and_then(|middle| self.next_after(middle));
            match next.filter(|next| *next <= now) {
                Some(next) => due = next,
                None => none_after = middle,
            }
        }
        due
    }
}

/// The instant at which clocks show `time`, the first one if there are two, or jump over it.
fn moment(zone: &TimeZone, time: DateTime) -> Option<Timestamp> {
    let ambiguous = zone.to_ambiguous_timestamp(time);
    let skipped = matches!(ambiguous.offset(), AmbiguousOffset::Gap { .. });
    let earlier = ambiguous.earlier().ok()?;
    if !skipped {
        return Some(earlier);
    }
    // For a skipped time, `earlier` lies before the jump.
    zone.following(earlier).next().map(|jump| jump.timestamp())
}

/// The delay before the next attempt after `failures` consecutive failures: `base` after the first, doubled after each
/// further one, [`ATTEMPT_PAUSE_MAX`] at most.
#[must_use]
pub fn backoff(base: Duration, failures: u32) -> Duration {
    let Some(doublings) = failures.checked_sub(1) else { return Duration::ZERO };
    let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
    base.saturating_mul(factor).min(ATTEMPT_PAUSE_MAX)
}

#[cfg(test)]
mod tests;
