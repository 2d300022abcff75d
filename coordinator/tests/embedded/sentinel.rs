//! A server behind Sentinels that fails during a run. Cursors, counters and deletions of the old primary mean nothing
//! at the new one, so the run ends and reports that; the next run finishes the work.

use std::time::Duration;

use coordinator::drive::Progress;
use keysweep_model::result::Status;
use keysweep_redis::ConnectOptions;
use keysweep_runtime::context::Timing;
use keysweep_servers::Server;
use keysweep_storage::queue::Topic;
use keysweep_testkit::kit::gate::Gate;
use keysweep_testkit::kit::ground_truth::GroundTruth;
use keysweep_testkit::kit::{self, keys};
use keysweep_testkit::sentinel::Sentinel;
use tokio::time::sleep;

use super::failover::{cut_off, takes_over};

/// Matching keys: so many that there are several tasks.
const KEYS: u64 = 20_000;

/// What the Sentinels call the primary.
const NAME: &str = "main";

/// A replica of `primary` that is in step with it.
async fn replica_of(primary: &Server) -> Server {
    let args = ["--replicaof", "127.0.0.1", &primary.port().to_string(), "--repl-diskless-sync-delay", "0"];
    let replica = Server::start(&args).await.expect("a server can be started");
    let conn = replica.conn().await.unwrap();
    while !format!("{:?}", conn.info_text("INFO replication").await.unwrap())
        .contains("master_link_status:up")
    {
        sleep(Duration::from_millis(20)).await;
    }
    replica
}

/// A run during which the primary is killed, before the first task is read or between deletions; `lossy` if the replica
/// does not have the last ones by then.
async fn failed_over(topic: Topic, lossy: bool) {
    let primary = kit::standalone().await;
    let truth = GroundTruth::mixture(KEYS, "");
    truth.seed(&ConnectOptions::open(vec![primary.url()])).await;
    let replica = replica_of(&primary).await;
    let sentinel = Sentinel::start(NAME, &primary, &[]).await.expect("a Sentinel can be started");
    sentinel.knows_replicas(NAME, 1).await.unwrap();
    let mut options = kit::options(vec![format!("redis+sentinel://{}/{NAME}", sentinel.address())]);
    options.rules.delete_batch_keys = 10;
    let (mut env, preflight) = (kit::env(&options, Timing::default()), kit::preflight_of(&options).await);
    let gate = Gate::install(&mut env.queue, topic);
    let (progress, mut seen) = kit::progress(&preflight);
    let running = Box::pin(coordinator::embedded::run(&env, &options, &preflight, progress));
    let failing = async {
        // The run has its lock by then.
        while gate.published().is_empty() {
            sleep(Duration::from_millis(10)).await;
        }
        if topic == Topic::Batches {
            // A batch that is delivered before it may act is put back, and its delivery is used up.
            let records = env.records(preflight.spec.run);
            for task in &preflight.tasks {
                while records.grant(task.task).await.unwrap().is_none() {
                    sleep(Duration::from_millis(10)).await;
                }
            }
            let deleted = |n| move |progress: &Progress| progress.totals.accounting.deleted > n;
            gate.allow(1);
            let before =
                seen.wait_for(deleted(0)).await.expect("the run is at work").totals.accounting.deleted;
            if lossy {
                cut_off(&primary).await;
                gate.allow(1);
                seen.wait_for(deleted(before)).await.expect("the run is at work");
            }
        }
        primary.kill().unwrap();
        takes_over(&replica).await;
        gate.open();
    };
    let (result, ()) = kit::in_time(async { tokio::join!(running, failing) }).await;
    let result = result.unwrap();
    let there = ConnectOptions::open(vec![replica.url()]);
    for (class, kept) in [("fresh", &truth.fresh), ("protected", &truth.protected), ("other", &truth.other)] {
        assert_eq!(keys::existing(&there, kept).await.len(), kept.len(), "{class} keys are gone");
    }
    // Of a run that has read nothing, nothing can be said.
    let expected = if topic == Topic::Tasks { Status::Failed } else { Status::Partial };
    assert_eq!((result.status, result.accounting.balanced), (expected, true), "{result:#?}");
    // What a server read that is gone counts only if its replica had all that was done by then.
    let missing = (topic == Topic::Tasks || lossy).then_some("database 0");
    assert_eq!(result.coverage.missing.as_deref(), missing);
    assert_eq!((result.failover.rescanned.as_deref(), result.failover.redeleted), (None, 0));
    let left = keys::existing(&there, &truth.stale).await.len() as u64;
    let (stale, account) = (truth.stale.len() as u64, &result.accounting);
    if lossy {
        assert!(account.deleted > stale - left, "some are back: {account:?}");
    } else {
        assert!(account.deleted + account.unconfirmed >= stale - left, "{account:?}");
    }
    let second = kit::run(&options).await;
    assert_eq!((second.status, second.cleaned_keys), (Status::Completed, left), "{second:#?}");
    assert_eq!(keys::existing(&there, &truth.stale).await.len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicated_deletions_stay_done() {
    Box::pin(failed_over(Topic::Batches, false)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unreplicated_deletions_are_found_by_the_next_run() {
    Box::pin(failed_over(Topic::Batches, true)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unread_keys_are_not_counted_as_read_after_a_failover() {
    Box::pin(failed_over(Topic::Tasks, false)).await;
}
