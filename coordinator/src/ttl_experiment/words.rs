//! What is published, and what is said.

use keysweep_model::time::rfc3339;
use keysweep_redis::ttl_assignment::ID_FIELD;
use keysweep_ttl_experiment::limits::LOOK_FILLS_MAX;
use keysweep_ttl_experiment::{Decision, LookFault, Standing};
use serde_json::json;

use super::Verdict;
use super::record::ExperimentRecord;

/// The fields of the hash, as `docs/ttl-experiments.md` describes them.
pub(super) fn fields(record: &ExperimentRecord) -> [(&'static str, String); 8] {
    let of = &record.design.assignment;
    let arm = |from: u32, to: u32, ttl: u64| json!({ "from": from, "to": to, "ttl": ttl });
    let arms =
        json!([arm(0, of.middle(), of.control_ttl_ms), arm(of.middle(), of.buckets, of.treated_ttl_ms)]);
    [
        (ID_FIELD, record.id.clone()),
        ("version", "1".to_owned()),
        ("salt", of.salt.clone()),
        ("buckets", of.buckets.to_string()),
        ("arms", arms.to_string()),
        ("start", of.start_ms.to_string()),
        ("period", of.period_ms.to_string()),
        ("until", of.until_ms.to_string()),
    ]
}

/// What ends the experiment, and why; none if it goes on.
pub(super) fn verdict(record: &ExperimentRecord, known: &Standing) -> Option<(Verdict, String)> {
    let interval = known.misses.map_or_else(String::new, |misses| {
        let change = |ratio: f64| format!("{:+.1} %", (ratio - 1.0) * 100.0);
        let [low, estimate, high] = [misses.low, misses.estimate, misses.high].map(change);
        format!("misses of the other TTL: {estimate} ({low} to {high})")
    });
    let margin = record.design.margin * 100.0;
    Some(match known.decision {
        Decision::GoOn => return None,
        Decision::Benefit => (Verdict::Benefit, format!("the other TTL has fewer misses; {interval}")),
        Decision::Harm => (Verdict::Harm, format!("the other TTL has more misses; {interval}")),
        Decision::Equivalent => {
            (Verdict::Equivalent, format!("the difference is within {margin} %; {interval}"))
        }
        Decision::Undecided if known.misses.is_none() => (
            Verdict::Undecided,
            "it is over, and no pair of periods was looked at often enough to say anything".to_owned(),
        ),
        Decision::Undecided => (
            Verdict::Undecided,
            format!("it is over, and the difference is not known well enough; {interval}"),
        ),
        Decision::Invalid(why) => (Verdict::Invalid, why.to_string()),
        Decision::Stopped(guard) => (Verdict::Guard, guard.to_string()),
    })
}

/// Why a look does not count, and what to do.
pub(super) fn fault(fault: LookFault) -> String {
    match fault {
        LookFault::TooSlow { took_ms } => format!(
            "it ended {took_ms} ms after the first entry that it counts, which is longer than the shorter TTL; allow a \
             faster pace with `--max-speed`"
        ),
        LookFault::TooMany => format!(
            "more than {LOOK_FILLS_MAX} entries were written since the last look; look more often, or restrict `--pattern`"
        ),
    }
}

/// What is said while it goes on.
pub(super) fn going_on(record: &ExperimentRecord, known: &Standing) -> String {
    let of = &record.design.assignment;
    match known.pairs {
        0 => {
            let first = rfc3339(of.measured(1).end);
            format!("nothing is known before the first pair of periods is complete, at {first}")
        }
        pairs => format!("not decided after {pairs} of {} pairs of periods", of.periods() / 2),
    }
}
