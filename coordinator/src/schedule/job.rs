//! The schedule of a job, by its settings.

use keysweep_config::{Origin, Settings};
use keysweep_model::duration;
use thiserror::Error;

use super::auto::quiet::QuietWindows;
use super::auto::{Bounds, explain};
use super::{Schedule, ScheduleError, parse};

/// The value of `schedule` that is no cron expression.
const AUTO: &str = "auto";

/// When a job is due.
#[derive(Clone, Debug)]
pub enum JobSchedule {
    /// At fixed times.
    Cron(Box<Schedule>),
    /// As its stale keys arrive.
    Auto(Bounds),
}

/// A setting of a schedule that cannot be used.
#[derive(Clone, Debug, Error)]
#[error("{origin}: `{name}` of job `{job}`: {source}")]
pub struct BadSchedule {
    /// Where it is set.
    pub origin: Origin,
    /// Its name.
    pub name: &'static str,
    /// The job.
    pub job: String,
    /// What is wrong.
    pub source: Box<ScheduleError>,
}

impl JobSchedule {
    /// The schedule in `settings`.
    ///
    /// # Errors
    /// When a setting cannot be used, alone or beside others.
    pub fn of(settings: &Settings) -> Result<Self, BadSchedule> {
        let bad = |origin, name, source| BadSchedule::new(settings, origin, name, source);
        let (schedule, zone) = (&settings.schedule, &settings.timezone);
        if schedule.value == AUTO {
            return Self::bounds(settings).map(Self::Auto);
        }
        let parsed = Schedule::parse(&schedule.value, &zone.value);
        let cron = parsed.map_err(|source| match source {
            ScheduleError::TimeZone(_) => bad(&zone.origin, "timezone", source),
            source => bad(&schedule.origin, "schedule", source),
        })?;
        let only_auto = [
            ("auto_min_interval", &settings.auto_min_interval.origin),
            ("auto_max_interval", &settings.auto_max_interval.origin),
            ("auto_max_stale", &settings.auto_max_stale.origin),
            ("auto_run_cost", &settings.auto_run_cost.origin),
            ("quiet", &settings.quiet.origin),
        ];
        match only_auto.into_iter().find(|(_, origin)| **origin != Origin::Default) {
            Some((name, origin)) => Err(bad(origin, name, ScheduleError::BesideCron(schedule.value.clone()))),
            None => Ok(cron.into()),
        }
    }

    /// What `settings` allow with `schedule = "auto"`, whether or not that is set.
    ///
    /// # Errors
    /// When one cannot be used.
    pub fn bounds(settings: &Settings) -> Result<Bounds, BadSchedule> {
        let bad = |origin, name, source| BadSchedule::new(settings, origin, name, source);
        let (min, max) = (&settings.auto_min_interval, &settings.auto_max_interval);
        if min.value > max.value {
            let [shortest, longest] = [min.value, max.value].map(duration::show);
            // The one of both that is set is the one to change.
            let origin = if min.origin == Origin::Default { &max.origin } else { &min.origin };
            return Err(bad(
                origin,
                "auto_min_interval",
                ScheduleError::Bounds { min: shortest, max: longest },
            ));
        }
        let (zone, quiet) = (&settings.timezone, &settings.quiet);
        let zone = parse::zone(&zone.value).map_err(|e| bad(&zone.origin, "timezone", e))?;
        let windows = quiet.value.as_ref().map(|text| QuietWindows::parse(text, zone)).transpose();
        Ok(Bounds {
            min_interval: min.value,
            max_interval: max.value,
            max_stale: settings.auto_max_stale.value,
            run_cost: settings.auto_run_cost.value,
            quiet: windows
                .map_err(|e| bad(&quiet.origin, "quiet", e.into()))?
                .unwrap_or_else(QuietWindows::none),
        })
    }

    /// The schedule in words, such as `At 02:30, in Europe/Berlin`.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Cron(cron) => cron.describe(),
            Self::Auto(bounds) => explain::describe(bounds),
        }
    }

    /// As it is set, apart from nicknames: a cron expression, or `auto`.
    #[must_use]
    pub fn setting(&self) -> &str {
        match self {
            Self::Cron(cron) => cron.cron(),
            Self::Auto(_) => AUTO,
        }
    }
}

impl From<Schedule> for JobSchedule {
    fn from(cron: Schedule) -> Self {
        Self::Cron(Box::new(cron))
    }
}

impl BadSchedule {
    fn new(settings: &Settings, origin: &Origin, name: &'static str, source: ScheduleError) -> Self {
        Self { origin: origin.clone(), name, job: settings.job.value.clone(), source: Box::new(source) }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use jiff::tz::TimeZone;
    use keysweep_config::{Environment, FlagLayer, JobFile, resolve};

    use super::*;

    fn of(lines: &str) -> Result<JobSchedule, BadSchedule> {
        let text = format!("[[job]]\nname = \"nightly\"\n{lines}\n");
        let file = JobFile::parse(Path::new("k.toml"), &text).unwrap();
        JobSchedule::of(&resolve(&FlagLayer::default(), &Environment::default(), Some(&file)).unwrap())
    }

    #[test]
    fn settings_become_bounds() {
        let check = |lines: &str, expected: &Bounds| {
            let Ok(JobSchedule::Auto(bounds)) = of(lines) else { panic!("{lines}: {:?}", of(lines)) };
            assert_eq!(bounds, *expected, "{lines}");
        };
        let usual = Bounds {
            min_interval: Duration::from_secs(900),
            max_interval: Duration::from_secs(86_400),
            max_stale: None,
            run_cost: None,
            quiet: QuietWindows::none(),
        };
        check("schedule = \"auto\"", &usual);
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        let quiet = QuietWindows::parse("Mon-Fri 08:00-18:00", berlin).unwrap();
        check(
            "schedule = \"auto\"\ntimezone = \"Europe/Berlin\"\nquiet = \"Mon-Fri 08:00-18:00\"\nauto_min_interval = \"1h\"\n\
             auto_max_stale = 5000\nauto_run_cost = 200",
            &Bounds {
                min_interval: Duration::from_secs(3_600),
                max_stale: Some(5_000),
                run_cost: Some(200),
                quiet,
                ..usual
            },
        );
        let cron = of("schedule = \"5 * * * *\"").unwrap();
        assert_eq!((cron.setting(), matches!(cron, JobSchedule::Cron(_))), ("5 * * * *", true));
        let auto = of("schedule = \"auto\"\nquiet = \"Sun 00:00-24:00\"").unwrap();
        let words = "By growth, every 15 min to 1 d, not Sun 00:00-24:00, in UTC";
        assert_eq!((auto.setting(), auto.describe().as_str()), ("auto", words));
    }

    #[test]
    fn errors_name_the_setting_and_its_line() {
        let check = |lines: &str, expected: &str| {
            let said = of(lines).unwrap_err().to_string();
            assert_eq!(said, expected, "{lines}");
        };
        let auto = |lines: &str| format!("schedule = \"auto\"\n{lines}");
        check(
            &auto("quiet = \"Mon-Fri 8-18\""),
            "k.toml:4: `quiet` of job `nightly`: quiet window `Mon-Fri 8-18`: `8` is no time from 00:00 to 24:00; \
             write it like `Mon-Fri 08:00-18:00`, or `22:00-06:00` for each day",
        );
        check(
            &auto("quiet = \"00:00-12:00; 12:00-24:00\""),
            "k.toml:4: `quiet` of job `nightly`: the quiet windows leave no minute of the week for a run; shorten one \
             of them",
        );
        check(
            &auto("auto_max_interval = \"10m\""),
            "k.toml:4: `auto_min_interval` of job `nightly`: 15m is longer than `auto_max_interval` (10m)",
        );
        check(
            &auto("timezone = \"Berlin\""),
            "k.toml:4: `timezone` of job `nightly`: `Berlin` is not a time zone; use an IANA name such as \
             `Europe/Berlin`, or `UTC`",
        );
        check(
            "schedule = \"5 * * * *\"\nquiet = \"Sun 00:00-24:00\"",
            "k.toml:4: `quiet` of job `nightly`: it needs `schedule = \"auto\"`, and the schedule is `5 * * * *`",
        );
        let said = of("auto_max_stale = 5").unwrap_err().to_string();
        assert!(said.starts_with("k.toml:3: `auto_max_stale` of job `nightly`: it needs"), "{said}");
        let said = of("schedule = \"automatic\"").unwrap_err().to_string();
        assert!(
            said.starts_with("k.toml:3: `schedule` of job `nightly`: schedule `automatic` has 1 fields"),
            "{said}"
        );
    }
}
