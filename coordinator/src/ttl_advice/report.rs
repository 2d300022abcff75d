//! The advice as programs read it, made from an estimate. Pure.

use keysweep_model::ttl_advice::{RecommendedTtl, TtlAdvice, TtlDiagnostics, TtlEstimate, TtlPoint};
use keysweep_ttl_advice::{Advice, CurvePoint, Estimate, Method, Reason, Refusal};

/// Milliseconds as seconds.
#[expect(clippy::cast_precision_loss, reason = "shown to a millisecond")]
pub(super) fn seconds(ms: u64) -> f64 {
    ms as f64 / 1_000.0
}

/// Why nothing is said about other TTLs: the name of the reason, and a sentence.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Refused {
    pub(super) name: &'static str,
    pub(super) why: String,
}

impl Refused {
    pub(super) fn new(name: &'static str, why: impl Into<String>) -> Self {
        Self { name, why: why.into() }
    }

    pub(super) fn of(refusal: &Refusal) -> Self {
        Self::new(refusal.name(), refusal.to_string())
    }

    /// The advice that says only this.
    pub(super) fn advice(self, diagnostics: TtlDiagnostics) -> TtlAdvice {
        TtlAdvice {
            refused: Some(self.why),
            refusal: Some(self.name.to_owned()),
            diagnostics,
            ..TtlAdvice::default()
        }
    }
}

fn times(of: Estimate, factor: f64) -> TtlEstimate {
    TtlEstimate { estimate: of.estimate * factor, low: of.low * factor, high: of.high * factor }
}

fn percent(of: Estimate) -> TtlEstimate {
    times(of, 100.0)
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn point(of: &CurvePoint, live_keys: u64) -> TtlPoint {
    TtlPoint {
        ttl_seconds: seconds(of.ttl_ms),
        hit_rate: percent(of.hit_rate),
        misses: times(of.misses, 1.0),
        keys: times(of.keys, live_keys as f64),
        bytes: of.bytes.map(|bytes| times(bytes, 1.0)),
    }
}

/// The estimate with what is known besides; `live_keys` scales the curve.
pub(super) fn advice(of: &Advice, live_keys: u64, known: TtlDiagnostics) -> TtlAdvice {
    let known =
        TtlDiagnostics { sampled_keys: of.keys as u64, never_read: of.never_read.map(percent), ..known };
    let curve = match &of.curve {
        Ok(curve) => curve,
        Err(refusal) => return Refused::of(refusal).advice(known),
    };
    let method = match curve.method {
        Method::Snapshot => "snapshot",
        Method::Panel => "panel",
    };
    TtlAdvice {
        curve: curve.points.iter().map(|of| point(of, live_keys)).collect(),
        recommended: curve.recommended.map(|chosen| RecommendedTtl {
            ttl_seconds: seconds(chosen.ttl_ms),
            reason: sentence(chosen.reason).to_owned(),
        }),
        diagnostics: TtlDiagnostics {
            method: Some(method.to_owned()),
            share_of_misses: curve.share_of_misses.map(percent),
            ended_early: curve.early_ends.map(|ends| percent(ends.share)),
            saved_at_most: curve.early_ends.map(|ends| ends.saved_at_most * 100.0),
            ..known
        },
        ..TtlAdvice::default()
    }
}

fn sentence(reason: Reason) -> &'static str {
    match reason {
        Reason::ReachesTarget => {
            "it is the shortest whose hit rate reaches the target with its whole interval"
        }
        Reason::Knee => {
            "doubling it once more may save less than 2 % of the misses per 10 % of additional keys"
        }
        Reason::LongestKnown => {
            "each doubling up to it saves at least 2 % of the misses per 10 % of additional keys; nothing is known of \
             longer ones"
        }
    }
}

#[cfg(test)]
mod tests {
    use keysweep_model::ttl_advice::refusal;

    use super::*;

    #[test]
    fn refusals_of_the_estimate_have_the_names_that_others_compare() {
        let full = Refusal::CapacityBound { evicted: 1, expired: 1, longest_idle_ms: None };
        let early = Refusal::DeletedEarly { share: 0.5, miss_rate: 0.5, saved_at_most: 0.5 };
        let several = Refusal::SeveralTtls { above: 1, below: 1, remaining_ms: 1 };
        assert_eq!(full.name(), refusal::CAPACITY_BOUND);
        assert_eq!(early.name(), refusal::DELETED_EARLY);
        assert_eq!(several.name(), refusal::SEVERAL_TTLS);
    }
}
