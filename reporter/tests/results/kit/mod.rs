//! Results for reports: a realistic one and unusual ones.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at what it did not expect"
)]

mod parts;
mod spec;

use keysweep_model::messages::{Attempt, DeleteBackend};
use keysweep_model::metrics::{HitPoint, InactiveCaches, Metrics};
use keysweep_model::result::{
    Accounting, CleanupResult, Coverage, CurrentMetrics, Extent, NodeRow, Pacing, SCHEMA_VERSION, Status,
};
use parts::bucket;

pub use spec::spec;

/// Text that must always be escaped, with everything that can break quotes and tables.
pub const HOSTILE: &str = r#"<script>alert("1")</script>'|`&lt;*_[x](javascript:alert(1))"#;

/// A nightly run over six nodes: mostly healthy, with some problems.
pub fn example() -> CleanupResult {
    let nodes: Vec<NodeRow> = (1..=6).map(parts::node).collect();
    let sum = |part: fn(&NodeRow) -> u64| nodes.iter().map(part).sum::<u64>();
    let (scanned, deleted) = (sum(|row| row.scanned_keys), sum(|row| row.cleaned_keys));
    let accounting = Accounting {
        candidates: deleted + 11_500,
        deleted,
        spared: 1_240,
        vanished: 260,
        protected: 10_000,
        balanced: true,
        ..Accounting::default()
    };
    CleanupResult {
        schema_version: SCHEMA_VERSION,
        run_id: "019a2f5d-ac96-774b-bcce-b302099a8057".parse().unwrap(),
        job: "permission-cache-cleanup".to_owned(),
        status: Status::Completed,
        started_at: "2026-11-24T06:00:00Z".to_owned(),
        finished_at: "2026-11-24T06:01:32Z".to_owned(),
        duration_ms: 92_345,
        started_by: "the schedule (0 */6 * * *)".to_owned(),
        attempt: Attempt::default(),
        dry_run: false,
        action: "delete".to_owned(),
        scanned_keys: scanned,
        scanned_keys_approximate: false,
        skipped_keys: 0,
        skipped: Default::default(),
        freed_bytes: None,
        cleaned_keys: deleted,
        stale_ttl_keys: deleted + 11_500,
        stale_unprotected_keys: Some(deleted + 11_500),
        inactive_user_caches: 4_210,
        current_metrics: CurrentMetrics {
            hit_rate: Some(68.4),
            hits: Some(8_402_113),
            misses: Some(3_881_790),
            total_keys: Some(scanned - deleted),
            avg_ttl: Some(452.3),
        },
        recommendations: parts::messages(false),
        issues: parts::messages(true),
        findings: parts::findings(),
        alerts: parts::alerts(),
        metrics: parts::metrics(),
        inactive: Box::new(InactiveCaches {
            searched: true,
            refused: None,
            source: Some("zset:permissions:warming".to_owned()),
            active_users: Some(48_210),
            sampled_user_keys: Some(2_000),
            sampled_active_percent: Some(61.25),
            active_user: Some(7_014),
            found: Some(4_302),
            near_expiry: Some(92),
            unknown_user: Some(17),
            no_active_user: Some(0),
        }),
        read_from: None,
        delete_backend: DeleteBackend::Lua,
        backup: None,
        pacing: Pacing::default(),
        accounting,
        rules: Vec::new(),
        failover: Default::default(),
        coverage: Coverage { complete: true, slots_covered: Some(16_384), ..Coverage::default() },
        nodes,
    }
}

/// A first run on an empty standalone server.
pub fn empty() -> CleanupResult {
    CleanupResult {
        inactive_user_caches: 0,
        scanned_keys: 0,
        skipped_keys: 0,
        freed_bytes: None,
        cleaned_keys: 0,
        stale_ttl_keys: 0,
        current_metrics: CurrentMetrics {
            hit_rate: None,
            hits: Some(0),
            misses: Some(0),
            total_keys: Some(0),
            avg_ttl: None,
        },
        recommendations: Vec::new(),
        issues: Vec::new(),
        findings: Vec::new(),
        alerts: Vec::new(),
        metrics: Metrics::default(),
        inactive: Box::default(),
        accounting: Accounting { balanced: true, ..Accounting::default() },
        coverage: Coverage { complete: true, ..Coverage::default() },
        nodes: Vec::new(),
        ..example()
    }
}

/// A run with many problems: gaps, refusals, many causes.
pub fn troubled(status: Status) -> CleanupResult {
    let mut result = example();
    result.status = status;
    (result.current_metrics.total_keys, result.current_metrics.avg_ttl) = (None, None);
    result.attempt = Attempt { number: 2, of: 2, previous: Some(result.run_id) };
    result.accounting.failed = 12;
    result.accounting.unreached = 4_000;
    result.accounting.unconfirmed = 3;
    result.accounting.candidates += 4_015;
    let missing: Vec<String> = (0..40).map(|n| format!("{}-{}", n * 200, n * 200 + 77)).collect();
    result.coverage = Coverage {
        complete: false,
        extent: Some(Extent::Part),
        slots_covered: Some(13_264),
        missing: Some(missing.join(", ")),
        causes: [("node unreachable".to_owned(), 31), ("slots moved too often".to_owned(), 2)].into(),
        unresolved: None,
    };
    result.inactive = Box::new(InactiveCaches {
        refused: Some("the sorted set `permissions:warming` is empty".to_owned()),
        ..InactiveCaches::default()
    });
    result.metrics.redis_health.problems = vec!["10.0.4.13:6379 does not answer".to_owned()];
    result
}

/// A cluster of `nodes` nodes with the largest possible figures.
pub fn huge(nodes: u64) -> CleanupResult {
    let mut result = example();
    let row = |n| NodeRow { listed_keys: u64::MAX, scanned_keys: u64::MAX, ..parts::node(n) };
    result.nodes = (1..=nodes).map(row).collect();
    result.metrics.redis_health.nodes = (1..=nodes).map(parts::health).collect();
    let accounts = &mut result.accounting;
    for figure in [
        &mut result.scanned_keys,
        &mut result.cleaned_keys,
        &mut result.stale_ttl_keys,
        &mut result.inactive_user_caches,
        &mut accounts.candidates,
        &mut accounts.deleted,
        &mut accounts.expired,
        &mut accounts.failed,
        &mut accounts.unreached,
        &mut accounts.unconfirmed,
        &mut result.duration_ms,
        &mut result.metrics.ttl.keys,
    ] {
        *figure = u64::MAX;
    }
    result.current_metrics.total_keys = Some(u64::MAX);
    (result.current_metrics.hits, result.current_metrics.misses) = (Some(u64::MAX), Some(u64::MAX));
    result.accounting.balanced = false;
    result.scanned_keys_approximate = true;
    result.current_metrics.avg_ttl = Some(f64::MAX);
    result.metrics.ttl.histogram = (0..60).map(|n| bucket(n, u64::MAX >> n)).collect();
    let at = |n: u64| format!("2026-{:02}-{:02}T{:02}:00:00Z", 1 + n / 672, 1 + n / 24 % 28, n % 24);
    let point = |n| HitPoint { at: at(n), hit_rate: Some(75.0), lookups: Some(u64::MAX) };
    result.metrics.hit_rates.history = (0..1_000).map(point).collect();
    let prefixes = &mut result.metrics.prefixes;
    prefixes.by_keys.total = u64::MAX;
    prefixes.by_keys.error_max = Some(u64::MAX);
    for row in &mut prefixes.by_keys.rows {
        (row.weight, row.prefix) = (u64::MAX, "p".repeat(300));
        row.sample_key = Some("k".repeat(1_000));
    }
    result
}

/// The example with hostile text in every field with external text.
pub fn hostile() -> CleanupResult {
    let mut result = troubled(Status::Partial);
    let hostile = || HOSTILE.to_owned();
    result.job = hostile();
    result.started_by = hostile();
    result.action = hostile();
    result.issues.push(hostile());
    result.recommendations.push(hostile());
    result.findings[0].rule = hostile();
    result.findings[0].evidence = [(hostile(), hostile().into())].into();
    result.alerts[0].message = hostile();
    result.alerts[0].since = hostile();
    result.coverage.missing = Some(hostile());
    result.coverage.causes = [(hostile(), 1)].into();
    result.inactive.refused = Some(hostile());
    for node in &mut result.nodes {
        node.address = hostile();
    }
    let metrics = &mut result.metrics;
    metrics.hit_rates.source = hostile();
    metrics.hit_rates.problem = Some(hostile());
    metrics.hit_rates.during_run.from = hostile();
    metrics.prefixes.problem = Some(hostile());
    metrics.redis_health.problems = vec![hostile()];
    metrics.redis_health.nodes[0].address = hostile();
    for row in &mut metrics.prefixes.by_keys.rows {
        (row.prefix, row.sample_key) = (hostile(), Some(hostile()));
    }
    result
}
