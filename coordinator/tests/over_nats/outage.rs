//! NATS that becomes unreachable, is not there yet, or is full: workers and coordinators wait and continue, and
//! nothing fails.

use std::sync::atomic::Ordering;
use std::time::Duration;

use coordinator::serve::serve;
use keysweep_config::limits::QUEUE_BYTES_MIN;
use keysweep_runtime::context::Timing;
use keysweep_runtime::failpoint::{FailPoint, FailPoints};
use keysweep_storage::queue::Topic;
use keysweep_tasks::supervision::TaskGroup;
use keysweep_testkit::kit;
use keysweep_testkit::kit::gate::{Gate, pace};
use keysweep_testkit::kit::ground_truth::{Class, GroundTruth};
use keysweep_testkit::kit::net::{self, Counts, Net, Workers};
use tokio_util::sync::CancellationToken;

/// A run during which NATS is killed and stays down for `down`.
async fn without_nats_for(down: Duration) {
    let timing =
        Timing { ack_wait: Duration::from_secs(2), lease: Duration::from_secs(2), ..Timing::default() };
    let (net, cluster) = (Net::start(timing).await, kit::cluster().await);
    let options = kit::options(cluster.urls());
    let truth = GroundTruth::mixture(60_000, "");
    truth.seed(&options.access).await;
    let (mut env, preflight) = (net.env(&options).await, kit::preflight_of(&options).await);
    let gate = Gate::install(&mut env.queue, Topic::Tasks);
    let workers = Workers::start(&env, Counts::PAIRS);
    net::submitted(&env, &options, &preflight, "a test that leaves the run to the service").await;
    let (shutdown, mut service) = (CancellationToken::new(), TaskGroup::default());
    let (nats, serving, stop) = (net.connect().await, net.env(&options).await, shutdown.clone());
    service.start("service", async move { serve(&serving, &nats, Vec::new(), "service", stop).await });
    let records = env.records(preflight.spec.run);
    gate.allow(3);
    net::until(async || net::reports(&records, &preflight.tasks).await == 3).await;
    net.server.kill().unwrap();
    // Some work is in flight meanwhile, and some pulls fail.
    gate.open();
    tokio::time::sleep(down).await;
    net.server.restart().await.unwrap();
    let result = kit::in_time(net::followed(&env, &preflight)).await;
    println!("NATS was away for {down:?}, the run took {} ms", result.duration_ms);
    net::closed(&env, result.run_id).await;
    net::freed(&env, &options).await;
    shutdown.cancel();
    assert_eq!(kit::in_time(service.join()).await, []);
    workers.stop().await;
    net::drop_ledgers(&options).await;
    truth.check(&options.access, &result).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn run_survives_an_outage_of_nats_of_6_s() {
    without_nats_for(Duration::from_secs(6)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute"]
async fn soak_a_run_outlasts_a_nats_that_is_away_for_30_s() {
    without_nats_for(Duration::from_secs(30)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_started_before_nats_wait_for_it() {
    let (net, server) = (Net::start(Timing::default()).await, kit::standalone().await);
    let options = kit::options(vec![server.url()]);
    let truth = GroundTruth::mixture(3_000, "");
    truth.seed(&options.access).await;
    let preflight = kit::preflight_of(&options).await;
    net.server.kill().unwrap();
    let early = async { Workers::start(&net.env(&options).await, Counts::PAIRS) };
    let late = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        net.server.restart().await.unwrap();
    };
    let (workers, ()) = kit::in_time(async { tokio::join!(early, late) }).await;
    let env = net.env(&options).await;
    let result = kit::in_time(net::driven(&env, &options, &preflight)).await;
    workers.stop().await;
    net::drop_ledgers(&options).await;
    truth.check(&options.access, &result).await;
}

/// The smallest permitted queue, and twice as many bytes of candidates as it can hold. A scanner is stopped with a
/// whole task's batches in the queue: they stay there until another attempt has found room for its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_slows_scanners_down_and_nothing_fails() {
    let mut net = Net::start(Timing { ack_wait: Duration::from_secs(5), ..Timing::default() }).await;
    net.access.queue_bytes = QUEUE_BYTES_MIN as u64;
    let cluster = kit::cluster().await;
    let mut options = kit::options(cluster.urls());
    options.max_delete_percent = 100;
    let mut truth = GroundTruth::default();
    for n in 0..2 * QUEUE_BYTES_MIN / 1_000 {
        truth.add(Class::Stale, format!("permissions:{n:0988}"));
    }
    truth.seed(&options.access).await;
    let (mut env, preflight) = (net.env(&options).await, kit::preflight_of(&options).await);
    // Much slower than scanners, so that the queue fills.
    let full = pace(&mut env.queue, Topic::Batches, Duration::from_millis(500));
    let env = net::with_crash(&env, FailPoints::at(FailPoint::BatchesPublished, 2));
    let result = net::run_in(&env, &options, &preflight, Counts::PAIRS).await;
    assert!(env.failpoints.has_fired());
    let full = full.load(Ordering::SeqCst);
    println!("the queue was full {full} times, the run took {} ms", result.duration_ms);
    assert!(full > 0, "the queue was never full");
    net::drop_ledgers(&options).await;
    truth.check(&options.access, &result).await;
}
