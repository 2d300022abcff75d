//! Over NATS, nothing is counted or deleted twice and nothing is lost when every message is delivered twice, and when
//! workers of any role are stopped at any failpoint.

use std::time::Duration;

use keysweep_config::BackupPlace;
use keysweep_model::result::{CleanupResult, Status};
use keysweep_runtime::context::{Context, Timing};
use keysweep_runtime::failpoint::{FailPoint, FailPoints};
use keysweep_storage::events::EVENTS;
use keysweep_testkit::kit;
use keysweep_testkit::kit::ground_truth::GroundTruth;
use keysweep_testkit::kit::net::{self, Counts, Net, Workers};
use keysweep_testkit::kit::queues::Twice;

/// Enough for two tasks and several batches on a standalone server, few enough for many repetitions.
const KEYS: u64 = 12_000;

/// Redelivery after half a second, so that a stopped worker does not delay the test.
fn timing() -> Timing {
    Timing { ack_wait: Duration::from_millis(500), ..Timing::default() }
}

/// Checks that the run ended once in its history and its events.
async fn check_events(context: &Context, result: &CleanupResult) {
    let line = net::closed(context, result.run_id).await;
    assert_eq!((line.status, line.cleaned_keys), (Some(Status::Completed), result.cleaned_keys));
    let (mut ends, mut revision) = (0, 0);
    while let Some(event) = context.store.next_after(EVENTS, revision).await.unwrap() {
        revision = event.revision;
        ends += usize::from(event.key == format!("events/{}/completed/{}", result.job, result.run_id));
    }
    assert_eq!(ends, 1, "its end is published once");
}

async fn delivered_twice(urls: Vec<String>, keys: u64) {
    let net = Net::start(timing()).await;
    let mut options = kit::options(urls);
    options.rules.grace_ms = 100;
    let mut env = net.env(&options).await;
    let twice = Twice::install(&mut env.queue);
    let truth = GroundTruth::mixture(keys, "");
    truth.seed(&options.access).await;
    let preflight = kit::preflight_of(&options).await;
    let result = net::run_in(&env, &options, &preflight, Counts::PAIRS).await;
    net::drop_ledgers(&options).await;
    truth.check(&options.access, &result).await;
    check_events(&env, &result).await;
    let messages = preflight.tasks.len() as u64;
    println!("{} deliveries were doubled, of {messages} tasks and their batches", twice.doubled());
    assert!(twice.doubled() > messages, "{} deliveries were doubled", twice.doubled());
}

/// One run in which a worker is stopped at the `visit`-th visit of `point`.
async fn cut_off(net: &Net, urls: Vec<String>, point: FailPoint, visit: u32) {
    let mut options = kit::options(urls);
    options.rules.grace_ms = 50;
    if point == FailPoint::BackupWritten {
        options.backup = Some((BackupPlace::Bucket("crash".to_owned()), 4 << 20));
    }
    let truth = GroundTruth::mixture(KEYS, "");
    truth.seed(&options.access).await;
    let preflight = kit::preflight_of(&options).await;
    let env = net::with_crash(&net.env(&options).await, FailPoints::at(point, visit));
    let workers = Workers::start(&env, Counts::PAIRS);
    let result = kit::in_time(net::driven(&env, &options, &preflight)).await;
    // The second of two reporters may be a little behind the first.
    net::until(async || env.failpoints.has_fired()).await;
    check_events(&env, &result).await;
    workers.stop().await;
    net::drop_ledgers(&options).await;
    truth.check(&options.access, &result).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_delivery_twice_on_a_cluster() {
    let cluster = kit::cluster().await;
    Box::pin(delivered_twice(cluster.urls(), 20_000)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_delivery_twice_on_a_standalone_server() {
    let server = kit::standalone().await;
    Box::pin(delivered_twice(vec![server.url()], 20_000)).await;
}

/// There are two workers of each role, so each point is visited at least twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_crash_point_in_each_role() {
    let net = Net::start(timing()).await;
    for &point in FailPoint::ALL {
        for visit in [1, 2] {
            println!("{point:?}, visit {visit}");
            // Emptied in each iteration.
            let cluster = kit::cluster().await;
            cut_off(&net, cluster.urls(), point, visit).await;
        }
    }
    // Messages of stopped workers have no further effect, and do not stay.
    let env = net.env(&kit::options(Vec::new())).await;
    let workers = Workers::start(&env, Counts::PAIRS);
    tokio::time::sleep(env.timing.ack_wait * 2).await;
    workers.stop().await;
    net::check_empty(&env).await;
}
