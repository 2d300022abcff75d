//! Parses schedules, with errors for their authors.

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::civil::{DateTime, date};
use jiff::tz::{self, TimeZone, TimeZoneDatabase};
use keysweep_model::words::quoted;
use thiserror::Error;

use super::auto::quiet::QuietError;

/// Why a schedule cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ScheduleError {
    /// Not five fields.
    #[error(
        "schedule `{cron}` has {fields} fields instead of five (minute, hour, day of month, month, day of week, \
         and no seconds); write it like `0 */6 * * *`"
    )]
    Fields {
        /// As given.
        cron: String,
        /// How many there are.
        fields: usize,
    },
    /// Not a nickname.
    #[error("schedule `{0}` is not a cron nickname; use one of {names}", names = quoted(NICKNAMES.map(|(name, _)| name)))]
    Nickname(String),
    /// An invalid field.
    #[error(
        "schedule `{cron}`: `{text}` is no {field}; it takes {values}, and like every field `*`, lists (`1,3`), \
         ranges (`1-5`) and steps (`*/2`), as in `0 */6 * * *`"
    )]
    Field {
        /// The whole expression.
        cron: String,
        /// The field.
        text: String,
        /// The name of the field.
        field: &'static str,
        /// Its valid values.
        values: &'static str,
    },
    /// No date matches.
    #[error("schedule `{0}` is never due, as there is no such date; write it like `0 */6 * * *`")]
    Never(String),
    /// No such time zone.
    #[error("`{0}` is not a time zone; use an IANA name such as `Europe/Berlin`, or `UTC`")]
    TimeZone(String),
    /// Quiet windows that cannot be used.
    #[error(transparent)]
    Quiet(#[from] QuietError),
    /// A setting of [`auto`](super::auto) beside a cron expression, which would not follow it.
    #[error("it needs `schedule = \"auto\"`, and the schedule is `{0}`")]
    BesideCron(String),
    /// Bounds that exclude each other.
    #[error("{min} is longer than `auto_max_interval` ({max})")]
    Bounds {
        /// The shortest interval.
        min: String,
        /// The longest one.
        max: String,
    },
}

const NICKNAMES: [(&str, &str); 7] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

/// A field of an expression.
struct Field {
    name: &'static str,
    values: &'static str,
    /// The words that are valid in it.
    words: &'static [&'static str],
}

const MONTHS: [&str; 12] =
    ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];

const DAYS: [&str; 15] = [
    "SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT", "L", "SUNL", "MONL", "TUEL", "WEDL", "THUL", "FRIL",
    "SATL",
];

const FIELDS: [Field; 5] = [
    Field { name: "minute", values: "0 to 59", words: &[] },
    Field { name: "hour", values: "0 to 23", words: &[] },
    Field { name: "day of month", values: "1 to 31 or `L` for the last", words: &["L", "W", "LW"] },
    Field { name: "month", values: "1 to 12 or `JAN` to `DEC`", words: &MONTHS },
    Field { name: "day of week", values: "0 (Sunday) to 7 or `SUN` to `SAT`", words: &DAYS },
];

/// Where the search for a first date starts: any day will do, because croner searches longer than the calendar's
/// period.
const SOME_DAY: DateTime = date(2001, 1, 1).at(0, 0, 0, 0);

/// Parses an expression.
pub(super) fn cron(text: &str) -> Result<Cron, ScheduleError> {
    let text = text.trim();
    let expression = if text.starts_with('@') {
        let known = NICKNAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
        known.ok_or_else(|| ScheduleError::Nickname(text.to_owned()))?.1
    } else {
        text
    };
    let fields: Vec<&str> = expression.split_whitespace().collect();
    if fields.len() != FIELDS.len() {
        return Err(ScheduleError::Fields { cron: text.to_owned(), fields: fields.len() });
    }
    for (place, field) in FIELDS.iter().enumerate() {
        if !field.accepts(fields[place], place) {
            let (cron, text) = (text.to_owned(), fields[place].to_owned());
            return Err(ScheduleError::Field { cron, text, field: field.name, values: field.values });
        }
    }
    let never = |_| ScheduleError::Never(text.to_owned());
    // Every field is valid, so only their combination can be wrong.
    let cron = parser().parse(expression).map_err(never)?;
    cron.find_next_occurrence(&SOME_DAY, true).map_err(never)?;
    Ok(cron)
}

fn parser() -> CronParser {
    CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build()
}

impl Field {
    /// Whether `text` is valid in this field, the one at `place`. Words are checked here, because croner accepts any
    /// name as its number, in any field.
    fn accepts(&self, text: &str, place: usize) -> bool {
        let mut words = text.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty());
        if !words.all(|word| self.words.contains(&word.to_uppercase().as_str())) {
            return false;
        }
        let mut alone = ["*"; FIELDS.len()];
        alone[place] = text;
        parser().parse(&alone.join(" ")).is_ok()
    }
}

/// Finds a time zone: the system's, or our own copy if the system has none.
pub(super) fn zone(name: &str) -> Result<TimeZone, ScheduleError> {
    let zone = tz::db().get(name).or_else(|_| TimeZoneDatabase::bundled().get(name));
    zone.map_err(|_| ScheduleError::TimeZone(name.to_owned()))
}
