//! Dry runs over many slow simulated nodes: the numbers are exact, no node exceeds its limit, and nothing is written.

use std::time::Duration;

use coordinator::limits::EMBEDDED_SCANS;
use coordinator::options::Options;
use keysweep_model::messages::Action;
use keysweep_model::result::{CleanupResult, Status};
use keysweep_pacing::limits::TASKS_PER_NODE;
use keysweep_runtime::context::Timing;
use keysweep_testkit::kit;
use keysweep_testkit::kit::slow_nodes::{Service, SlowNodes};

fn options(nodes: &SlowNodes) -> Options {
    let mut options = kit::options(nodes.urls());
    options.rules.action = Action::Report;
    options.dry_run = true;
    options
}

/// Holds a run that read everything once against the truth.
fn check(nodes: &SlowNodes, result: &CleanupResult) {
    assert_eq!(nodes.refused(), [""; 0], "a dry run needs no other commands");
    assert_eq!((result.status, result.dry_run), (Status::Completed, true), "{:?}", result.issues);
    assert_eq!((result.scanned_keys, result.stale_ttl_keys), (nodes.keys(), nodes.stale()));
    assert_eq!((result.cleaned_keys, result.accounting.reported), (0, nodes.stale()));
    assert_eq!(result.coverage.slots_covered, Some(16_384));
    let listed: Vec<u64> = result.nodes.iter().map(|row| row.listed_keys).collect();
    assert_eq!(listed, nodes.listed(), "every slot was listed once");
    let metrics = result.current_metrics;
    assert_eq!(
        (metrics.hits, metrics.misses, metrics.hit_rate),
        (Some(0), Some(0), None),
        "no other client makes lookups"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_over_slow_nodes() {
    let service = Service { command: Duration::from_micros(2), key: Duration::from_micros(20) };
    let nodes = SlowNodes::start(8, 4, service).await;
    let result = kit::run(&options(&nodes)).await;
    check(&nodes, &result);
    // The coordinator, the scanners and the reporter: one each, and one more for each that lists keys.
    let most = 4 + TASKS_PER_NODE;
    assert!(
        nodes.connections_at_once().iter().all(|count| *count <= most),
        "{:?}",
        nodes.connections_at_once()
    );
}

/// One node, so that all scanners of an embedded run would be at it if they could.
#[tokio::test(flavor = "multi_thread")]
async fn node_limit_holds() {
    let nodes = SlowNodes::start(1, 32, Service::default()).await;
    let options = options(&nodes);
    let preflight = kit::preflight_of(&options).await;
    assert!(preflight.tasks.len() > EMBEDDED_SCANS, "tasks have to wait for each other");
    nodes.set_service(Service { command: Duration::ZERO, key: Duration::from_micros(3) });
    let result = kit::run_in(&kit::env(&options, Timing::default()), &options, &preflight).await.unwrap();
    check(&nodes, &result);
    let busy = Duration::from_micros(3 * 2 * nodes.keys());
    assert_eq!(nodes.busy(), [busy], "each key was listed and looked up, once");
    assert!(result.duration_ms >= busy.as_millis() as u64, "one thing after the other");
    assert_eq!(nodes.tasks_at_once(&preflight.tasks), [TASKS_PER_NODE]);
}
