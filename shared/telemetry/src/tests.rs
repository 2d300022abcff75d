//! Every metric is updated, and its documentation is complete.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use jiff::Timestamp;
use keysweep_model::ids::{BatchId, NodeId, RunId};
use keysweep_model::memory::ByteEstimate;
use keysweep_model::messages::{Attempt, DeleteBackend, GroupReceipt, Lookups, Reason};
use keysweep_model::metrics::{self, Health, NodeHealth, RedisHealth, Severity};
use keysweep_model::outcome::Outcome;
use keysweep_model::result::{
    Accounting, CleanupResult, Coverage, CurrentMetrics, FailoverRescan, Pacing, RuleRow, SCHEMA_VERSION,
    Status,
};
use serde_json::json;

use super::*;

fn receipt() -> Receipt {
    let outcomes = vec![Outcome::Deleted, Outcome::Deleted, Outcome::Spared];
    Receipt {
        run: RunId::new(),
        batch: BatchId::new(),
        node: NodeId::new("n"),
        groups: vec![GroupReceipt { slot: 1, reason: Reason::Stale, outcomes }],
        lookups: Lookups::default(),
        cause: None,
        pacing: None,
        scan_generation: 0,
        unreplicated: Vec::new(),
        all: None,
        freed: None,
        ledgers: None,
    }
}

fn alert() -> Alert {
    Alert {
        id: uuid::Uuid::nil(),
        alert: "stale-keys".to_owned(),
        job: "j".to_owned(),
        severity: Severity::Warning,
        message: String::new(),
        since: String::new(),
        evidence: BTreeMap::from([("n".to_owned(), json!(1))]),
        policy_rule: None,
    }
}

/// Metrics of all roles with each event.
fn busy() -> Telemetry {
    let telemetry = Telemetry::default();
    make_busy(&telemetry);
    telemetry
}

/// Records each event once.
fn make_busy(telemetry: &Telemetry) {
    let redis = Alias::new("main");
    let counts = ScanCounts {
        listed: 9,
        scanned: 8,
        stale: 7,
        inactive: 6,
        protected: 5,
        reported: 4,
        ..ScanCounts::default()
    };
    telemetry.scanned("j", &redis, &counts);
    telemetry.reaped("j", &redis, &receipt(), 3);
    telemetry.delivered("tasks", DeliveryOutcome::Done, 1);
    telemetry.delivered("batches", DeliveryOutcome::Failed, 2);
    telemetry.waited("batches");
    telemetry.request(&redis, RequestKind::Window, Duration::from_millis(2));
    telemetry.failed(&redis, "unavailable");
    telemetry.ended(&redis, &result(Some(78.5)));
    telemetry.checked(&redis, &health(Some(50.0)));
    telemetry.alerts("j", &["stale-keys", "errors-high"], &[alert()]);
    telemetry.probed((&redis, "h:1"), Duration::from_millis(3), 0.25, true);
    telemetry.record_wait(&redis, WaitReason::Latency, Duration::from_millis(1_500));
    telemetry.posted("j", "slack", true);
    telemetry.job_runs("j", &redis, JobRuns { active: 1, last_s: Some(90), last_success_s: Some(80) }, true);
    telemetry.next_run("j", &redis, Some(Timestamp::from_second(200).unwrap()));
    telemetry.ttls("j", &redis, Some(900.0), Some(1_800.0));
    telemetry.missed("j", &redis, 3);
    telemetry.queued("tasks", 4, 2, 1);
    telemetry.nats(true, 3);
    telemetry.requested("/metrics", "GET", 200);
}

fn health(memory_usage_percent: Option<f64>) -> RedisHealth {
    let node = |name: &str, latency| NodeHealth {
        node: NodeId::new(name),
        address: format!("{name}:1"),
        status: Health::default(),
        latency,
        memory_usage_percent: None,
        used_memory_bytes: latency.map(|_| 1_024),
        keys: None,
        keys_without_ttl: None,
        replica: None,
    };
    let nodes = vec![node("h", Some(0.1)), node("down", None)];
    RedisHealth { memory_usage_percent, nodes, ..RedisHealth::default() }
}

fn result(hit_rate: Option<f64>) -> CleanupResult {
    CleanupResult {
        schema_version: SCHEMA_VERSION,
        run_id: RunId::new(),
        job: "j".to_owned(),
        status: Status::Partial,
        started_at: String::new(),
        finished_at: "1970-01-01T00:01:40.5Z".to_owned(),
        duration_ms: 4_000,
        started_by: String::new(),
        attempt: Attempt::default(),
        dry_run: false,
        action: "delete".to_owned(),
        scanned_keys: 0,
        scanned_keys_approximate: false,
        skipped_keys: 0,
        skipped: Default::default(),
        freed_bytes: Some(ByteEstimate::NOTHING),
        cleaned_keys: 0,
        stale_ttl_keys: 7,
        stale_unprotected_keys: Some(0),
        inactive_user_caches: 0,
        current_metrics: CurrentMetrics {
            hit_rate,
            hits: Some(0),
            misses: Some(0),
            total_keys: Some(12),
            avg_ttl: Some(450.5),
        },
        recommendations: Vec::new(),
        issues: Vec::new(),
        findings: Vec::new(),
        alerts: Vec::new(),
        metrics: metrics::Metrics::default(),
        inactive: Box::default(),
        read_from: None,
        delete_backend: DeleteBackend::Lua,
        backup: None,
        pacing: Pacing::default(),
        accounting: Accounting::default(),
        rules: vec![RuleRow { index: 1, scanned: 3, ..RuleRow::default() }],
        failover: FailoverRescan::default(),
        coverage: Coverage { slots_covered: Some(16_000), ..Coverage::default() },
        nodes: Vec::new(),
    }
}

#[track_caller]
fn check(text: &str, line: &str) {
    assert!(text.lines().any(|found| found == line), "`{line}` is not in\n{text}");
}

#[test]
fn every_metric_moves() {
    let telemetry = busy();
    let text = telemetry.text(Exposition::OpenMetrics);
    for line in [
        "keysweep_keys_listed_total{cleanup_job=\"j\",redis=\"main\"} 9",
        "keysweep_keys_scanned_total{cleanup_job=\"j\",redis=\"main\"} 8",
        "keysweep_keys_stale_total{cleanup_job=\"j\",redis=\"main\"} 7",
        "keysweep_keys_inactive_total{cleanup_job=\"j\",redis=\"main\"} 6",
        "keysweep_keys_protected_total{cleanup_job=\"j\",redis=\"main\"} 5",
        "keysweep_keys_reported_total{cleanup_job=\"j\",redis=\"main\"} 4",
        "keysweep_keys_reaped_total{cleanup_job=\"j\",redis=\"main\",outcome=\"deleted\"} 2",
        "keysweep_keys_reaped_total{cleanup_job=\"j\",redis=\"main\",outcome=\"spared\"} 1",
        "keysweep_deliveries_total{queue=\"tasks\",outcome=\"done\"} 1",
        "keysweep_deliveries_total{queue=\"batches\",outcome=\"failed\"} 1",
        "keysweep_redeliveries_total{queue=\"batches\"} 1",
        "keysweep_queue_full_waits_total{queue=\"batches\"} 1",
        "keysweep_redis_request_duration_seconds_sum{redis=\"main\",request=\"window\"} 0.002",
        "keysweep_redis_failures_total{redis=\"main\",kind=\"unavailable\"} 1",
        "keysweep_runs_total{cleanup_job=\"j\",redis=\"main\",outcome=\"partial\"} 1",
        "keysweep_run_duration_seconds_sum{cleanup_job=\"j\",redis=\"main\",outcome=\"partial\"} 4.0",
        "keysweep_runs_active{cleanup_job=\"j\",redis=\"main\"} 1",
        "keysweep_leader{cleanup_job=\"j\",redis=\"main\"} 1",
        "keysweep_last_run_timestamp_seconds{cleanup_job=\"j\",redis=\"main\"} 90",
        "keysweep_last_success_timestamp_seconds{cleanup_job=\"j\",redis=\"main\"} 80",
        "keysweep_next_run_timestamp_seconds{cleanup_job=\"j\",redis=\"main\"} 200",
        "keysweep_ttl_current_seconds{cleanup_job=\"j\",redis=\"main\"} 900.0",
        "keysweep_ttl_recommended_seconds{cleanup_job=\"j\",redis=\"main\"} 1800.0",
        "keysweep_missed_runs_total{cleanup_job=\"j\",redis=\"main\"} 3",
        "keysweep_last_run_stale_keys{cleanup_job=\"j\",redis=\"main\"} 7",
        "keysweep_last_run_freed_bytes{cleanup_job=\"j\",redis=\"main\"} 0",
        "keysweep_last_run_complete{cleanup_job=\"j\",redis=\"main\"} 0",
        "keysweep_last_run_uncovered_slots{cleanup_job=\"j\",redis=\"main\"} 384",
        "keysweep_queue_messages{queue=\"tasks\",state=\"waiting\"} 4",
        "keysweep_queue_messages{queue=\"tasks\",state=\"in_hand\"} 2",
        "keysweep_queue_messages{queue=\"tasks\",state=\"redelivered\"} 1",
        "keysweep_nats_connected{} 1",
        "keysweep_nats_reconnects_total{} 2",
        "keysweep_redis_up{redis=\"main\",node=\"h:1\"} 1",
        "keysweep_redis_up{redis=\"main\",node=\"down:1\"} 0",
        "keysweep_redis_memory_used_bytes{redis=\"main\",node=\"h:1\"} 1024",
        "keysweep_http_requests_total{route=\"/metrics\",method=\"GET\",status=\"200\"} 1",
        "keysweep_hit_ratio{cleanup_job=\"j\",redis=\"main\"} 0.785",
        "keysweep_matching_keys{cleanup_job=\"j\",redis=\"main\"} 12",
        "keysweep_rule_keys{cleanup_job=\"j\",redis=\"main\",rule=\"1\",state=\"scanned\"} 3",
        "keysweep_average_ttl_seconds{cleanup_job=\"j\",redis=\"main\"} 450.5",
        "keysweep_matching_keys_timestamp_seconds{cleanup_job=\"j\",redis=\"main\"} 100",
        "keysweep_memory_used_ratio{redis=\"main\"} 0.5",
        "keysweep_alerts_active{cleanup_job=\"j\",alert=\"stale-keys\"} 1",
        "keysweep_alerts_active{cleanup_job=\"j\",alert=\"errors-high\"} 0",
        "keysweep_webhook_posts_total{cleanup_job=\"j\",hook=\"slack\",outcome=\"delivered\"} 1",
        "keysweep_duty_cycle{redis=\"main\",node=\"h:1\"} 0.25",
        "keysweep_pacing_slowdowns_total{redis=\"main\"} 1",
        "keysweep_pacing_waits_seconds_total{redis=\"main\",reason=\"latency\"} 1.5",
        "keysweep_probe_duration_seconds_sum{redis=\"main\"} 0.003",
        "keysweep_build_info{version=\"\",revision=\"\",rustc=\"\"} 1",
        "# EOF",
    ] {
        check(&text, line);
    }
    telemetry.alerts("j", &["stale-keys", "errors-high"], &[]);
    check(
        &telemetry.text(Exposition::OpenMetrics),
        "keysweep_alerts_active{cleanup_job=\"j\",alert=\"stale-keys\"} 0",
    );
}

#[test]
fn rules_that_a_job_no_longer_has_are_not_exposed() {
    let telemetry = busy();
    assert!(has(&telemetry.text(Exposition::OpenMetrics), "keysweep_rule_keys"));
    telemetry.ended(&Alias::new("main"), &CleanupResult { rules: Vec::new(), ..result(None) });
    assert!(!has(&telemetry.text(Exposition::OpenMetrics), "keysweep_rule_keys"));
}

#[test]
fn unknown_values_are_not_reported() {
    let telemetry = busy();
    telemetry.ended(&Alias::new("main"), &result(None));
    telemetry.checked(&Alias::new("main"), &health(None));
    let text = telemetry.text(Exposition::OpenMetrics);
    assert!(!has(&text, "keysweep_hit_ratio") && !has(&text, "keysweep_memory_used_ratio"));
}

#[test]
fn a_run_with_an_unknown_key_count_keeps_the_reported_one() {
    let telemetry = busy();
    let ended = |total_keys, avg_ttl, finished_at: &str| {
        let mut result = result(None);
        (result.current_metrics.total_keys, result.current_metrics.avg_ttl) = (total_keys, avg_ttl);
        result.finished_at = finished_at.to_owned();
        telemetry.ended(&Alias::new("main"), &result);
        telemetry.text(Exposition::OpenMetrics)
    };
    let cancelled = ended(None, None, "1970-01-01T01:00:00Z");
    check(&cancelled, "keysweep_matching_keys{cleanup_job=\"j\",redis=\"main\"} 12");
    check(&cancelled, "keysweep_average_ttl_seconds{cleanup_job=\"j\",redis=\"main\"} 450.5");
    check(&cancelled, "keysweep_matching_keys_timestamp_seconds{cleanup_job=\"j\",redis=\"main\"} 100");
    let emptied = ended(Some(0), None, "1970-01-01T01:00:00Z");
    check(&emptied, "keysweep_matching_keys{cleanup_job=\"j\",redis=\"main\"} 0");
    check(&emptied, "keysweep_matching_keys_timestamp_seconds{cleanup_job=\"j\",redis=\"main\"} 3600");
    assert!(!has(&emptied, "keysweep_average_ttl_seconds"));
}

/// Whether a metric has a value.
fn has(text: &str, name: &str) -> bool {
    text.lines().any(|line| line.starts_with(&format!("{name}{{")))
}

/// Name, type and labels of each metric that `text` has values of.
fn exposed(text: &str) -> BTreeSet<(String, String, Vec<String>)> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    types
        .filter_map(|(name, kind)| {
            let sample = text.lines().find(|line| !line.starts_with('#') && line.starts_with(name))?;
            let labels = sample.split(['{', '}']).nth(1).unwrap_or_default().split(',');
            let labels =
                labels.filter_map(|pair| Some(pair.split_once('=')?.0)).filter(|label| *label != "le");
            Some((name.to_owned(), kind.to_owned(), labels.map(str::to_owned).collect()))
        })
        .collect()
}

/// The same of the catalog, for the roles of a process.
fn known(roles: &[Role]) -> BTreeSet<(String, String, Vec<String>)> {
    let of_roles = |doc: &MetricDoc| doc.roles.iter().any(|role| roles.contains(role));
    let text =
        |doc: MetricDoc| (doc.name, doc.kind.to_owned(), doc.labels.into_iter().map(str::to_owned).collect());
    catalog().into_iter().filter(of_roles).map(text).collect()
}

#[test]
fn the_catalog_has_what_is_exposed_and_nothing_else() {
    assert_eq!(exposed(&busy().textfile()), known(Role::ALL));
}

#[test]
fn a_process_exposes_the_metrics_of_its_roles() {
    for role in Role::ALL {
        let telemetry = Telemetry::of(&[*role], BuildInfo::default());
        make_busy(&telemetry);
        assert_eq!(exposed(&telemetry.textfile()), known(&[*role]), "{role:?}");
    }
}

#[test]
fn counters_begin_at_0() {
    let (telemetry, redis) = (Telemetry::default(), Alias::new("main"));
    telemetry.knows_job("j", &redis);
    telemetry.knows_redis(&redis, ["moved"]);
    let text = telemetry.textfile();
    for line in [
        "keysweep_keys_scanned_total{cleanup_job=\"j\",redis=\"main\"} 0",
        "keysweep_keys_reaped_total{cleanup_job=\"j\",redis=\"main\",outcome=\"failed\"} 0",
        "keysweep_runs_total{cleanup_job=\"j\",redis=\"main\",outcome=\"failed\"} 0",
        "keysweep_missed_runs_total{cleanup_job=\"j\",redis=\"main\"} 0",
        "keysweep_deliveries_total{queue=\"tasks\",outcome=\"dead_lettered\"} 0",
        "keysweep_redis_failures_total{redis=\"main\",kind=\"moved\"} 0",
        "keysweep_pacing_waits_seconds_total{redis=\"main\",reason=\"latency\"} 0.0",
    ] {
        check(&text, line);
    }
    // What was counted stays.
    telemetry.missed("j", &redis, 2);
    telemetry.knows_job("j", &redis);
    check(&telemetry.textfile(), "keysweep_missed_runs_total{cleanup_job=\"j\",redis=\"main\"} 2");
}

#[test]
fn nodes_that_are_gone_have_no_metrics_and_those_that_cannot_be_found_are_down() {
    let (telemetry, redis) = (Telemetry::default(), Alias::new("main"));
    telemetry.checked(&redis, &health(None));
    telemetry.unreachable(&redis, "seed:1");
    check(&telemetry.textfile(), "keysweep_redis_up{redis=\"main\",node=\"h:1\"} 0");
    assert!(!has(&telemetry.textfile(), "keysweep_redis_memory_used_bytes"));
    let one = RedisHealth { nodes: health(None).nodes[..1].to_vec(), ..RedisHealth::default() };
    telemetry.checked(&redis, &one);
    let text = telemetry.textfile();
    check(&text, "keysweep_redis_up{redis=\"main\",node=\"h:1\"} 1");
    assert!(!text.contains("down:1") && !text.contains("seed:1"), "{text}");
}

#[test]
fn a_deployment_that_never_answered_is_down() {
    let (telemetry, redis) = (Telemetry::default(), Alias::new("main"));
    telemetry.unreachable(&redis, "seed:1");
    check(&telemetry.textfile(), "keysweep_redis_up{redis=\"main\",node=\"seed:1\"} 0");
    telemetry.checked(&redis, &health(None));
    let text = telemetry.textfile();
    check(&text, "keysweep_redis_up{redis=\"main\",node=\"h:1\"} 1");
    assert!(!text.contains("seed:1"), "{text}");
}

/// Where the system has it, the process is described.
#[test]
#[cfg(target_os = "linux")]
fn the_process_has_metrics() {
    let text = Telemetry::default().text(Exposition::Prometheus);
    for (name, kind, _) in process::DOCS {
        check(&text, &format!("# TYPE {name} {kind}"));
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        assert!(
            value.is_some_and(|value| value.parse::<f64>().is_ok_and(|value| value >= 0.0)),
            "{name}: {value:?}"
        );
    }
    assert!(!Telemetry::default().textfile().contains("process_"));
}

#[test]
fn the_page_lists_what_there_is_and_nothing_else() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics.md");
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains(&table()), "`cargo xtask docs --metrics` writes the table");
}

/// The names of metrics and labels in the alert rules for Prometheus are those that are exposed.
#[test]
fn the_alert_rules_use_what_there_is() {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/prometheus/alerts.yaml");
    let rules = std::fs::read_to_string(rules).unwrap();
    let catalog = catalog();
    let metrics: BTreeSet<&str> = catalog.iter().map(|doc| &*doc.name).collect();
    let labels: BTreeSet<&str> = catalog.iter().flat_map(|doc| doc.labels.clone()).collect();
    let rules: String = rules.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let used: Vec<String> = rules.match_indices("keysweep_").map(|(at, _)| word(&rules[at..])).collect();
    assert!(used.len() >= 8, "{used:?}");
    for metric in used {
        assert!(metrics.contains(&*metric), "no metric is named `{metric}`");
    }
    let by = rules.split("by (").skip(1).filter_map(|rest| rest.split(')').next());
    let by = by.flat_map(|list| list.split(", ")).map(str::to_owned);
    let shown = rules.split("$labels.").skip(1).map(word);
    for label in by.chain(shown).filter(|label| label != "instance") {
        assert!(labels.contains(&*label), "no metric has the label `{label}`");
    }
}
