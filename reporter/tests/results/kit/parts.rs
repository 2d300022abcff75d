//! The parts of the example.

use keysweep_model::ids::NodeId;
use keysweep_model::metrics::{
    Alert, Finding, FindingKind, Growth, Health, Heaviest, HitPoint, HitRateWindow, HitRates, Metrics,
    NodeHealth, PrefixRow, Prefixes, RedisHealth, Severity, TtlBucket, TtlDistribution,
};
use keysweep_model::result::{Extent, NodeRow};
use serde_json::{Value, json};

/// The n-th of six nodes.
pub fn node(n: u64) -> NodeRow {
    NodeRow {
        node: NodeId::new(format!("{n:040x}")),
        address: address(n),
        slots: 2_731 - u64::from(n.is_multiple_of(3)),
        read: Some(Extent::All),
        listed_keys: 402_114 + n * 1_377,
        scanned_keys: 311_020 + n * 977,
        stale_ttl_keys: 4_310 + n * n * 177 % 2_900,
        skipped_keys: 0,
        cleaned_keys: 2_390 + n * n * 177 % 2_900,
        replica: None,
    }
}

fn address(n: u64) -> String {
    format!("permission-cache-{n:04}.cache.internal:6379")
}

/// The n-th primary; the third is nearly full.
pub fn health(n: u64) -> NodeHealth {
    let full = n == 3;
    NodeHealth {
        node: NodeId::new(format!("{n:040x}")),
        address: address(n),
        status: if full { Health::Degraded } else { Health::Healthy },
        latency: Some(0.31 + n as f64 * 0.07),
        memory_usage_percent: Some(if full { 91.2 } else { 60.0 + (n % 20) as f64 }),
        used_memory_bytes: Some(3_221_225_472 + n * 11_000_000),
        keys: Some(399_000 + n * 1_000),
        keys_without_ttl: Some(2_100 + n * 10),
        replica: None,
    }
}

/// A finding.
fn finding(kind: FindingKind, rule: &str, severity: Severity, message: &str, evidence: &Value) -> Finding {
    Finding {
        kind,
        rule: rule.to_owned(),
        severity,
        message: message.to_owned(),
        evidence: evidence.as_object().cloned().unwrap_or_default().into_iter().collect(),
        policy_rule: None,
    }
}

/// Two issues and three recommendations.
pub fn findings() -> Vec<Finding> {
    use FindingKind::{Issue, Recommendation};
    vec![
        finding(
            Issue,
            "stale-keys",
            Severity::Warning,
            "Found 33247 keys without TTL - this indicates a caching bug",
            &json!({ "staleKeys": 33_247, "scannedKeys": 1_886_637, "topPrefix": "permissions:session:" }),
        ),
        finding(
            Issue,
            "errors-high",
            Severity::Critical,
            "High cache error rate: 120412 errors vs 8402113 hits",
            &json!({ "errors": 120_412, "hits": 8_402_113, "limitPercent": 1.0 }),
        ),
        finding(
            Recommendation,
            "hit-rate-low",
            Severity::Warning,
            "Low cache hit rate (68.4%). Review permission check patterns.",
            &json!({ "hitRate": 68.4, "from": "2026-11-24T00:00:10Z", "to": "2026-11-24T06:01:30Z", "limits": [50, 70] }),
        ),
        finding(
            Recommendation,
            "ttl-low",
            Severity::Info,
            "Most caches are near expiration (avg TTL: 452s). This suggests high invalidation rate.",
            &json!({ "avgTTL": 452.3, "configuredTTL": 900, "limitPercent": 60 }),
        ),
        finding(
            Recommendation,
            "memory",
            Severity::Warning,
            "Redis memory usage is high (91.2%). Consider enabling aggressive cleanup or reducing TTL.",
            &json!({ "memoryUsagePercent": 91.2, "limitPercent": 80, "node": address(3) }),
        ),
    ]
}

/// The messages of one kind.
pub fn messages(issues: bool) -> Vec<String> {
    let wanted = if issues { FindingKind::Issue } else { FindingKind::Recommendation };
    findings().into_iter().filter(|finding| finding.kind == wanted).map(|finding| finding.message).collect()
}

/// Two alerts.
pub fn alerts() -> Vec<Alert> {
    let alert = |n: u128, name: &str, severity, message: &str, since: &str, evidence: &Value| Alert {
        id: uuid::Uuid::from_u128(n),
        alert: name.to_owned(),
        job: "permission-cache-cleanup".to_owned(),
        severity,
        message: message.to_owned(),
        since: since.to_owned(),
        evidence: evidence.as_object().cloned().unwrap_or_default().into_iter().collect(),
        policy_rule: None,
    };
    vec![
        alert(
            1,
            "stale-keys",
            Severity::Warning,
            "33,247 keys without TTL were found in one run, more than 10",
            "2026-11-22T18:00:41Z",
            &json!({ "staleKeys": 33_247, "limit": 10, "runs": 7 }),
        ),
        alert(
            2,
            "errors-high",
            Severity::Critical,
            "Errors are 1.43% of hits, more than 1%",
            "2026-11-24T00:00:52Z",
            &json!({ "errorPercent": 1.43, "limitPercent": 1 }),
        ),
    ]
}

/// A bar of a histogram.
pub fn bucket(n: u64, keys: u64) -> TtlBucket {
    const BOUNDS: [f64; 11] = [0.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1_800.0, 3_600.0, 86_400.0];
    let bound = |n: u64| BOUNDS.get(n as usize).copied();
    let beyond = |n: u64| 86_400.0 * (n - 9) as f64;
    TtlBucket {
        above: bound(n).unwrap_or_else(|| beyond(n)),
        up_to: Some(bound(n + 1).unwrap_or_else(|| beyond(n + 1))),
        keys,
    }
}

fn window(from: &str, hits: u64, misses: u64) -> HitRateWindow {
    HitRateWindow {
        from: from.to_owned(),
        to: "2026-11-24T06:01:30Z".to_owned(),
        hit_rate: Some(hits as f64 * 100.0 / (hits + misses) as f64),
        lookups: Some(hits + misses),
        hits: Some(hits),
        misses: Some(misses),
        errors: Some(hits / 70),
        resets: u32::from(hits > 10_000_000),
        ..HitRateWindow::default()
    }
}

/// A day of samples; at night there is no traffic for two hours, and one sample is missing.
fn history() -> Vec<HitPoint> {
    let rates = [
        71.2, 72.8, 74.1, 75.0, 77.9, 78.5, 80.1, 79.2, 76.4, 73.8, 70.2, 66.1, 58.4, 47.2, 44.9, 52.3, 0.0,
        0.0, 61.2, 64.0, 66.8, 69.1, 70.4, 68.4,
    ];
    let point = |(n, rate): (usize, &f64)| {
        let (day, hour) = if n < 17 { (23, n + 7) } else { (24, n - 17) };
        let quiet = *rate == 0.0;
        HitPoint {
            at: format!("2026-11-{day}T{hour:02}:00:00Z"),
            hit_rate: (!quiet).then_some(*rate),
            lookups: Some(if quiet { 0 } else { 310_000 + (n as u64 * 7_919) % 17 * 31_000 }),
        }
    };
    rates.iter().enumerate().map(point).collect()
}

fn heaviest(total: u64, error_max: u64, rows: &[(&str, u64)]) -> Heaviest {
    let row = |(prefix, weight): &(&str, u64)| PrefixRow {
        prefix: (*prefix).to_owned(),
        weight: *weight,
        low: weight - error_max,
        high: Some(weight + error_max),
        samples: 1_000,
        sample_key: Some(format!("{prefix}8f14e45f-ceea-467f-a8c6-9f1d2a7b4c01:read")),
    };
    let rows = rows.iter().map(row).collect();
    Heaviest { rows, total, low: total, high: Some(total), error_max: Some(error_max) }
}

fn growth() -> Growth {
    let percent = Some(5.4);
    Growth {
        run_id: "019a2e13-0000-7000-8000-000000000001".parse().unwrap(),
        since: "2026-11-24T00:01:31Z".to_owned(),
        keys_before: 1_790_004,
        keys_now: 1_886_637,
        percent,
        percent_min: percent,
        percent_max: percent,
    }
}

/// All metrics of the run.
pub fn metrics() -> Metrics {
    Metrics {
        hit_rates: HitRates {
            source: "redis".to_owned(),
            during_run: window("2026-11-24T06:00:00Z", 21_400, 9_881),
            since_last_run: Some(window("2026-11-24T00:01:31Z", 8_402_113, 3_881_790)),
            last_day: Some(window("2026-11-23T06:01:30Z", 31_204_551, 12_118_402)),
            history: history(),
            problem: None,
            includes: Some(reporter::hit_rate::INCLUDES.to_owned()),
        },
        ttl: TtlDistribution {
            keys: 1_853_177,
            p50: Some(431.0),
            p90: Some(842.0),
            p99: Some(896.5),
            histogram: [4_210, 9_030, 14_022, 101_873, 380_200, 720_113, 602_940, 20_400, 0, 389]
                .into_iter()
                .zip(0..)
                .map(|(keys, n)| bucket(n, keys))
                .collect(),
            read_late_percent: Some(61.5),
        },
        growth: Some(growth()),
        prefixes: Prefixes {
            dropped_keys: 0,
            by_keys: heaviest(
                1_886_637,
                12,
                &[
                    ("permissions:user:", 1_204_110),
                    ("permissions:session:", 410_552),
                    ("permissions:role:", 190_011),
                    ("permissions:team:eu-central:", 61_920),
                    ("permissions:system:", 10_000),
                    ("permissions:feature-flags-of-the-new-checkout:", 431),
                ],
            ),
            by_stale: heaviest(
                33_247,
                0,
                &[
                    ("permissions:session:", 21_727),
                    ("permissions:system:", 10_000),
                    ("permissions:user:", 1_520),
                ],
            ),
            by_memory: heaviest(
                1_991_884_800,
                0,
                &[
                    ("permissions:user:", 1_103_101_952),
                    ("permissions:session:", 702_545_920),
                    ("permissions:role:", 130_023_424),
                ],
            ),
            by_freed: heaviest(
                38_797_312,
                0,
                &[("permissions:session:", 37_224_448), ("permissions:user:", 1_572_864)],
            ),
            sampled_keys: 10_000,
            problem: None,
        },
        redis_health: RedisHealth {
            status: Health::Degraded,
            latency: Some(0.73),
            memory_usage_percent: Some(91.2),
            problems: vec!["permission-cache-0003.cache.internal:6379 uses 91.2% of its memory".to_owned()],
            nodes: (1..=6).map(health).collect(),
        },
        ttl_advice: None,
    }
}
