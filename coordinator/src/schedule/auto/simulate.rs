//! What the decisions would have been for known arrivals of stale keys, and which fixed interval would have kept as few
//! of them. Used on the history of a job, and for the series of the tests.

use std::time::Duration;

use jiff::Timestamp;

use super::{BoundedJob, Decision, KeyCount, Law, Lesson, PastRun, Situation, after, lossy, next, whole};

/// Decisions that one simulation makes at most: a year of samples every five minutes.
const DECISIONS_MAX: usize = 105_120;

/// The longest fixed interval that is compared, in minutes.
const FIXED_MAX_MIN: u64 = 1_440;

/// How many stale keys had arrived at which times, in both ascending. In between they arrive evenly.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arrivals(pub Vec<(Timestamp, u64)>);

/// What one schedule made of arrivals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Simulated {
    /// When runs started.
    pub runs: Vec<Timestamp>,
    /// How many of them the surplus started.
    pub by_surplus: usize,
    /// The most stale keys that there were at a time.
    pub most_stale: u64,
}

/// A fixed interval, and what it made of arrivals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fixed {
    /// The interval.
    pub every: Duration,
    /// How many runs there were.
    pub runs: u64,
    /// The most stale keys that there were at a time.
    pub most_stale: u64,
}

impl Arrivals {
    /// How many had arrived until `at`.
    fn until(&self, at: Timestamp) -> u64 {
        let index = self.0.partition_point(|(time, _)| *time <= at);
        let Some((from, known)) = index.checked_sub(1).and_then(|index| self.0.get(index)) else { return 0 };
        let Some((to, total)) = self.0.get(index) else { return *known };
        let part = at.duration_since(*from).as_secs_f64() / to.duration_since(*from).as_secs_f64();
        known.saturating_add(whole(lossy(total.saturating_sub(*known)) * part))
    }

    /// The first and the last time; `None` without any.
    #[must_use]
    pub fn span(&self) -> Option<(Timestamp, Timestamp)> {
        Some((self.0.first()?.0, self.0.last()?.0))
    }

    /// What the decisions make of them, with a count of keys every `sample_every`. `count` is what servers count at a
    /// time at which there are so many stale keys. Runs take no time, and find all of them.
    pub fn simulate(
        &self,
        job: BoundedJob<'_>,
        sample_every: Duration,
        count: impl Fn(Timestamp, u64) -> Option<KeyCount>,
    ) -> Simulated {
        let mut outcome = Simulated { runs: Vec::new(), by_surplus: 0, most_stale: 0 };
        let Some((mut now, end)) = self.span() else { return outcome };
        let (mut runs, mut previous, mut cleaned) = (Vec::<PastRun>::new(), None, self.until(now));
        let (mut latest, mut sampled) = (None, now);
        for _ in 0..DECISIONS_MAX {
            if now > end {
                break;
            }
            let stale = self.until(now).saturating_sub(cleaned);
            outcome.most_stale = outcome.most_stale.max(stale);
            if now >= sampled {
                latest = count(now, stale);
                sampled = after(now, sample_every.max(Duration::from_secs(1)));
            }
            let situation = Situation {
                now,
                job: job.name,
                latest,
                runs: &runs,
                previous,
                memory: None,
                next_look: sample_every,
            };
            let decision = next(&situation, job.bounds);
            if decision.at <= now {
                let (before, left) = (count(now, stale), count(now, 0));
                runs.push(run(now, stale, before, left));
                outcome.runs.push(now);
                outcome.by_surplus += usize::from(decision.law == Law::Surplus);
                (previous, cleaned) = (Some(decision.interval.time), self.until(now));
            }
            now = soonest(now, sampled, &decision);
        }
        // Those that have arrived since, and for which no run has come.
        outcome.most_stale = outcome.most_stale.max(self.until(end).saturating_sub(cleaned));
        outcome
    }

    /// What runs every `every` make of them, the first one at the first time.
    #[must_use]
    pub fn fixed(&self, every: Duration) -> Fixed {
        let mut fixed = Fixed { every, runs: 0, most_stale: 0 };
        let Some((mut now, end)) = self.span() else { return fixed };
        let mut cleaned = self.until(now);
        while now <= end && !every.is_zero() {
            let arrived = self.until(now);
            fixed.most_stale = fixed.most_stale.max(arrived.saturating_sub(cleaned));
            fixed.runs += 1;
            (cleaned, now) = (arrived, after(now, every));
        }
        fixed.most_stale = fixed.most_stale.max(self.until(end).saturating_sub(cleaned));
        fixed
    }

    /// The longest fixed interval, in whole minutes up to a day, with `most_stale` stale keys at most; `None` if even one
    /// of a minute has more.
    #[must_use]
    pub fn longest_fixed(&self, most_stale: u64) -> Option<Fixed> {
        let minutes = (1..=FIXED_MAX_MIN).rev().map(|minutes| self.fixed(Duration::from_secs(minutes * 60)));
        minutes.into_iter().find(|fixed| fixed.most_stale <= most_stale)
    }
}

fn run(now: Timestamp, stale: u64, before: Option<KeyCount>, left: Option<KeyCount>) -> PastRun {
    PastRun { started: now, ended: now, lesson: Lesson::Found(stale), before, after: left, usage_after: None }
}

/// When there is something to decide again.
fn soonest(now: Timestamp, sampled: Timestamp, decision: &Decision) -> Timestamp {
    if decision.at > now { sampled.min(decision.at) } else { after(now, Duration::from_secs(1)) }
}
