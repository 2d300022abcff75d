//! Every recommendation and issue: facts in, the expected sentence and its evidence out, on both sides of each limit.

use std::collections::BTreeMap;

use keysweep_model::ids::RunId;
use keysweep_model::messages::{CancelKind, UnreachableNode};
use keysweep_model::metrics::{Finding, FindingKind, Growth, HitRateWindow, Severity};
use keysweep_model::result::{Accounting, Coverage};
use keysweep_model::slot::SlotSet;
use proptest::prelude::*;
use reporter::findings::{Facts, findings};
use serde_json::json;

/// The finding of one rule.
fn found(facts: &Facts, kind: FindingKind, rule: &str) -> Option<Finding> {
    findings(facts).into_iter().find(|finding| finding.kind == kind && finding.rule == rule)
}

fn advice(facts: &Facts, rule: &str) -> Option<String> {
    found(facts, FindingKind::Recommendation, rule).map(|finding| finding.message)
}

fn problem(facts: &Facts, rule: &str) -> Option<String> {
    found(facts, FindingKind::Issue, rule).map(|finding| finding.message)
}

/// Facts of a cache with this hit rate out of 10,000 lookups.
fn rate(hits: u64) -> Facts {
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let hit_rate = Some(hits as f64 / 100.0);
    let window = HitRateWindow {
        hit_rate,
        lookups: Some(10_000),
        hits: Some(hits),
        misses: Some(10_000 - hits),
        ..HitRateWindow::default()
    };
    Facts { window, configured_ttl_ms: Some(900_000), avg_ttl: Some(700.0), ..Facts::default() }
}

#[test]
fn no_facts_give_no_findings() {
    assert_eq!(findings(&Facts::default()), []);
}

#[test]
fn hit_rates_on_both_sides_of_each_limit() {
    let check = |hits, rule, sentence: &str| {
        let all = findings(&rate(hits));
        let [only] = all.as_slice() else { panic!("{all:?}") };
        assert_eq!((only.rule.as_str(), only.message.as_str()), (rule, sentence));
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
    let stale = findings(&Facts { stale_keys: 1, ..rate(9_500) });
    assert_eq!(stale.iter().map(|found| found.rule.as_str()).collect::<Vec<_>>(), ["stale-keys"]);
    let longer = Facts { configured_ttl_ms: Some(3_600_000), ..rate(10) };
    assert!(advice(&longer, "hit-rate-critical").unwrap().ends_with("(1h → 2h)."));
    let unsaid = Facts { configured_ttl_ms: None, ..rate(10) };
    assert!(advice(&unsaid, "hit-rate-critical").unwrap().ends_with("doubling the cache TTL."));
    let of =
        |lookups, hits| Facts { window: HitRateWindow { lookups, ..rate(hits).window }, ..Facts::default() };
    for hits in [0, 6_000, 8_000, 10_000] {
        assert_eq!(findings(&of(Some(999), hits)), [], "too few to be significant");
        assert_eq!(findings(&of(None, hits)), []);
        assert_eq!(findings(&of(Some(1_000), hits)).len(), 1);
    }
    assert_eq!(
        found(&rate(10), FindingKind::Recommendation, "hit-rate-critical").unwrap().severity,
        Severity::Critical
    );
}

#[test]
fn low_and_short_ttls() {
    let configured_ttl_ms = Some(1_800_000);
    let facts = |avg| Facts { avg_ttl: Some(avg), keys_with_ttl: 100, configured_ttl_ms, ..Facts::default() };
    let sentence = "Most caches are near expiration (avg TTL: 450s). This suggests high invalidation rate.";
    assert_eq!(advice(&facts(450.0), "ttl-low").as_deref(), Some(sentence));
    assert_eq!(advice(&facts(450.1), "ttl-low"), None);
    assert_eq!(findings(&Facts { keys_with_ttl: 99, ..facts(1.0) }), []);
    assert_eq!(findings(&Facts { configured_ttl_ms: None, ..facts(1.0) }), [], "no TTL is configured");
    let evidence = found(&facts(100.0), FindingKind::Recommendation, "ttl-low").unwrap().evidence;
    assert_eq!((&evidence["avgTTL"], &evidence["configuredTtlSeconds"]), (&json!(100.0), &json!(1_800.0)));
    let late = |percent| Facts {
        read_late_percent: Some(percent),
        late_keys: 100,
        configured_ttl_ms: Some(900_000),
        ..Facts::default()
    };
    let sentence = "51% of the keys in the last fifth of their TTL are still being read. Consider a TTL longer than 15min.";
    assert_eq!(advice(&late(51.0), "ttl-short").as_deref(), Some(sentence));
    assert_eq!(advice(&late(50.0), "ttl-short"), None);
    assert_eq!(findings(&Facts { late_keys: 99, ..late(100.0) }), []);
    assert_eq!(findings(&Facts { configured_ttl_ms: None, ..late(100.0) }), []);
}

proptest! {
    /// No result praises the cache next to other findings, or recommends both a longer and a shorter TTL.
    #[test]
    fn advice_does_not_contradict_itself(
        (hits, lookups) in (0_u64..=10_000, 0_u64..5_000),
        (avg, keys, late_percent, late_keys) in (0.0..1_000.0, 0_u64..300, 0.0..100.0, 0_u64..300),
        (memory, aggressive, configured) in (0.0..100.0, any::<bool>(), any::<bool>()),
    ) {
        let window = HitRateWindow { lookups: Some(lookups), ..rate(hits).window };
        let facts = Facts {
            window,
            configured_ttl_ms: configured.then_some(900_000),
            avg_ttl: Some(avg),
            keys_with_ttl: keys,
            read_late_percent: Some(late_percent),
            late_keys,
            memory_usage_percent: Some(memory),
            aggressive,
            ..Facts::default()
        };
        let all = findings(&facts);
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
    let keys = |keys, aggressive| Facts { total_keys: Some(keys), aggressive, ..Facts::default() };
    let sentence = "Large number of cached keys (10,001). Consider enabling aggressive cleanup.";
    assert_eq!(advice(&keys(10_001, false), "keys-many").as_deref(), Some(sentence));
    assert_eq!(advice(&keys(10_000, false), "keys-many"), None);
    assert_eq!(advice(&keys(10_001, true), "keys-many"), None, "already enabled");
    let grown = |keys_before: u64, keys_now: u64, percent| Facts {
        growth: Some(Growth {
            run_id: RunId::new(),
            since: String::new(),
            keys_before,
            keys_now,
            percent,
            percent_min: percent,
            percent_max: percent,
        }),
        ..Facts::default()
    };
    let sentence =
        "The number of keys grew by 21% since the last run (10,000 → 12,100). Review the caching strategy.";
    assert_eq!(advice(&grown(10_000, 12_100, Some(21.0)), "growth-high").as_deref(), Some(sentence));
    assert_eq!(advice(&grown(10_000, 12_000, Some(20.0)), "growth-high"), None);
    let about = |min, max| {
        let mut facts = grown(10_000, 14_000, Some(40.0));
        let growth = facts.growth.as_mut().unwrap();
        (growth.percent_min, growth.percent_max) = (Some(min), max);
        advice(&facts, "growth-high")
    };
    let sentence = about(21.0, Some(61.0)).unwrap();
    assert!(
        sentence.contains("grew by 21% to 61% since the last run (about 10,000 → about 14,000)"),
        "{sentence}"
    );
    assert!(about(21.0, None).unwrap().contains("grew by at least 21% since"));
    assert_eq!(about(19.0, Some(61.0)), None, "it may be below the limit");
    assert_eq!(advice(&grown(100, 1_099, Some(999.0)), "growth-high"), None, "too few to be significant");
    assert!(advice(&grown(0, 1_000, None), "growth-high").unwrap().contains("grew since"));
    assert_eq!(advice(&grown(9_000, 100, Some(-98.9)), "growth-high"), None);
}

#[test]
fn errors_above_one_percent_of_hits() {
    let facts = |errors, hits| Facts {
        window: HitRateWindow { hits: Some(hits), errors, ..HitRateWindow::default() },
        ..Facts::default()
    };
    let many = facts(Some(12), 1_000);
    assert_eq!(
        problem(&many, "errors-high").as_deref(),
        Some("High cache error rate: 12 errors vs 1000 hits")
    );
    let sentence = "Cache errors are 1.2% of hits. Investigate Redis connection stability.";
    assert_eq!(advice(&many, "errors-high").as_deref(), Some(sentence));
    let evidence = found(&many, FindingKind::Issue, "errors-high").unwrap().evidence;
    assert_eq!(
        (&evidence["errors"], &evidence["hits"], &evidence["limit"]),
        (&json!(12), &json!(1_000), &json!(1.0))
    );
    assert_eq!(problem(&facts(Some(10), 1_000), "errors-high"), None);
    assert_eq!(
        problem(&facts(Some(11), 1_000), "errors-high").as_deref(),
        Some("High cache error rate: 11 errors vs 1000 hits")
    );
    assert!(problem(&facts(Some(10), 0), "errors-high").is_some(), "errors without a hit");
    assert_eq!(problem(&facts(Some(9), 0), "errors-high"), None, "too few to be significant");
    assert_eq!(problem(&facts(Some(9), 20), "errors-high"), None);
    assert_eq!(problem(&facts(Some(0), 0), "errors-high"), None);
    assert_eq!(problem(&facts(None, 0), "errors-high"), None, "not counted");
}

#[test]
fn memory_above_eighty_percent() {
    let facts =
        |percent, aggressive| Facts { memory_usage_percent: Some(percent), aggressive, ..Facts::default() };
    let sentence = "High Redis memory usage (80.1%). Enable aggressive cleanup or reduce the TTL.";
    assert_eq!(advice(&facts(80.1, false), "memory-high").as_deref(), Some(sentence));
    assert_eq!(
        advice(&facts(80.1, true), "memory-high").as_deref(),
        Some("High Redis memory usage (80.1%). Reduce the TTL.")
    );
    assert_eq!(advice(&facts(80.0, false), "memory-high"), None);
    let sick = Facts { redis_problems: vec!["`a:1` does not answer".to_owned()], ..Facts::default() };
    assert_eq!(problem(&sick, "redis-health").as_deref(), Some("Redis: `a:1` does not answer"));
}

#[test]
fn findings_about_the_run() {
    let check = |facts: Facts, rule: &str, sentence: &str| {
        assert_eq!(problem(&facts, rule).as_deref(), Some(sentence));
        assert_eq!(findings(&facts).len(), 1, "{:?}", findings(&facts));
    };
    let of = |name: &str, n| BTreeMap::from([(name.to_owned(), n)]);
    let none = Facts::default;
    check(
        Facts { stale_keys: 3, ..none() },
        "stale-keys",
        "Found 3 keys without TTL - this indicates a caching bug",
    );
    check(
        Facts { stale_keys: 3, stale_protected_keys: 2, ..none() },
        "stale-keys",
        "Found 3 keys without TTL - this indicates a caching bug (2 more are protected)",
    );
    assert_eq!(findings(&Facts { stale_protected_keys: 7, ..none() }), [], "protected keys need no action");
    check(
        Facts { stopped: Some((CancelKind::Asked, "Ctrl-C".to_owned())), ..none() },
        "stopped",
        "The run was stopped: Ctrl-C",
    );
    let coverage = |slots_covered, missing: &str| Coverage {
        slots_covered,
        missing: Some(missing.to_owned()),
        ..Coverage::default()
    };
    check(Facts { coverage: coverage(Some(1), "2-5"), ..none() }, "not-covered", "Not covered: slots 2-5");
    check(
        Facts { coverage: coverage(None, "database 0"), ..none() },
        "not-covered",
        "Not covered: database 0",
    );
    check(
        Facts { coverage: Coverage { causes: of("gone", 4), ..Coverage::default() }, ..none() },
        "tasks-failed",
        "4 scan tasks did not complete: gone",
    );
    let accounting = |failed, unreached, unconfirmed| Accounting {
        failed,
        unreached,
        unconfirmed,
        ..Accounting::default()
    };
    check(Facts { accounting: accounting(2, 0, 0), ..none() }, "candidates-failed", "2 candidates failed");
    check(
        Facts { accounting: accounting(0, 3, 0), ..none() },
        "candidates-unreached",
        "3 candidates were not reached",
    );
    check(
        Facts { accounting: accounting(0, 0, 1), ..none() },
        "candidates-unconfirmed",
        "1 candidates are unconfirmed: they were attempted, but no reply states the result",
    );
    check(
        Facts { too_long: (1, vec!["aaa…".to_owned()]), accounting: accounting(1, 0, 0), ..none() },
        "key-too-long",
        "1 keys are too long to process (key_too_long): aaa…",
    );
    check(Facts { causes: of("READONLY", 7), ..none() }, "batches", "7 reap batches: READONLY");
    check(
        Facts { dead: of("unreadable", 1), ..none() },
        "dead-letters",
        "1 queue messages could not be decoded (dead letters): unreadable",
    );
    check(
        Facts { approximate: true, ..none() },
        "approximate",
        "scannedKeys is approximate: keys may have been listed twice, or counted before their slot moved",
    );
    check(
        Facts { aggressive_refused: Some("the set is empty".to_owned()), ..none() },
        "aggressive-refused",
        "Aggressive cleanup was refused: the set is empty",
    );
    check(
        Facts { insecure: true, ..none() },
        "insecure",
        "TLS certificates were not verified (`--insecure`): the keys read and deleted may belong to another \
         server; set the CA with `--cacert` instead",
    );
    let left_out = UnreachableNode {
        cause: "redis at `a:1` cannot be reached: refused".to_owned(),
        slots: SlotSet::all(),
    };
    check(
        Facts { left_out: vec![left_out], ..none() },
        "node-unreachable",
        "Node excluded from the run: redis at `a:1` cannot be reached: refused",
    );
    check(
        Facts { hit_rate_problem: Some("there is no hash `m`".to_owned()), ..none() },
        "hit-rate-unknown",
        "The hit rate is unknown: there is no hash `m`",
    );
}
