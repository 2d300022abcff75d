//! Servers that respond slowly, or report less than before: the result does not claim that they were replaced,
//! restarted or failed over, which was not observed.

use std::time::Duration;

use coordinator::embedded;
use coordinator::options::Options;
use keysweep_model::result::{CleanupResult, Status};
use keysweep_runtime::context::Timing;
use keysweep_servers::{ClusterServers, Server};
use keysweep_testkit::kit::foreign::{Differences, Foreign};
use keysweep_testkit::kit::ground_truth::GroundTruth;
use keysweep_testkit::kit::proxy::Proxy;
use keysweep_testkit::kit::{self, keys};
use tokio::time::{Instant, sleep};

/// How long a run waits for servers that do not answer at its end.
const WAIT: Duration = Duration::from_secs(4);

/// A slow server takes longer for each answer than is waited for who serves what (`ASK_TIMEOUT`) and for a probe.
const DELAY_MS: u64 = 1_200;

/// A run of `options` in which `slowing` happens once everything is deleted.
async fn slowed(options: &Options, truth: &GroundTruth, slowing: impl AsyncFnOnce()) -> CleanupResult {
    let preflight = kit::preflight_of(options).await;
    let timing = Timing { primary_wait: WAIT, ..Timing::default() };
    let (progress, mut seen) = kit::progress(&preflight);
    let env = kit::env(options, timing);
    let running = Box::pin(embedded::run(&env, options, &preflight, progress));
    let stale = truth.stale.len() as u64;
    let slowing = async {
        // The receipts are stored, so that what comes after is the end of the run.
        seen.wait_for(|progress| progress.totals.accounting.deleted >= stale).await.expect("it is at work");
        slowing().await;
    };
    let (result, ()) = kit::in_time(async { tokio::join!(running, slowing) }).await;
    result.unwrap()
}

/// No cause is named that was not seen.
fn names_no_cause(result: &CleanupResult) {
    assert!(result.failover.replaced.is_empty(), "{:?}", result.failover);
    let issues = result.issues.join("; ");
    for word in ["replaced", "restart", "failover", "failed over"] {
        assert!(!issues.contains(word), "{word}: {issues}");
    }
    let findings = serde_json::to_string(&(&result.findings, &result.alerts, &result.coverage)).unwrap();
    for word in ["was replaced", "restart", "failover", "failed over"] {
        assert!(!findings.contains(word), "{word}: {findings}");
    }
}

async fn standalone() -> (Server, GroundTruth) {
    let (server, truth) = (Server::start(&[]).await.unwrap(), GroundTruth::mixture(2_000, ""));
    truth.seed(&kit::options(vec![server.url()]).access).await;
    (server, truth)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_answers_slowly_for_a_while_completes() {
    let (server, truth) = standalone().await;
    let proxy = Proxy::before(server.port()).await;
    let options = kit::options(vec![proxy.url()]);
    let slowing = async || {
        proxy.faults.delay(DELAY_MS);
        sleep(WAIT / 2).await;
        proxy.faults.delay(0);
    };
    let result = slowed(&options, &truth, slowing).await;
    assert_eq!(result.status, Status::Completed, "{:?}", result.issues);
    names_no_cause(&result);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stays_slow_to_the_end_is_reported_as_unknown() {
    let (server, truth) = standalone().await;
    let proxy = Proxy::before(server.port()).await;
    let options = kit::options(vec![proxy.url()]);
    let begun = Instant::now();
    let result = slowed(&options, &truth, async || proxy.faults.delay(DELAY_MS)).await;
    println!("{:?} after {:?}: {:?}", result.status, begun.elapsed(), result.issues);
    // The lock is renewed while the result is made: no lookup of another client.
    assert_eq!(result.metrics.hit_rates.during_run.lookups, Some(0), "{:?}", result.metrics.hit_rates);
    names_no_cause(&result);
    let said = result.issues.iter().any(|issue| issue.contains("did not report its replication history"));
    assert!(result.status == Status::Completed || said, "{:?}", result.issues);
    assert_eq!(keys::existing(&kit::options(vec![server.url()]).access, &truth.stale).await.len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_of_a_cluster_that_stands_still_was_not_replaced() {
    let cluster = ClusterServers::start_with(3, 0, &["--cluster-node-timeout", "1000"], None).await.unwrap();
    let options = kit::options(cluster.urls());
    let truth = GroundTruth::mixture(2_000, "");
    truth.seed(&options.access).await;
    let node = &cluster.nodes()[1];
    // Longer than it takes the others to say that it fails.
    let slowing = async || {
        node.pause().unwrap();
        sleep(Duration::from_millis(2_500)).await;
        node.resume().unwrap();
    };
    let result = slowed(&options, &truth, slowing).await;
    println!("{:?}: {:?}", result.status, result.issues);
    names_no_cause(&result);
    assert_eq!(keys::existing(&options.access, &truth.stale).await.len(), 0);
    assert_eq!(result.accounting.deleted, truth.stale.len() as u64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_does_not_name_its_history_any_more_was_not_replaced() {
    let (server, truth) = standalone().await;
    let foreign =
        Foreign::before(server.port(), Differences { hides_history: true, ..Differences::default() }).await;
    let options = kit::options(vec![foreign.url()]);
    let result = slowed(&options, &truth, async || ()).await;
    names_no_cause(&result);
    assert_eq!((result.status, result.accounting.deleted), (Status::Partial, truth.stale.len() as u64));
    let said =
        "did not report its replication history at the end of the run, so the deletions are unconfirmed";
    assert!(result.issues.iter().any(|issue| issue.contains(said)), "{:?}", result.issues);
}
