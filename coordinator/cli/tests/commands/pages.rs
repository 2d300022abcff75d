//! The pages of a plan and of a result: compared with `snapshots/`, and at most 80 columns wide with any numbers.

use coordinator::estimate::Estimate;
use coordinator::options::Options;
use coordinator::preflight::{NodePreflight, Preflight};
use coordinator::run_time::RunTime;
use keysweep_cli::{plan_page, question};
use keysweep_model::ids::{NodeId, RunId};
use keysweep_model::memory::ByteEstimate;
use keysweep_model::messages::{Action, Attempt, DeleteBackend, Rules, RunSpec};
use keysweep_model::metrics::{HitRateWindow, Metrics};
use keysweep_model::result::{
    Accounting, CleanupResult, Coverage, CurrentMetrics, Extent, FailoverRescan, NodeRow, Pacing,
    SCHEMA_VERSION, Status,
};
use keysweep_model::slot::SlotSet;
use keysweep_redis::ConnectOptions;
use keysweep_redis::health::HealthCheck;
use keysweep_runtime::collect::SnapshotMeta;
use keysweep_storage::counter_snapshot::SnapshotPhase;
use reporter::printer::terminal;
use scanner::name_sample::NameSample;

const LONG_ADDRESS: &str = "permission-cache-0001-003.abc123.euc1.cache.amazonaws.com:6379";

fn run_id() -> RunId {
    "01890a5d-ac96-774b-bcce-b302099a8057".parse().expect("an id")
}

fn row(address: &str, slots: u64, keys: u64) -> NodeRow {
    NodeRow {
        node: NodeId::new("0123456789abcdef0123456789abcdef01234567"),
        address: address.to_owned(),
        slots,
        read: Some(Extent::All),
        listed_keys: keys,
        scanned_keys: keys - keys / 7,
        stale_ttl_keys: keys / 10,
        skipped_keys: 0,
        cleaned_keys: keys / 10,
        replica: None,
    }
}

/// A result of about `keys` keys per node.
fn result(status: Status, addresses: &[&str], keys: u64) -> CleanupResult {
    let nodes: Vec<NodeRow> = addresses.iter().map(|address| row(address, 5_461, keys)).collect();
    let sum = |part: fn(&NodeRow) -> u64| nodes.iter().map(part).sum::<u64>();
    let deleted = sum(|row| row.cleaned_keys);
    let accounting = Accounting {
        candidates: deleted + 3,
        deleted,
        spared: 2,
        field_ttl: 0,
        protected: 1,
        balanced: true,
        ..Accounting::default()
    };
    let mut metrics = Metrics::default();
    metrics.hit_rates.during_run =
        HitRateWindow { lookups: Some(keys + keys / 4), ..HitRateWindow::default() };
    CleanupResult {
        skipped: Default::default(),
        schema_version: SCHEMA_VERSION,
        run_id: run_id(),
        job: "permission-cache-cleanup".to_owned(),
        status,
        started_at: "2026-01-01T00:00:00Z".to_owned(),
        finished_at: "2026-01-01T00:00:12Z".to_owned(),
        duration_ms: 12_345,
        started_by: "a test".to_owned(),
        attempt: Attempt::default(),
        dry_run: false,
        action: "delete".to_owned(),
        scanned_keys: sum(|row| row.scanned_keys),
        scanned_keys_approximate: false,
        skipped_keys: 0,
        freed_bytes: None,
        cleaned_keys: deleted,
        stale_ttl_keys: deleted + 3,
        stale_unprotected_keys: None,
        inactive_user_caches: 0,
        current_metrics: CurrentMetrics {
            hit_rate: Some(78.5),
            hits: Some(keys),
            misses: Some(keys / 4),
            total_keys: Some(sum(|row| row.scanned_keys) - deleted),
            avg_ttl: Some(450.0),
        },
        recommendations: Vec::new(),
        issues: vec![format!("Found {} keys without TTL - this indicates a caching bug", deleted + 3)],
        findings: Vec::new(),
        alerts: Vec::new(),
        metrics,
        inactive: Box::default(),
        read_from: None,
        delete_backend: DeleteBackend::Lua,
        backup: None,
        pacing: Pacing {
            summary:
                "latency budget 1 ms; slowed down 12 times (10.0.0.1:6379: p99 of probes 1.1 ms, 0.2 ms \
                       before); waited 3.1 s in all"
                    .to_owned(),
            ..Pacing::default()
        },
        accounting,
        rules: Vec::new(),
        failover: FailoverRescan::default(),
        coverage: Coverage { complete: true, slots_covered: Some(16_384), ..Coverage::default() },
        nodes,
    }
}

/// Maximum values everywhere.
fn huge_result() -> CleanupResult {
    let addresses = [LONG_ADDRESS, "10.200.300.400:65535", LONG_ADDRESS];
    let mut result = result(Status::Partial, &addresses, 299_999_999);
    result.dry_run = true;
    result.scanned_keys_approximate = true;
    result.job = "j".repeat(64);
    result.coverage.missing =
        Some((0..400).map(|n| format!("{}-{}", n * 40, n * 40 + 9)).collect::<Vec<_>>().join(", "));
    let accounting = &mut result.accounting;
    for part in [
        &mut accounting.expired,
        &mut accounting.vanished,
        &mut accounting.reported,
        &mut accounting.failed,
        &mut accounting.unreached,
        &mut accounting.unconfirmed,
    ] {
        *part = 888_888_888;
    }
    result.issues =
        (0..120).map(|n| format!("{n} {}", "something happened and is described here ".repeat(5))).collect();
    result
}

fn options(patterns: &[&str], protect: &[&str]) -> Options {
    let rules = Rules { grace_ms: 1_000, ..Rules::deleting(patterns, protect).expect("good") };
    Options {
        job: "permission-cache-cleanup".to_owned(),
        display_name: "PermissionCacheCleanup".to_owned(),
        max_delete_percent: 50,
        ..Options::plain(ConnectOptions::open(Vec::new()), rules)
    }
}

fn planned(options: &Options, addresses: &[&str], version: &str, keys: u64, missing: SlotSet) -> Preflight {
    let estimate = Estimate {
        matching_keys: keys,
        stale_ttl_keys: keys / 10,
        protected_keys: keys / 100,
        inactive_keys: None,
        by_rules: None,
        exact: keys < 10_000,
    };
    let node = |address: &&str| NodePreflight {
        skipped: false,
        node: NodeId::new("0123456789abcdef0123456789abcdef01234567"),
        address: (*address).to_owned(),
        version: version.to_owned(),
        slots: if addresses.len() > 1 { 5_461 } else { 0 },
        keys,
        keys_without_ttl: keys / 9,
        read_from: None,
        replica: None,
        tasks: 1 + keys / 100_000,
        names: NameSample::default(),
        estimate,
    };
    let nodes: Vec<NodePreflight> = addresses.iter().map(node).collect();
    Preflight {
        spec: RunSpec {
            job: options.job.clone(),
            alias: options.alias.clone(),
            cluster: nodes.len() > 1,
            dry_run: options.dry_run,
            ..RunSpec::plain(run_id(), options.rules.clone())
        },
        sample: SnapshotMeta {
            job: options.job.clone(),
            redis: options.alias.clone(),
            run: Some(run_id()),
            phase: SnapshotPhase::Begin,
        }
        .snapshot(&HealthCheck::default(), None, 0),
        tasks: Vec::new(),
        estimate: Estimate::sum(nodes.iter().map(|row| row.estimate)),
        rules: Vec::new(),
        freed: Some(ByteEstimate { estimate: keys * 30, low: keys * 29, high: None, samples: 1_000 }),
        nodes,
        missing,
        users: None,
        rights_unchecked: None,
        deployment: None,
        time: RunTime::begin(0, None),
    }
}

#[track_caller]
fn fits(page: &str) {
    for line in page.lines() {
        assert!(line.chars().count() <= 80, "{} columns: {line}\n{page}", line.chars().count());
        assert_eq!(line.trim_end(), line, "blanks at the end\n{page}");
    }
}

#[test]
fn the_page_of_a_result() {
    let addresses = ["127.0.0.1:7000", "127.0.0.1:7001", LONG_ADDRESS];
    let page = terminal::page(&result(Status::Completed, &addresses, 123_456), "PermissionCacheCleanup");
    insta::assert_snapshot!("page-result", page);
    fits(&page);
    let mut lost = result(Status::Partial, &addresses[..2], 123_456);
    lost.coverage = Coverage {
        extent: Some(Extent::Part),
        slots_covered: Some(10_922),
        missing: Some("10922-16383".to_owned()),
        ..Coverage::default()
    };
    (lost.current_metrics.total_keys, lost.current_metrics.avg_ttl) = (None, None);
    lost.nodes.push(NodeRow {
        read: Some(Extent::Nothing),
        listed_keys: 0,
        scanned_keys: 0,
        stale_ttl_keys: 0,
        cleaned_keys: 0,
        ..row("127.0.0.1:7002", 5_462, 0)
    });
    lost.accounting.unreached = 1_234;
    lost.accounting.candidates += 1_234;
    lost.issues.push(
        "Slots 10922-16383 were not covered: redis at `127.0.0.1:7002` cannot be reached: Connection refused"
            .to_owned(),
    );
    let page = terminal::page(&lost, "PermissionCacheCleanup");
    insta::assert_snapshot!("page-result-partial", page);
    fits(&page);
    fits(&terminal::page(&huge_result(), &"Nightly cleanup of a lot ".repeat(10)));
}

#[test]
fn the_confirmation_prompt_marks_only_estimates_with_about() {
    let some = options(&["permissions:*"], &[]);
    let asked = |keys, options: &Options| {
        question::question(
            &planned(options, &["127.0.0.1:7002"], "redis 7.0.15", keys, SlotSet::new()),
            options,
        )
    };
    assert_eq!(asked(9_000, &some), "Delete 810 keys (about 263.7 KiB) on 127.0.0.1:7002?");
    assert_eq!(asked(135_234, &some), "Delete about 12,171 keys (3.9 MiB) on 127.0.0.1:7002?");
    let mut none = planned(&some, &["127.0.0.1:7002"], "redis 7.0.15", 135_234, SlotSet::new());
    none.estimate.stale_ttl_keys = 0;
    // None in a sample does not mean none.
    assert!(!question::nothing_to_do(&none));
    let unknown_count = "Delete what a full scan finds (the sample has none) on 127.0.0.1:7002?";
    assert_eq!(question::question(&none, &some), unknown_count);
    let mut expire = options(&["permissions:*"], &[]);
    expire.rules.action = Action::Expire { ttl_ms: 900_000, jitter_ms: 90_000 };
    assert_eq!(asked(135_234, &expire), "Give about 12,171 keys a TTL of 15m on 127.0.0.1:7002?");
}

#[test]
fn the_page_of_a_plan() {
    let some = options(&["permissions:*"], &["permissions:system:*"]);
    let addresses = ["127.0.0.1:7000", "127.0.0.1:7001", LONG_ADDRESS];
    let page = plan_page::text(&planned(&some, &addresses, "redis 7.0.15", 123_456, SlotSet::new()), &some);
    insta::assert_snapshot!("page-plan", page);
    fits(&page);
    let page =
        plan_page::text(&planned(&some, &["127.0.0.1:6379"], "valkey 8.1.1", 4_200, SlotSet::new()), &some);
    insta::assert_snapshot!("page-plan-standalone", page);
    fits(&page);
    let patterns: Vec<String> = (0..60).map(|n| format!("permissions:tenant-{n}:*")).collect();
    let patterns: Vec<&str> = patterns.iter().map(String::as_str).collect();
    let mut many = options(&patterns, &patterns);
    many.job = "j".repeat(64);
    many.dry_run = true;
    let holes = SlotSet::from_ranges((0..200).map(|n| (n * 80, n * 80 + 7))).expect("good ranges");
    let addresses = [LONG_ADDRESS, "10.200.300.400:65535", LONG_ADDRESS];
    fits(&plan_page::text(&planned(&many, &addresses, "redis 255.255.255", 999_999_999, holes), &many));
}
