//! Findings about the TTL that stand beside sentences of the specification.

use keysweep_model::ttl_advice::{
    RecommendedTtl, SampledTtlAdvice, TtlAdvice, TtlDiagnostics, TtlEstimate, TtlPoint,
};

use super::*;

fn estimate(estimate: f64) -> TtlEstimate {
    TtlEstimate { estimate, low: estimate - 2.0, high: estimate + 3.0 }
}

/// Advice with a curve from half of 15 minutes to twice as long.
fn curve(recommended: Option<f64>) -> TtlAdvice {
    let point = |ttl_seconds, rate, keys| TtlPoint {
        ttl_seconds,
        hit_rate: estimate(rate),
        keys: estimate(keys),
        ..TtlPoint::default()
    };
    let reason = "it pays".to_owned();
    TtlAdvice {
        curve: vec![point(450.0, 40.0, 600.0), point(900.0, 45.0, 1_000.0), point(1_800.0, 48.0, 1_850.0)],
        recommended: recommended.map(|ttl_seconds| RecommendedTtl { ttl_seconds, reason }),
        diagnostics: TtlDiagnostics { current_ttl_seconds: Some(900.0), ..TtlDiagnostics::default() },
        ..TtlAdvice::default()
    }
}

fn refused(refusal: &str, why: &str) -> TtlAdvice {
    TtlAdvice { refused: Some(why.to_owned()), refusal: Some(refusal.to_owned()), ..TtlAdvice::default() }
}

fn advised(case: &Case, advice: TtlAdvice) -> Case {
    let sampled = SampledTtlAdvice { at: "2026-11-24T06:00:00Z".to_owned(), advice };
    case.with(|case| case.result.metrics.ttl_advice = Some(Box::new(sampled)))
}

/// A mean of 150 s is left of a TTL of 15 minutes.
fn low() -> Case {
    with(|case| {
        case.result.current_metrics.avg_ttl = Some(150.0);
        case.result.metrics.ttl.keys = 5_000;
        case.result.metrics.ttl.p99 = Some(420.0);
        case.configured_ttl(Some(900_000));
    })
}

fn rules(case: &Case) -> Vec<String> {
    case.findings().into_iter().map(|finding| finding.rule).collect()
}

fn cause(case: &Case) -> String {
    assert_eq!(rules(case), ["ttl-low", "ttl-low-cause"]);
    case.advice("ttl-low-cause").unwrap()
}

#[test]
fn a_low_mean_ttl_does_not_show_invalidations() {
    let even = "A mean of 2 min 30 s does not show invalidations: keys that are written evenly with a TTL of 15 min have \
                7 min 30 s left on average, and more if they are deleted early. 99% of them expire within 7 min. Either \
                fewer keys were written lately than before, or they are written with a shorter TTL.";
    let ask = "`keysweep ttl advise`, without a stated TTL, finds the one that keys are written with.";
    assert_eq!(cause(&low()), format!("{even} {ask}"));
    let unknown = low().with(|case| case.result.metrics.ttl.p99 = None);
    assert_eq!(cause(&unknown), format!("{} {ask}", even.replace(" 99% of them expire within 7 min.", "")));
    let grown = |keys_before, keys_now, percent_max: f64| {
        let growth = Growth {
            run_id: RunId::new(),
            since: String::new(),
            keys_before,
            keys_now,
            percent: Some(-58.3),
            percent_min: Some(-58.3),
            percent_max: Some(percent_max),
        };
        low().with(|case| case.result.metrics.growth = Some(growth))
    };
    let fallen = "Since the last run, their number has fallen (12,000 → 5,000).";
    assert_eq!(cause(&grown(12_000, 5_000, -58.3)), format!("{even} {fallen} {ask}"));
    assert_eq!(cause(&grown(12_000, 5_000, -20.0)), format!("{even} {ask}"), "it may be smaller");
    assert_eq!(cause(&grown(5_000, 5_000, -58.3)), format!("{even} {ask}"));
    let mut measured = curve(None);
    measured.diagnostics.ended_early = Some(estimate(4.0));
    let followed = "Of followed keys, 4.0% (2.0–7.0) ended before they expired.";
    assert_eq!(cause(&advised(&low(), measured)), format!("{even} {followed}"));
    let evidence = low().found(FindingKind::Recommendation, "ttl-low-cause").unwrap().evidence;
    let figures = ["avgTTL", "evenTTL", "configuredTtlSeconds", "p99"].map(|name| evidence[name].clone());
    assert_eq!(figures, [json!(150.0), json!(450.0), json!(900.0), json!(420.0)]);
}

#[test]
fn advice_stands_beside_what_a_hit_rate_is_said_to_show() {
    let check = |hits, advice: TtlAdvice, expected: &[&str], message: &str| {
        let case = advised(&rate(hits), advice);
        assert_eq!(rules(&case), expected, "{hits}");
        let message =
            (!message.is_empty()).then(|| format!("TTL advice of 24 Nov 2026, 06:00 UTC: {message}."));
        assert_eq!(case.advice("ttl-advice"), message, "{hits}");
    };
    let twice = "with 30 min, 48.0% (46.0–51.0) instead of 45.0% of the requests are expected to be hits, with 1.85 times \
                 the keys";
    let critical = ["hit-rate-critical", "ttl-advice"];
    check(4_500, curve(Some(900.0)), &critical, &format!("today's 15 min is recommended: it pays; {twice}"));
    let longer = format!("30 min instead of 15 min is recommended: it pays; {twice}");
    check(4_500, curve(Some(1_800.0)), &critical, &longer);
    let unreached = format!("no TTL that it knows of reaches the target hit rate; {twice}");
    check(4_500, curve(None), &critical, &unreached);
    let shorter = "7 min 30 s instead of 15 min is recommended: it pays; with 7 min 30 s, 40.0% (38.0–43.0) instead of \
                   45.0% of the requests are expected to be hits, with 0.60 times the keys";
    check(9_500, curve(Some(450.0)), &["hit-rate-excellent", "ttl-advice"], shorter);
    check(8_000, curve(Some(450.0)), &["hit-rate-good", "ttl-advice"], shorter);
    check(6_000, curve(Some(450.0)), &["hit-rate-low"], "");
    // The curve need not reach twice today's TTL.
    let mut short = curve(Some(900.0));
    short.curve.pop();
    check(4_500, short, &critical, "today's 15 min is recommended: it pays");
    let full = "900 keys were evicted and 100 expired";
    check(4_500, refused("capacityBound", full), &critical, full);
    check(4_500, refused("deletedEarly", "80 % end early"), &critical, "80 % end early");
    check(4_500, refused("firstLook", "two looks are needed"), &["hit-rate-critical"], "");
}

/// Most keys in the last fifth of their life are still used.
fn read_late(case: &mut Case) {
    case.result.metrics.ttl.read_late_percent = Some(60.0);
    case.fold.statistics.late = 100;
    case.configured_ttl(Some(900_000));
}

#[test]
fn advice_goes_with_the_praise_that_it_stands_beside() {
    let good = advised(&rate(8_000), curve(Some(900.0)));
    assert_eq!(rules(&good), ["hit-rate-good", "ttl-advice"]);
    let full = |case: &mut Case| case.result.metrics.redis_health.memory_usage_percent = Some(99.0);
    assert_eq!(rules(&good.with(full)), ["memory-high"]);
    assert_eq!(rules(&good.with(read_late)), ["ttl-short", "ttl-advice"], "another finding judges the TTL");
}

#[test]
fn advice_is_shown_where_keys_are_read_late() {
    let found = advised(&with(read_late), curve(Some(900.0))).findings();
    assert_eq!(
        found.iter().map(|finding| finding.rule.as_str()).collect::<Vec<_>>(),
        ["ttl-short", "ttl-advice"]
    );
    assert_eq!(found[1].evidence["currentTtlSeconds"], json!(900.0));
    assert_eq!(found[1].evidence["expected"]["ttlSeconds"], json!(1_800.0));
    assert_eq!(advised(&Case::new(), curve(Some(1_800.0))).findings(), [], "no other finding judges the TTL");
}
