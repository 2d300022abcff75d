//! Every metric is updated, and its documentation is complete.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use keysweep_model::ids::{BatchId, NodeId, RunId};
use keysweep_model::messages::{Attempt, DeleteBackend, GroupReceipt, Lookups, Reason};
use keysweep_model::metrics::{self, Severity};
use keysweep_model::outcome::Outcome;
use keysweep_model::result::{
    Accounting, Coverage, CurrentMetrics, FailoverRescan, Pacing, RuleRow, SCHEMA_VERSION, Status,
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
    }
}

/// Records each event once.
fn busy() -> Telemetry {
    let (telemetry, redis) = (Telemetry::default(), Alias::new("main"));
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
    telemetry.memory(&redis, Some(50.0));
    telemetry.alerts("j", &["stale-keys", "errors-high"], &[alert()]);
    telemetry.probed((&redis, "h:1"), Duration::from_millis(3), 0.25, true);
    telemetry.record_wait(&redis, "latency", Duration::from_millis(1_500));
    telemetry.posted("j", "slack", true);
    telemetry
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
        freed_bytes: None,
        cleaned_keys: 0,
        stale_ttl_keys: 0,
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
        coverage: Coverage::default(),
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
    let text = telemetry.text();
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
        "keysweep_run_duration_seconds_sum{cleanup_job=\"j\",redis=\"main\"} 4.0",
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
        concat!("keysweep_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
        "# EOF",
    ] {
        check(&text, line);
    }
    telemetry.alerts("j", &["stale-keys", "errors-high"], &[]);
    check(&telemetry.text(), "keysweep_alerts_active{cleanup_job=\"j\",alert=\"stale-keys\"} 0");
}

#[test]
fn rules_that_a_job_no_longer_has_are_not_exposed() {
    let telemetry = busy();
    assert!(has(&telemetry.text(), "keysweep_rule_keys"));
    telemetry.ended(&Alias::new("main"), &CleanupResult { rules: Vec::new(), ..result(None) });
    assert!(!has(&telemetry.text(), "keysweep_rule_keys"));
}

#[test]
fn unknown_values_are_not_reported() {
    let telemetry = busy();
    telemetry.ended(&Alias::new("main"), &result(None));
    telemetry.memory(&Alias::new("main"), None);
    let text = telemetry.text();
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
        telemetry.text()
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

/// Name, type and labels of each metric that is exposed.
fn exposed() -> BTreeSet<String> {
    let text = busy().text();
    let types: BTreeMap<&str, &str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    let mut metrics = BTreeSet::new();
    for (metric, kind) in types {
        let name = match kind {
            "counter" => format!("{metric}_total"),
            "info" => format!("{metric}_info"),
            _ => metric.to_owned(),
        };
        let sample =
            text.lines().find(|line| line.starts_with(metric) && line.contains('{')).unwrap_or_default();
        let labels = sample.split(['{', '}']).nth(1).unwrap_or_default().split(',');
        let labels: Vec<&str> =
            labels.filter_map(|pair| Some(pair.split_once('=')?.0)).filter(|label| *label != "le").collect();
        let kind = if kind == "info" { "gauge" } else { kind };
        metrics.insert(format!("{name} {kind} {}", labels.join(" ")));
    }
    metrics
}

#[test]
fn the_page_lists_what_there_is_and_nothing_else() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics.md");
    let page = std::fs::read_to_string(page).unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| `keysweep_"));
    let listed: BTreeSet<String> = rows
        .map(|row| {
            let cells: Vec<String> =
                row.split('|').map(|cell| cell.replace(['`', ','], "").trim().to_owned()).collect();
            format!("{} {} {}", cells[1], cells[2], cells[3])
        })
        .collect();
    assert_eq!(listed, exposed());
}

/// The names of metrics and labels in the alert rules for Prometheus are those that are exposed.
#[test]
fn the_alert_rules_use_what_there_is() {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/prometheus-alerts.yml");
    let rules = std::fs::read_to_string(rules).unwrap();
    let exposed = exposed();
    let metrics: BTreeSet<&str> = exposed.iter().filter_map(|metric| metric.split(' ').next()).collect();
    let labels: BTreeSet<&str> = exposed.iter().flat_map(|metric| metric.split(' ').skip(2)).collect();
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
