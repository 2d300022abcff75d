//! The progress of a distributed run, for clients that follow it, query it, or subscribe to its events; invalid notes
//! of tasks affect nothing else.

use std::time::Duration;

use coordinator::follow::follow;
use coordinator::options::Options;
use coordinator::runs;
use keysweep_model::ids::{RunId, TaskId};
use keysweep_model::messages::PacingLimits;
use keysweep_runtime::context::{Context, Timing};
use keysweep_storage::task_notes::{ReadSoFar, TaskNote};
use keysweep_testkit::kit;
use keysweep_testkit::kit::ground_truth::GroundTruth;
use keysweep_testkit::kit::net::{self, Counts, Net, Workers};
use serde_json::Value;
use tokio::time::sleep;

const COUNTS: Counts = Counts { scanners: 2, reapers: 1, reporters: 1 };

/// A run of about 8 seconds, in which no task is done before the end.
async fn slow() -> (Net, kit::PooledCluster, Options, GroundTruth) {
    let (net, cluster) = (Net::start(Timing::default()).await, kit::cluster().await);
    let pacing = PacingLimits { latency_budget_ms: None, keys_per_s_max: Some(1_500) };
    let options = Options { pacing, ..kit::options(cluster.urls()) };
    let truth = GroundTruth::mixture(12_000, "");
    truth.seed(&options.access).await;
    (net, cluster, options, truth)
}

/// The counts of the progress events of a run.
async fn reported(context: &Context, job: &str) -> Vec<u64> {
    let (mut listed, mut revision) = (Vec::new(), 0);
    let prefix = format!("events/{job}/progress/");
    while let Some(entry) = context.store.next_after(&prefix, revision).await.unwrap() {
        revision = entry.revision;
        let event: Value = serde_json::from_slice(&entry.value).unwrap();
        listed.push(event["data"]["listedKeys"].as_u64().unwrap());
    }
    listed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_follower_sees_progress() {
    let (net, _cluster, options, truth) = slow().await;
    let (env, preflight) = (net.env(&options).await, kit::preflight_of(&options).await);
    let workers = Workers::start(&env, COUNTS);
    let records = env.records(preflight.spec.run);
    let held = net::submitted(&env, &options, &preflight, "a test").await;
    let (sender, receiver) = kit::progress(&preflight);
    let (mut followed, mut asked) = (Vec::new(), Vec::new());
    let watching = async {
        loop {
            sleep(Duration::from_millis(200)).await;
            let view = runs::find(&env, preflight.spec.run).await.unwrap().expect("a run");
            followed.push(receiver.borrow().read.listed);
            asked.push(view.progress.expect("it has records").listed_keys);
        }
    };
    let running =
        async { tokio::join!(Box::pin(net::conducted(&env, held)), Box::pin(follow(&records, &sender))) };
    let (result, same) = tokio::select! {
        done = kit::in_time(running) => done,
        () = watching => unreachable!("it has no end"),
    };
    assert_eq!(result, same.unwrap());
    net::closed(&env, preflight.spec.run).await;
    workers.stop().await;
    truth.check_numbers(&result, options.rules.action);
    for seen in [&mut followed, &mut asked] {
        assert!(seen.windows(2).all(|pair| pair[0] <= pair[1]), "it went back: {seen:?}");
        seen.dedup();
        assert!(seen.len() >= 5, "it stood still: {seen:?}");
    }
    let reported = reported(&env, &options.job).await;
    assert!(reported.first().is_some_and(|listed| *listed > 0), "{reported:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn notes_that_are_wrong_change_no_count() {
    let (net, _cluster, options, truth) = slow().await;
    let (env, preflight) = (net.env(&options).await, kit::preflight_of(&options).await);
    let workers = Workers::start(&env, COUNTS);
    let run = preflight.spec.run;
    let most = ReadSoFar { listed: u64::MAX, scanned: u64::MAX, stale: u64::MAX };
    let lying = async {
        loop {
            sleep(Duration::from_millis(50)).await;
            for task in preflight.tasks.iter().map(|task| task.task).chain([TaskId::new()]) {
                env.notes.publish(TaskNote { run, task, read: most });
                env.notes.publish(TaskNote { run: RunId::new(), task, read: most });
            }
        }
    };
    let result = tokio::select! {
        result = kit::in_time(net::driven(&env, &options, &preflight)) => result,
        () = lying => unreachable!("it has no end"),
    };
    net::closed(&env, run).await;
    truth.check_numbers(&result, options.rules.action);
    let view = runs::find(&env, run).await.unwrap().expect("a run");
    assert_eq!(view.progress.expect("it has records").listed_keys, result.scanned_keys.max(truth.all()));
    workers.stop().await;
}
