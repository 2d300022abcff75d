//! Every recommendation and issue: the expected message and its evidence, on both sides of each limit.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at what it did not expect")]

mod rules;
mod ttl;

use std::collections::BTreeMap;

use keysweep_model::ids::RunId;
use keysweep_model::messages::{Cancel, CancelKind, Rules, RunSpec, UnreachableNode};
use keysweep_model::metrics::{Finding, FindingKind, Growth, HitRateWindow, Severity};
use keysweep_model::result::{CleanupResult, Coverage};
use keysweep_model::slot::SlotSet;
use keysweep_storage::records::Record;
use proptest::prelude::*;
use serde_json::json;

use super::{RuleInput, set};
use crate::finish::{ResultContext, finish};
use crate::fold::Fold;

/// The input of the rules, owned. It begins as a run to which no rule applies.
#[derive(Clone)]
struct Case {
    fold: Fold,
    context: ResultContext,
    result: CleanupResult,
}

impl Case {
    fn new() -> Self {
        let spec = RunSpec::plain(RunId::new(), Rules::deleting(&["*"], &[]).unwrap());
        let mut fold = Fold::default();
        fold.apply(&Record::Spec(Box::new(spec)));
        let context = ResultContext::default();
        let mut result = finish(&fold, &context).unwrap();
        result.coverage = Coverage { complete: true, ..Coverage::default() };
        Self { fold, context, result }
    }

    /// The same with a change.
    fn with(&self, change: impl FnOnce(&mut Self)) -> Self {
        let mut case = self.clone();
        change(&mut case);
        case
    }

    fn spec(&mut self) -> &mut RunSpec {
        self.fold.spec.as_mut().unwrap()
    }

    /// Sets the TTL that the application uses.
    fn configured_ttl(&mut self, ms: Option<u64>) {
        let application = &mut self.spec().application;
        (application.ttl_configured, application.configured_ttl_ms) = (ms.is_some(), ms.unwrap_or_default());
    }

    fn findings(&self) -> Vec<Finding> {
        let Self { fold, context, result } = self;
        let spec = fold.spec.as_ref().unwrap();
        let mut after = result.clone();
        set(&mut after, super::findings(&RuleInput { fold, spec, context, result }));
        after.findings
    }

    fn found(&self, kind: FindingKind, rule: &str) -> Option<Finding> {
        self.findings().into_iter().find(|finding| finding.kind == kind && finding.rule == rule)
    }

    fn advice(&self, rule: &str) -> Option<String> {
        self.found(FindingKind::Recommendation, rule).map(|finding| finding.message)
    }

    fn problem(&self, rule: &str) -> Option<String> {
        self.found(FindingKind::Issue, rule).map(|finding| finding.message)
    }
}

fn with(change: impl FnOnce(&mut Case)) -> Case {
    Case::new().with(change)
}

fn window(hits: u64, lookups: Option<u64>) -> HitRateWindow {
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let hit_rate = Some(hits as f64 / 100.0);
    HitRateWindow {
        hit_rate,
        lookups,
        hits: Some(hits),
        misses: Some(10_000 - hits),
        ..HitRateWindow::default()
    }
}

/// A cache with this hit rate out of 10,000 lookups, and a configured TTL of 15 minutes.
fn rate(hits: u64) -> Case {
    with(|case| {
        case.result.metrics.hit_rates.during_run = window(hits, Some(10_000));
        case.result.current_metrics.avg_ttl = Some(700.0);
        case.configured_ttl(Some(900_000));
    })
}

#[test]
fn an_unremarkable_run_has_no_findings() {
    assert_eq!(Case::new().findings(), []);
}

#[test]
fn hit_rates_on_both_sides_of_each_limit() {
    let check = |hits, rule, message: &str| {
        let all = rate(hits).findings();
        let [only] = all.as_slice() else { panic!("{all:?}") };
        assert_eq!((only.rule.as_str(), only.message.as_str()), (rule, message));
        assert_eq!((&only.evidence["hits"], &only.evidence["misses"]), (&json!(hits), &json!(10_000 - hits)));
        assert!(only.evidence["limit"].is_number() && only.evidence["hitRate"].is_number());
    };
    let critical = "Consider doubling the cache TTL (15min → 30min).";
    check(0, "hit-rate-critical", &format!("CRITICAL: Low cache hit rate (0.0%). {critical}"));
    check(4_999, "hit-rate-critical", &format!("CRITICAL: Low cache hit rate (50.0%). {critical}"));
    check(5_000, "hit-rate-low", "Low cache hit rate (50.0%). Review permission check patterns.");
    check(6_999, "hit-rate-low", "Low cache hit rate (70.0%). Review permission check patterns.");
    check(7_000, "hit-rate-good", "Good cache hit rate (70.0%). Current configuration is working well.");
    check(7_850, "hit-rate-good", "Good cache hit rate (78.5%). Current configuration is working well.");
    check(9_000, "hit-rate-good", "Good cache hit rate (90.0%). Current configuration is working well.");
    check(9_001, "hit-rate-excellent", "Excellent cache hit rate (90.0%). TTL is optimal.");
    let stale = rate(9_500).with(|case| case.fold.totals.counts.stale = 1).findings();
    assert_eq!(stale.iter().map(|found| found.rule.as_str()).collect::<Vec<_>>(), ["stale-keys"]);
    let critical = |ms| rate(10).with(|case| case.configured_ttl(ms)).advice("hit-rate-critical").unwrap();
    assert!(critical(Some(3_600_000)).ends_with("(1h → 2h)."));
    assert!(critical(None).ends_with("doubling the cache TTL."));
    let of = |lookups, hits| with(|case| case.result.metrics.hit_rates.during_run = window(hits, lookups));
    for hits in [0, 6_000, 8_000, 10_000] {
        assert_eq!(of(Some(999), hits).findings(), [], "too few to be significant");
        assert_eq!(of(None, hits).findings(), []);
        assert_eq!(of(Some(1_000), hits).findings().len(), 1);
    }
    let finding = rate(10).found(FindingKind::Recommendation, "hit-rate-critical");
    assert_eq!(finding.unwrap().severity, Severity::Critical);
}

#[test]
fn low_and_short_ttls() {
    let low = |avg, keys, configured_ms| {
        with(|case| {
            case.result.current_metrics.avg_ttl = Some(avg);
            case.result.metrics.ttl.keys = keys;
            case.configured_ttl(configured_ms);
        })
    };
    let half_an_hour = Some(1_800_000);
    let message = "Most caches are near expiration (avg TTL: 450s). This suggests high invalidation rate.";
    assert_eq!(low(450.0, 100, half_an_hour).advice("ttl-low").as_deref(), Some(message));
    assert_eq!(low(450.1, 100, half_an_hour).advice("ttl-low"), None);
    assert_eq!(low(1.0, 99, half_an_hour).findings(), []);
    assert_eq!(low(1.0, 100, None).findings(), [], "no TTL is configured");
    let evidence =
        low(100.0, 100, half_an_hour).found(FindingKind::Recommendation, "ttl-low").unwrap().evidence;
    assert_eq!((&evidence["avgTTL"], &evidence["configuredTtlSeconds"]), (&json!(100.0), &json!(1_800.0)));
    let late = |percent, keys, configured_ms| {
        with(|case| {
            case.result.metrics.ttl.read_late_percent = Some(percent);
            case.fold.statistics.late = keys;
            case.configured_ttl(configured_ms);
        })
    };
    let quarter = Some(900_000);
    let message = "51% of the keys in the last fifth of their TTL are still being read. Consider a TTL longer than 15min.";
    assert_eq!(late(51.0, 100, quarter).advice("ttl-short").as_deref(), Some(message));
    assert_eq!(late(50.0, 100, quarter).advice("ttl-short"), None);
    assert_eq!(late(100.0, 99, quarter).findings(), []);
    assert_eq!(late(100.0, 100, None).findings(), []);
}

proptest! {
    /// No result praises the cache next to other findings, or recommends both a longer and a shorter TTL.
    #[test]
    fn advice_does_not_contradict_itself(
        (hits, lookups) in (0_u64..=10_000, 0_u64..5_000),
        (avg, keys, late_percent, late_keys) in (0.0..1_000.0, 0_u64..300, 0.0..100.0, 0_u64..300),
        (memory, aggressive, configured) in (0.0..100.0, any::<bool>(), any::<bool>()),
    ) {
        let case = with(|case| {
            let result = &mut case.result;
            result.metrics.hit_rates.during_run = window(hits, Some(lookups));
            result.current_metrics.avg_ttl = Some(avg);
            result.metrics.ttl.keys = keys;
            result.metrics.ttl.read_late_percent = Some(late_percent);
            result.metrics.redis_health.memory_usage_percent = Some(memory);
            result.inactive.searched = aggressive;
            case.fold.statistics.late = late_keys;
            case.configured_ttl(configured.then_some(900_000));
        });
        let all = case.findings();
        let says = |words: &[&str]| {
            all.iter().any(|said| words.iter().any(|word| said.message.to_lowercase().contains(word)))
        };
        let praises = says(&["is optimal", "working well"]);
        let (longer, shorter) = (says(&["doubling the cache ttl", "a ttl longer than"]), says(&["reduce the ttl"]));
        let contradicts = praises && all.len() > 1 || longer && shorter;
        prop_assert!(!contradicts, "{:?}", all);
    }
}

#[test]
fn many_keys_and_growth() {
    let keys = |keys, aggressive| {
        with(|case| {
            case.result.current_metrics.total_keys = Some(keys);
            case.result.inactive.searched = aggressive;
        })
        .advice("keys-many")
    };
    let message = "Large number of cached keys (10,001). Consider enabling aggressive cleanup.";
    assert_eq!(keys(10_001, false).as_deref(), Some(message));
    assert_eq!(keys(10_000, false), None);
    assert_eq!(keys(10_001, true), None, "already enabled");
    let grown = |keys_before: u64, keys_now: u64, percent, bounds: Option<(f64, Option<f64>)>| {
        let (percent_min, percent_max) = bounds.map_or((percent, percent), |(min, max)| (Some(min), max));
        let (run_id, since) = (RunId::new(), String::new());
        let growth = Growth { run_id, since, keys_before, keys_now, percent, percent_min, percent_max };
        with(|case| case.result.metrics.growth = Some(growth)).advice("growth-high")
    };
    let message =
        "The number of keys grew by 21% since the last run (10,000 → 12,100). Review the caching strategy.";
    assert_eq!(grown(10_000, 12_100, Some(21.0), None).as_deref(), Some(message));
    assert_eq!(grown(10_000, 12_000, Some(20.0), None), None);
    let about = |min, max| grown(10_000, 14_000, Some(40.0), Some((min, max)));
    let message = about(21.0, Some(61.0)).unwrap();
    assert!(
        message.contains("grew by 21% to 61% since the last run (about 10,000 → about 14,000)"),
        "{message}"
    );
    assert!(about(21.0, None).unwrap().contains("grew by at least 21% since"));
    assert_eq!(about(19.0, Some(61.0)), None, "it may be below the limit");
    assert_eq!(grown(100, 1_099, Some(999.0), None), None, "too few to be significant");
    assert!(grown(0, 1_000, None, None).unwrap().contains("grew since"));
    assert_eq!(grown(9_000, 100, Some(-98.9), None), None);
}

#[test]
fn errors_above_one_percent_of_hits() {
    let of = |errors, hits| {
        let window = HitRateWindow { hits: Some(hits), errors, ..HitRateWindow::default() };
        with(|case| case.result.metrics.hit_rates.during_run = window)
    };
    let many = of(Some(12), 1_000);
    assert_eq!(many.problem("errors-high").as_deref(), Some("High cache error rate: 12 errors vs 1000 hits"));
    let message = "Cache errors are 1.2% of hits. Investigate Redis connection stability.";
    assert_eq!(many.advice("errors-high").as_deref(), Some(message));
    let evidence = many.found(FindingKind::Issue, "errors-high").unwrap().evidence;
    assert_eq!(
        (&evidence["errors"], &evidence["hits"], &evidence["limit"]),
        (&json!(12), &json!(1_000), &json!(1.0))
    );
    assert_eq!(of(Some(10), 1_000).problem("errors-high"), None);
    assert_eq!(
        of(Some(11), 1_000).problem("errors-high").as_deref(),
        Some("High cache error rate: 11 errors vs 1000 hits")
    );
    assert!(of(Some(10), 0).problem("errors-high").is_some(), "errors without a hit");
    assert_eq!(of(Some(9), 0).problem("errors-high"), None, "too few to be significant");
    assert_eq!(of(Some(9), 20).problem("errors-high"), None);
    assert_eq!(of(Some(0), 0).problem("errors-high"), None);
    assert_eq!(of(None, 0).problem("errors-high"), None, "not counted");
}

#[test]
fn memory_above_eighty_percent() {
    let memory = |percent, aggressive| {
        with(|case| {
            case.result.metrics.redis_health.memory_usage_percent = Some(percent);
            case.result.inactive.searched = aggressive;
        })
        .advice("memory-high")
    };
    let message = "High Redis memory usage (80.1%). Enable aggressive cleanup or reduce the TTL.";
    assert_eq!(memory(80.1, false).as_deref(), Some(message));
    assert_eq!(memory(80.1, true).as_deref(), Some("High Redis memory usage (80.1%). Reduce the TTL."));
    assert_eq!(memory(80.0, false), None);
    let sick =
        with(|case| case.result.metrics.redis_health.problems = vec!["`a:1` does not answer".to_owned()]);
    assert_eq!(sick.problem("redis-health").as_deref(), Some("Redis: `a:1` does not answer"));
}

#[test]
fn findings_about_the_run() {
    let stale = |stale, stale_protected| {
        with(|case| {
            let counts = &mut case.fold.totals.counts;
            (counts.stale, counts.stale_protected) = (stale, stale_protected);
        })
    };
    let bug = "Found 3 keys without TTL - this indicates a caching bug";
    check(&stale(3, 0), "stale-keys", bug);
    check(&stale(5, 2), "stale-keys", &format!("{bug} (2 more are protected)"));
    assert_eq!(stale(7, 7).findings(), [], "protected keys need no action");
    let cancel = Cancel { kind: CancelKind::Asked, cause: "Ctrl-C".to_owned() };
    check(&with(|case| case.fold.cancel = Some(cancel)), "stopped", "The run was stopped: Ctrl-C");
    let refused = "the set is empty".to_owned();
    check(
        &with(|case| case.spec().inactive_refused = Some(refused)),
        "aggressive-refused",
        "Aggressive cleanup was refused: the set is empty",
    );
    check(
        &with(|case| case.spec().insecure = true),
        "insecure",
        "TLS certificates were not verified (`--insecure`): the keys read and deleted may belong to another \
         server; set the CA with `--cacert` instead",
    );
    let unreachable = UnreachableNode {
        cause: "redis at `a:1` cannot be reached: refused".to_owned(),
        slots: SlotSet::all(),
    };
    check(
        &with(|case| case.spec().unreachable_nodes = vec![unreachable]),
        "node-unreachable",
        "Node excluded from the run: redis at `a:1` cannot be reached: refused",
    );
    let problem = "there is no hash `m`".to_owned();
    check(
        &with(|case| case.result.metrics.hit_rates.problem = Some(problem)),
        "hit-rate-unknown",
        "The hit rate is unknown: there is no hash `m`",
    );
}

#[test]
fn findings_about_incomplete_runs() {
    let of = |name: &str, n| BTreeMap::from([(name.to_owned(), n)]);
    let coverage = |slots_covered, missing: &str| {
        let missing = Some(missing.to_owned());
        with(|case| case.result.coverage = Coverage { slots_covered, missing, ..Coverage::default() })
    };
    check(&coverage(Some(1), "2-5"), "not-covered", "Not covered: slots 2-5");
    check(&coverage(None, "database 0"), "not-covered", "Not covered: database 0");
    check(
        &with(|case| case.result.coverage.causes = of("gone", 4)),
        "tasks-failed",
        "4 scan tasks did not complete: gone",
    );
    check(&with(|case| case.result.accounting.failed = 2), "candidates-failed", "2 candidates failed");
    check(
        &with(|case| case.result.accounting.unreached = 3),
        "candidates-unreached",
        "3 candidates were not reached",
    );
    check(
        &with(|case| case.result.accounting.unconfirmed = 1),
        "candidates-unconfirmed",
        "1 candidates are unconfirmed: they were tried, and whether they were changed is not known",
    );
    let too_long = with(|case| {
        case.fold.totals.counts.too_long = 1;
        case.fold.long_keys = vec!["aaa…".to_owned()];
        case.result.accounting.failed = 1;
    });
    check(&too_long, "key-too-long", "1 keys are too long to process (key_too_long): aaa…");
    check(&with(|case| case.fold.causes = of("READONLY", 7)), "batches-failed", "7 reap batches: READONLY");
    check(
        &with(|case| case.context.dead_letters = of("unreadable", 1)),
        "dead-letters",
        "1 queue messages could not be decoded or verified (dead letters): unreadable",
    );
    check(
        &with(|case| case.result.scanned_keys_approximate = true),
        "approximate",
        "scannedKeys is approximate: keys may have been listed twice, or counted before their slot moved",
    );
}

/// The issue of `rule` is the only finding.
#[track_caller]
fn check(case: &Case, rule: &str, message: &str) {
    assert_eq!(case.problem(rule).as_deref(), Some(message));
    assert_eq!(case.findings().len(), 1, "{:?}", case.findings());
}
