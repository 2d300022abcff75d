//! Quiet windows: times of the week at which no run starts, in the job's time zone. What clocks show counts, so after a
//! change of clocks a window begins and ends at the same hours as before.

use std::fmt;

use jiff::civil::{DateTime, Time};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp, ToSpan};
use thiserror::Error;

use crate::schedule::moment;

/// Minutes of a day.
const DAY: u16 = 1_440;

/// Windows of a job.
const WINDOWS_MAX: usize = 32;

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// Why windows cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum QuietError {
    /// Not days and hours.
    #[error(
        "quiet window `{text}`: {problem}; write it like `Mon-Fri 08:00-18:00`, or `22:00-06:00` for each day"
    )]
    Malformed {
        /// As given.
        text: String,
        /// What is wrong.
        problem: String,
    },
    /// No time is left.
    #[error("the quiet windows leave no minute of the week for a run; shorten one of them")]
    NoTimeLeft,
    /// Too many.
    #[error("there are {0} quiet windows; {WINDOWS_MAX} are allowed")]
    TooMany(usize),
}

/// The quiet windows of a job.
#[derive(Clone, Debug, PartialEq)]
pub struct QuietWindows {
    windows: Vec<Window>,
    zone: TimeZone,
}

/// Hours of some days. A window that ends before it begins ends on the next day; its days are those of its beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Window {
    /// From Monday.
    days: [bool; 7],
    /// In minutes of the day.
    from: u16,
    /// In minutes, later than `from`, and up to two days.
    to: u16,
    text: String,
}

impl QuietWindows {
    /// No windows.
    #[must_use]
    pub fn none() -> Self {
        Self { windows: Vec::new(), zone: TimeZone::UTC }
    }

    /// Parses windows such as `Mon-Fri 08:00-18:00`, `Sat,Sun 00:00-24:00` or `22:00-06:00`, with `;` in between, in a
    /// time zone.
    ///
    /// # Errors
    /// When one of them is malformed, or they leave no time.
    pub fn parse(text: &str, zone: TimeZone) -> Result<Self, QuietError> {
        let texts: Vec<&str> = text.split(';').collect();
        if texts.len() > WINDOWS_MAX {
            return Err(QuietError::TooMany(texts.len()));
        }
        let windows = texts.into_iter().map(Window::parse).collect::<Result<Vec<_>, _>>()?;
        let is_quiet = |minute: usize| {
            let (day, minute) = (minute / usize::from(DAY), minute % usize::from(DAY));
            windows.iter().any(|window| window.covers(day, u16::try_from(minute).unwrap_or(DAY)))
        };
        if (0..7 * usize::from(DAY)).all(is_quiet) {
            return Err(QuietError::NoTimeLeft);
        }
        Ok(Self { windows, zone })
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.windows.is_empty()
    }

    /// The IANA name of their time zone.
    #[must_use]
    pub fn timezone(&self) -> &str {
        self.zone.iana_name().unwrap_or("UTC")
    }

    /// Whether `at` is in a window.
    #[must_use]
    pub fn contains(&self, at: Timestamp) -> bool {
        self.at(at).is_some()
    }

    /// The end of the windows around `at`; `at` itself if it is in none.
    #[must_use]
    pub fn end(&self, at: Timestamp) -> Timestamp {
        let mut end = at;
        // Each window ends at most once before the free minute of the week.
        for _ in 0..=self.windows.len() * 8 {
            let Some(window) = self.at(end) else { break };
            end =
                window.edge(end, &self.zone, window.to).filter(|edge| *edge > end).unwrap_or(Timestamp::MAX);
        }
        end
    }

    /// The last moment before the windows around `at`; `None` at the start of the calendar.
    #[must_use]
    pub fn start(&self, at: Timestamp) -> Option<Timestamp> {
        let mut start = at;
        for _ in 0..=self.windows.len() * 8 {
            let Some(window) = self.at(start) else { return Some(start) };
            let edge = window.edge(start, &self.zone, window.from)?;
            start = edge.min(start).checked_sub(1.second()).ok()?;
        }
        None
    }

    fn at(&self, at: Timestamp) -> Option<&Window> {
        if self.windows.is_empty() {
            return None;
        }
        let local = self.zone.to_datetime(at);
        self.windows.iter().find(|window| window.covers(day(local), minute(local.time())))
    }
}

impl fmt::Display for QuietWindows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<&str> = self.windows.iter().map(|window| window.text.as_str()).collect();
        f.write_str(&texts.join("; "))
    }
}

impl Window {
    fn parse(text: &str) -> Result<Self, QuietError> {
        let wrong = |problem: String| QuietError::Malformed { text: text.to_owned(), problem };
        let words: Vec<&str> = text.split_whitespace().collect();
        let (days, hours) = match words.as_slice() {
            [hours] => ([true; 7], *hours),
            [names, hours] => (days(names).map_err(wrong)?, *hours),
            _ => return Err(wrong("it takes days and hours, with one space in between".to_owned())),
        };
        let (from, to) =
            hours.split_once('-').ok_or_else(|| wrong(format!("`{hours}` is no range of hours")))?;
        let time =
            |text: &str| clock(text).ok_or_else(|| wrong(format!("`{text}` is no time from 00:00 to 24:00")));
        let (from, to) = (time(from)?, time(to)?);
        if from == to || from == DAY {
            return Err(wrong("it has no length".to_owned()));
        }
        let to = if to < from { to + DAY } else { to };
        Ok(Self { days, from, to, text: words.join(" ") })
    }

    /// Whether a minute of a day (from Monday) is in it, as one of that day or of the day before.
    fn covers(&self, day: usize, minute: u16) -> bool {
        let yesterday = (day + 6) % 7;
        self.days[day % 7] && (self.from..self.to).contains(&minute)
            || self.days[yesterday] && (self.from..self.to).contains(&(minute + DAY))
    }

    /// When clocks show the minute `edge` of the window around `at`, its beginning or its end.
    fn edge(&self, at: Timestamp, zone: &TimeZone, edge: u16) -> Option<Timestamp> {
        let local = zone.to_datetime(at);
        let today = self.days[day(local)] && (self.from..self.to).contains(&minute(local.time()));
        let began = if today { local.date() } else { local.date().yesterday().ok()? };
        let time = began.at(0, 0, 0, 0).checked_add(i64::from(edge).minutes()).ok()?;
        let ambiguous = zone.to_ambiguous_timestamp(time);
        // Clocks show it twice: at the end of summer time, an end that has passed once is still to come.
        match ambiguous.offset() {
            AmbiguousOffset::Fold { .. } if moment(zone, time)? <= at => ambiguous.later().ok(),
            _ => moment(zone, time),
        }
    }
}

fn day(local: DateTime) -> usize {
    usize::try_from(local.weekday().to_monday_zero_offset()).unwrap_or_default()
}

fn minute(time: Time) -> u16 {
    u16::try_from(i32::from(time.hour()) * 60 + i32::from(time.minute())).unwrap_or_default()
}

/// `Mon-Fri`, `Sat,Sun`, `Fri-Mon`.
fn days(text: &str) -> Result<[bool; 7], String> {
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |name: &str| {
            let known = DAYS.iter().position(|day| day.eq_ignore_ascii_case(name));
            known.ok_or_else(|| format!("`{name}` is no day; days are Mon, Tue, Wed, Thu, Fri, Sat and Sun"))
        };
        let (first, last) = (number(first)?, number(last)?);
        let length = (last + 7 - first) % 7;
        (first..=first + length).for_each(|day| days[day % 7] = true);
    }
    Ok(days)
}

/// `08:00` in minutes; `24:00` is the end of the day.
fn clock(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let is_number = |part: &str| (1..=2).contains(&part.len()) && part.bytes().all(|c| c.is_ascii_digit());
    if !is_number(hours) || minutes.len() != 2 || !is_number(minutes) {
        return None;
    }
    let (hours, minutes): (u16, u16) = (hours.parse().ok()?, minutes.parse().ok()?);
    (minutes < 60).then_some(hours * 60 + minutes).filter(|time| *time <= DAY)
}
