//! Decisions as records, and as sentences: what decided, with its figures.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use keysweep_model::words::grouped;
use keysweep_storage::decisions::{DecisionRecord, GrowthPerMinute, MemoryTrend};
use reporter::span;

use super::interval::Limit;
use super::memory::USAGE_MAX;
use super::{Bounds, Decision, Law, Moved};

/// A decision at `now`, to be kept and published.
#[must_use]
pub fn record(decision: &Decision, now: Timestamp) -> DecisionRecord {
    let per_minute = |growth: super::growth::Growth| GrowthPerMinute {
        estimate: growth.estimate * 60.0,
        low: growth.low * 60.0,
        high: growth.high * 60.0,
    };
    DecisionRecord {
        decided_at: now.to_string(),
        next: decision.at.to_string(),
        law: decision.law.as_str().to_owned(),
        threshold: decision.threshold,
        surplus: decision.surplus.ok(),
        held: decision.surplus.err().map(|hold| hold.to_string()),
        growth: decision.growth.map(per_minute),
        memory: decision
            .memory
            .map(|trend| MemoryTrend { percent: trend.percent, points_per_hour: trend.per_second * 3_600.0 }),
        expected: decision.expected,
        interval_seconds: decision.interval.time.as_secs(),
        previous_interval_seconds: decision.previous.map(|previous| previous.as_secs()),
        limited_by: decision.interval.limit.map(|limit| limit.as_str().to_owned()),
        moved_by: decision.moved_by.map(|moved| moved.as_str().to_owned()),
        last_run: decision.last_run.map(|last| last.to_string()),
        sentence: sentence(decision, now),
    }
}

/// A decision at `now`, such as `next run in 2 h: 1,420 stale expected by then (threshold 1,500); growth 11.8/min,
/// between 9.7 and 13.9`.
#[must_use]
pub fn sentence(decision: &Decision, now: Timestamp) -> String {
    let wait = decision.at.duration_since(now);
    // A shorter time would be shown as none.
    let when = if wait >= SignedDuration::from_secs(1) {
        format!("next run in {}", span(rounded(wait)))
    } else {
        "run now".to_owned()
    };
    let mut parts = vec![format!("{when}: {}", why(decision))];
    parts.extend(growth(decision));
    parts.extend(limit(decision));
    parts.extend(decision.moved_by.map(|moved| moved.sentence().to_owned()));
    if let (Err(hold), true) = (decision.surplus, decision.law != Law::First) {
        parts.push(format!("the surplus is not used: {hold}"));
    }
    parts.join("; ")
}

/// The bounds in words.
#[must_use]
pub fn describe(bounds: &Bounds) -> String {
    let [least, most] = [bounds.min_interval, bounds.max_interval].map(words);
    let mut text = format!("By growth, every {least} to {most}");
    if !bounds.quiet.is_empty() {
        text.push_str(&format!(", not {}, in {}", bounds.quiet, bounds.quiet.timezone()));
    }
    text
}

fn why(decision: &Decision) -> String {
    let threshold = grouped(decision.threshold);
    match (decision.law, decision.surplus, decision.expected) {
        (Law::First, ..) => "there is no run to learn from".to_owned(),
        (Law::Surplus, Ok(stale), _) => {
            format!("{} stale by the keys without TTL (threshold {threshold})", grouped(stale))
        }
        (Law::Memory, ..) => short(decision),
        (_, _, Some(expected)) => {
            format!("{} stale expected by then (threshold {threshold})", grouped(expected))
        }
        (_, _, None) => "how many keys will be stale then is unknown until two runs are complete".to_owned(),
    }
}

/// Why the memory decides.
fn short(decision: &Decision) -> String {
    let usage = decision.memory.map_or_else(String::new, |trend| {
        let per_hour = trend.per_second * 3_600.0;
        format!(" ({:.1} % now, {per_hour:+.1} points/h)", trend.percent)
    });
    let stale =
        decision.expected.map_or_else(String::new, |stale| format!("; {} stale expected", grouped(stale)));
    format!(
        "the memory of the fullest server is forecast to pass {USAGE_MAX:.0} % before the next look{usage}{stale}"
    )
}

fn growth(decision: &Decision) -> Option<String> {
    let growth = decision.growth?;
    let (unit, seconds) = match growth.high {
        high if high * 60.0 >= 1.0 => ("min", 60.0),
        high if high * 3_600.0 >= 1.0 => ("h", 3_600.0),
        _ => ("d", 86_400.0),
    };
    let [estimate, low, high] =
        [growth.estimate, growth.low, growth.high].map(|rate| decimal(rate * seconds));
    Some(format!("growth {estimate}/{unit}, between {low} and {high}"))
}

fn limit(decision: &Decision) -> Option<String> {
    let interval = words(decision.interval.time);
    // The surplus decides before the interval ends.
    let limit = decision.interval.limit.filter(|_| matches!(decision.law, Law::Growth | Law::Balance))?;
    Some(match limit {
        Limit::Min => format!("the shortest interval is {interval}"),
        Limit::Max => format!("the longest interval is {interval}"),
        Limit::Step => format!("an interval changes by a factor of two at most, to {interval}"),
        Limit::DeadBand => format!("the interval stays {interval}, as it would change by less than 20 %"),
        Limit::Useless => format!("the interval doubles to {interval}, as the last runs found nothing"),
        Limit::Unknown => format!("until then the interval is {interval}"),
    })
}

fn words(time: Duration) -> String {
    span(rounded(SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX)))
}

/// In seconds; above a minute in whole minutes.
fn rounded(time: SignedDuration) -> f64 {
    let seconds = time.as_secs_f64();
    if seconds < 60.0 { seconds } else { (seconds / 60.0).round() * 60.0 }
}

fn decimal(value: f64) -> String {
    if value < 100.0 { format!("{value:.1}") } else { grouped(super::whole(value)) }
}

impl Law {
    /// Its name in records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Surplus => "surplus",
            Self::Memory => "memory",
            Self::Growth => "growth",
            Self::Balance => "balance",
        }
    }
}

impl Limit {
    fn as_str(self) -> &'static str {
        match self {
            Self::Min => "minInterval",
            Self::Max => "maxInterval",
            Self::Step => "step",
            Self::DeadBand => "deadBand",
            Self::Useless => "uselessRuns",
            Self::Unknown => "unknownGrowth",
        }
    }
}

impl Moved {
    fn as_str(self) -> &'static str {
        match self {
            Self::AfterQuiet => "afterQuiet",
            Self::BeforeQuiet => "beforeQuiet",
            Self::Failures => "failures",
        }
    }

    fn sentence(self) -> &'static str {
        match self {
            Self::AfterQuiet => "the run waits for the end of a quiet window",
            Self::BeforeQuiet => "the run comes before a quiet window",
            Self::Failures => "the last runs failed, so the pause is longer",
        }
    }
}
