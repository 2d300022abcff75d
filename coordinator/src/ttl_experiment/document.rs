//! What the commands about experiments print as JSON. Field names are a contract.

use keysweep_model::time::rfc3339;
use keysweep_ttl_experiment::{Misses, Plan, Standing};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::Display;

use super::ExperimentRequest;
use super::planning::Measured;
use super::record::ExperimentRecord;

/// What an experiment would take.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExperimentPlan {
    /// The job whose keys are measured.
    pub job: String,
    /// The TTL of the control in seconds.
    pub control_ttl_seconds: f64,
    /// The other TTL in seconds.
    pub ttl_seconds: f64,
    /// The relative change of misses that should be found: 0.05 are 5 %.
    pub effect: f64,
    /// Smaller changes do not matter.
    pub margin: f64,
    /// The probability of a wrong verdict, however often it is looked at.
    pub alpha: f64,
    /// The probability of finding an effect of that size.
    pub power: f64,
    /// Entries that are written per second.
    pub fills_per_second: f64,
    /// Whether that was measured now, and not given.
    pub fills_measured: bool,
    /// How many times as many fills are needed as if they were independent and all buckets alike.
    pub overdispersion: f64,
    /// What of it was measured now, within half of the TTL: users who come on some days only are not in it. Null if it
    /// could not be measured, or was given.
    pub overdispersion_measured: Option<f64>,
    /// Buckets that users are divided into.
    pub buckets: u32,
    /// Fills that each arm needs.
    pub fills_per_arm: u64,
    /// Fills that each arm would need for an analysis that is made only once, at the end.
    pub fills_per_arm_once: u64,
    /// The length of a period in seconds.
    pub period_seconds: f64,
    /// The part of a period that is measured, in seconds.
    pub measured_seconds: f64,
    /// Periods: even.
    pub periods: u64,
    /// All periods in seconds.
    pub duration_seconds: f64,
    /// Periods until a difference beyond the margin can be ruled out, if there is none; null without a margin.
    pub equivalence_periods: Option<u64>,
    /// How often `status` should be called, in seconds.
    pub look_every_seconds: f64,
    /// With looks further apart than this, fills are missed; in seconds.
    pub look_back_seconds: f64,
}

/// What is known about an experiment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Display, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[strum(serialize_all = "camelCase")]
pub enum Verdict {
    /// It goes on.
    GoOn,
    /// The other TTL has fewer misses.
    Benefit,
    /// The other TTL has more misses.
    Harm,
    /// The difference is within the margin.
    Equivalent,
    /// It is over, and the difference is not known well enough.
    Undecided,
    /// It cannot answer.
    Invalid,
    /// A guard stopped it.
    Guard,
    /// It was stopped by a command, or its assignment was removed.
    Stopped,
}

/// A relative number of misses, the other TTL to the control, with an interval that holds at every look.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RelativeMisses {
    /// 0.9 are 10 % fewer.
    pub estimate: f64,
    /// At least.
    pub low: f64,
    /// At most.
    pub high: f64,
    /// Buckets that it rests on.
    pub buckets: usize,
}

/// The state of an experiment.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExperimentStatus {
    /// Its name.
    pub name: String,
    /// The key of the hash that the application reads.
    pub key: String,
    /// The job whose keys are measured.
    pub job: String,
    /// Its id.
    pub id: String,
    /// Whether the assignment is published; if not, all users have the TTL of the control.
    pub running: bool,
    /// What is known.
    pub verdict: Verdict,
    /// The verdict as a sentence. Its wording can change between versions.
    pub sentence: String,
    /// The TTL of the control in seconds.
    pub control_ttl_seconds: f64,
    /// The other TTL in seconds.
    pub ttl_seconds: f64,
    /// When it began, RFC 3339, UTC.
    pub started_at: String,
    /// When the assignment ends by itself, RFC 3339, UTC.
    pub until: String,
    /// When it ended, RFC 3339, UTC; null while it runs.
    pub ended_at: Option<String>,
    /// The period in progress, from 1; null before the first and after the last.
    pub period: Option<u64>,
    /// All periods.
    pub periods: u64,
    /// For each period that was looked at, the share of its measured part that looks covered.
    pub covered: Vec<f64>,
    /// Complete pairs of periods that are used.
    pub pairs: u64,
    /// Pairs that are not used, because looks are missing.
    pub pairs_missing: u64,
    /// Misses over the complete pairs; null without one.
    pub misses: Option<RelativeMisses>,
    /// The same from all fills together, without an interval: where it differs much, users with much traffic react
    /// differently.
    pub misses_by_fills: Option<f64>,
    /// Misses of the last period, as the guard sees them.
    pub current_misses: Option<RelativeMisses>,
    /// Distinct users of the two groups in complete pairs; of many users a sample.
    pub users: [u64; 2],
    /// Keys with a TTL that their arm cannot have.
    pub impossible_keys: u64,
    /// Keys of which that can be known.
    pub checked_keys: u64,
    /// How often to look, in seconds.
    pub look_every_seconds: f64,
    /// Looks so far.
    pub looks: u64,
    /// The last look, RFC 3339, UTC; null without one.
    pub last_look: Option<String>,
    /// The next look should be made until then, RFC 3339, UTC; null if there is no need for one.
    pub next_look: Option<String>,
}

impl ExperimentPlan {
    pub(super) fn of(request: &ExperimentRequest, measured: &Measured, plan: &Plan) -> Self {
        Self {
            job: request.job.clone(),
            control_ttl_seconds: seconds(request.control_ttl_ms),
            ttl_seconds: seconds(request.ttl_ms),
            effect: request.effect,
            margin: request.margin,
            alpha: request.alpha,
            power: request.power,
            fills_per_second: measured.fills_per_s,
            fills_measured: request.fills_per_s.is_none(),
            overdispersion: measured.overdispersion,
            overdispersion_measured: measured.overdispersion_measured,
            buckets: request.buckets,
            fills_per_arm: plan.fills_per_arm.ceil() as u64,
            fills_per_arm_once: plan.fills_per_arm_once.ceil() as u64,
            period_seconds: seconds(plan.period_ms),
            measured_seconds: seconds(plan.measured_ms),
            periods: plan.periods,
            duration_seconds: seconds(plan.duration_ms),
            equivalence_periods: plan.equivalence_periods,
            look_every_seconds: seconds(plan.look_every_ms),
            look_back_seconds: seconds(plan.look_back_ms),
        }
    }
}

impl ExperimentStatus {
    pub(super) fn of(
        name: &str,
        key: &str,
        record: &ExperimentRecord,
        standing: &Standing,
        verdict: Verdict,
        sentence: String,
        now_ms: u64,
    ) -> Self {
        let (assignment, observed) = (&record.design.assignment, &record.observed);
        let (ended, running) = (record.ended.as_ref(), record.ended.is_none());
        let last_look = (observed.looks > 0).then_some(observed.seen_until_ms);
        let next = last_look.unwrap_or(assignment.start_ms) + record.plan.look_back_ms;
        Self {
            name: name.to_owned(),
            key: key.to_owned(),
            job: record.job.clone(),
            id: record.id.clone(),
            running,
            verdict,
            sentence,
            control_ttl_seconds: seconds(assignment.control_ttl_ms),
            ttl_seconds: seconds(assignment.treated_ttl_ms),
            started_at: rfc3339(assignment.start_ms),
            until: rfc3339(assignment.until_ms),
            ended_at: ended.map(|ended| rfc3339(ended.at_ms)),
            period: assignment.period_at(now_ms).map(|period| period + 1),
            periods: assignment.periods(),
            covered: (0..observed.periods.last_key_value().map_or(0, |(last, _)| last + 1))
                .map(|period| observed.covered(assignment, period))
                .collect(),
            pairs: standing.pairs,
            pairs_missing: standing.pairs_missing,
            misses: standing.misses.map(relative),
            misses_by_fills: standing.misses_by_fills,
            current_misses: standing.current.map(relative),
            users: standing.users,
            impossible_keys: standing.impossible[0],
            checked_keys: standing.impossible[1],
            look_every_seconds: seconds(record.plan.look_every_ms),
            looks: observed.looks,
            last_look: last_look.map(rfc3339),
            next_look: running.then(|| rfc3339(next)),
        }
    }
}

fn relative(misses: Misses) -> RelativeMisses {
    let Misses { estimate, low, high, buckets } = misses;
    RelativeMisses { estimate, low, high, buckets }
}

fn seconds(ms: u64) -> f64 {
    ms as f64 / 1_000.0
}
