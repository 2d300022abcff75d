//! What is known about the TTL, beside sentences of the specification that conclude too much: a low mean of what is left of
//! TTLs does not show invalidations, and a hit rate alone does not show which TTL is best. Pure.

use keysweep_model::metrics::{Finding, Severity};
use keysweep_model::result::CleanupResult;
use keysweep_model::ttl_advice::refusal::{CAPACITY_BOUND, DELETED_EARLY};
use keysweep_model::ttl_advice::{SampledTtlAdvice, TtlAdvice, TtlEstimate, TtlPoint};
use serde_json::json;

use super::{RuleInput, recommendation};
use crate::format::{grouped, moment, span};

/// The rule about what the latest TTL advice says.
pub(super) const ADVICE: &str = "ttl-advice";

/// Rules whose sentences ask for a longer TTL, or praise today's.
const JUDGE_TTL: [&str; 4] = ["hit-rate-critical", "hit-rate-good", "hit-rate-excellent", "ttl-short"];

/// Advice that is refused for these reasons says that the TTL hardly matters. For all others, nothing is known.
const TTL_HARDLY_MATTERS: [&str; 2] = [CAPACITY_BOUND, DELETED_EARLY];

/// What measures more than a run does.
const ADVISE_HINT: &str =
    "`keysweep ttl advise`, without a stated TTL, finds the one that keys are written with.";

/// Why the mean of what is left of TTLs may be as low as `avg` of `configured`, both in seconds. Keys that are written evenly
/// with one TTL have half of it left on average. Those that are deleted or written again early are missing among the old ones,
/// so that more is left of the others; only fewer writes than before, or other TTLs, make it less.
pub(super) fn low_ttl_cause(avg: f64, configured: f64, result: &CleanupResult) -> Finding {
    let metrics = &result.metrics;
    let mut message = format!(
        "A mean of {} does not show invalidations: keys that are written evenly with a TTL of {} have {} left on average, \
         and more if they are deleted early.",
        span(avg),
        span(configured),
        span(configured / 2.0)
    );
    if let Some(p99) = metrics.ttl.p99 {
        message += &format!(" 99% of them expire within {}.", span(p99));
    }
    message += " Either fewer keys were written lately than before, or they are written with a shorter TTL.";
    let growth = metrics.growth.as_ref().filter(|growth| growth.is_exact());
    if let Some(growth) = growth.filter(|growth| growth.keys_now < growth.keys_before) {
        let [before, now] = [growth.keys_before, growth.keys_now].map(grouped);
        message += &format!(" Since the last run, their number has fallen ({before} → {now}).");
    }
    let early = metrics.ttl_advice.as_ref().and_then(|sampled| sampled.advice.diagnostics.ended_early);
    message += &match early {
        Some(TtlEstimate { estimate, low, high }) => {
            format!(" Of followed keys, {estimate:.1}% ({low:.1}–{high:.1}) ended before they expired.")
        }
        None => format!(" {ADVISE_HINT}"),
    };
    let evidence = [
        ("avgTTL", json!(avg)),
        ("evenTTL", json!(configured / 2.0)),
        ("configuredTtlSeconds", json!(configured)),
        ("p99", json!(metrics.ttl.p99)),
        ("keysBefore", json!(growth.map(|growth| growth.keys_before))),
        ("keysNow", json!(growth.map(|growth| growth.keys_now))),
        ("endedEarlyPercent", json!(early)),
    ];
    recommendation("ttl-low-cause", Severity::Info, message, evidence)
}

/// Whether a finding judges the TTL, so that what is known of it stands beside.
pub(super) fn judges(finding: &Finding) -> bool {
    JUDGE_TTL.contains(&finding.rule.as_str())
}

/// What the latest advice says about the TTL, if one of the other findings judges it.
pub(super) fn advice(found: &[Finding], input: &RuleInput<'_>) -> Option<Finding> {
    let sampled = input.result.metrics.ttl_advice.as_ref().filter(|_| found.iter().any(judges))?;
    let SampledTtlAdvice { at, advice } = &**sampled;
    let (said, expected) = match (&advice.refused, advice.refusal.as_deref()) {
        (None, _) => recommended(advice)?,
        (Some(why), Some(name)) if TTL_HARDLY_MATTERS.contains(&name) => (why.clone(), None),
        (Some(_), _) => return None,
    };
    let evidence = [
        ("at", json!(at)),
        ("currentTtlSeconds", json!(advice.diagnostics.current_ttl_seconds)),
        ("recommendedTtlSeconds", json!(advice.recommended.as_ref().map(|chosen| chosen.ttl_seconds))),
        ("expected", json!(expected)),
        ("refusal", json!(advice.refusal)),
    ];
    let message = format!("TTL advice of {}: {said}.", moment(at));
    Some(recommendation(ADVICE, Severity::Info, message, evidence))
}

/// The recommended TTL, and what is expected with it; with twice today's, if today's is recommended or none is.
fn recommended(advice: &TtlAdvice) -> Option<(String, Option<&TtlPoint>)> {
    let current = advice.diagnostics.current_ttl_seconds?;
    let at = |ttl: f64| advice.curve.iter().find(|point| (point.ttl_seconds - ttl).abs() < 1e-6);
    let today = at(current)?;
    let other = advice.recommended.as_ref().filter(|chosen| chosen.ttl_seconds != today.ttl_seconds);
    let chosen = match (&advice.recommended, other) {
        (Some(chosen), Some(_)) => {
            format!(
                "{} instead of {} is recommended: {}",
                span(chosen.ttl_seconds),
                span(current),
                chosen.reason
            )
        }
        (Some(chosen), None) => format!("today's {} is recommended: {}", span(current), chosen.reason),
        (None, _) => "no TTL that it knows of reaches the target hit rate".to_owned(),
    };
    let Some(point) = at(other.map_or(2.0 * current, |chosen| chosen.ttl_seconds)) else {
        return Some((chosen, None));
    };
    let rate = point.hit_rate;
    let expected = format!(
        "; with {}, {:.1}% ({:.1}–{:.1}) instead of {:.1}% of the requests are expected to be hits, with {:.2} times the keys",
        span(point.ttl_seconds),
        rate.estimate,
        rate.low,
        rate.high,
        today.hit_rate.estimate,
        point.keys.estimate / today.keys.estimate
    );
    Some((chosen + &expected, Some(point)))
}
