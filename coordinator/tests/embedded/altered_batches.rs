//! Altered copies of real batches, published by a client with a scanner's permissions: they have no effect, do not end
//! the batch, and do not change the counts.

use std::sync::Arc;

use keysweep_model::ids::NodeId;
use keysweep_model::key::Key;
use keysweep_model::messages::{Action, Group, ReapBatch};
use keysweep_model::result::Status;
use keysweep_model::wire;
use keysweep_runtime::context::Timing;
use keysweep_storage::queue::{QueueError, Topic};
use keysweep_testkit::kit::ground_truth::GroundTruth;
use keysweep_testkit::kit::intercept::{Intercept, Publish};
use keysweep_testkit::kit::{self, keys};

/// Changes a copy of a batch in one thing.
type Change = fn(&mut ReapBatch);

/// As many candidates as the batch has, so that the counts are true, one in each group: their ledgers are others.
fn regroup(batch: &mut ReapBatch, name: impl Fn(Key) -> Key) {
    let single = |group: &Group, key: &Key| Group { keys: vec![name(key.clone())], ..group.clone() };
    let split = |group: &Group| group.keys.iter().map(|key| single(group, key)).collect::<Vec<_>>();
    batch.groups = batch.groups.iter().flat_map(split).collect();
}

const CHANGES: [(&str, Change); 9] = [
    // When it is due decides which of the two is looked at first: this one is.
    ("its times are over", |batch| batch.not_after_ms = batch.not_before_ms + 1),
    ("its times are long over", |batch| (batch.not_before_ms, batch.not_after_ms) = (0, 1)),
    ("its times are over soon", |batch| batch.not_after_ms = batch.not_before_ms + 300),
    ("its times are to come", |batch| {
        batch.not_before_ms += 3_600_000;
        batch.not_after_ms += 3_600_000;
    }),
    ("its keys are others", |batch| {
        for key in batch.groups.iter_mut().flat_map(|group| &mut group.keys) {
            *key = Key::new([key.as_bytes(), b"x"].concat());
        }
    }),
    ("its groups are others", |batch| regroup(batch, |key| key)),
    ("its keys and groups are others", |batch| {
        regroup(batch, |key| Key::new([key.as_bytes(), b"x"].concat()));
    }),
    ("it is refused", |batch| batch.node = NodeId::new("nowhere")),
    ("it cannot be read", |batch| batch.groups.clear()),
];

/// Publishes copies of each batch with `change` before it and after it.
async fn publish_copies(call: Publish, change: Change) -> Result<(), QueueError> {
    if call.topic != Topic::Batches {
        return call.forward().await;
    }
    let mut copy: ReapBatch = wire::decode(&call.payload).unwrap();
    change(&mut copy);
    let (copy, queue) = (wire::encode(&copy).unwrap(), Arc::clone(&call.queue));
    // Under ids of their own, or the queue would take them for one message.
    let [before, after] = ["before", "after"].map(|when| format!("{}-{when}", call.id));
    queue.publish(Topic::Batches, &before, copy.clone(), None).await?;
    call.forward().await?;
    queue.publish(Topic::Batches, &after, copy, None).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changed_copies_of_batches_change_nothing() {
    let (server, cluster) = (kit::standalone().await, kit::cluster().await);
    for (urls, cluster) in [(vec![server.url()], false), (cluster.urls(), true)] {
        let options = kit::options(urls);
        for (what, change) in CHANGES {
            for conn in keys::conns(&options.access).await {
                conn.info_text("FLUSHDB").await.unwrap();
            }
            let truth = GroundTruth::mixture(300, "");
            truth.seed(&options.access).await;
            let preflight = kit::preflight_of(&options).await;
            let mut env = kit::env(&options, Timing::default());
            let copying = move |call| publish_copies(call, change);
            env.queue = Arc::new(Intercept::new(&env.queue).on_publish(copying));
            let result = kit::run_in(&env, &options, &preflight).await.unwrap();
            let reported = format!("{what}, cluster: {cluster}: {:#?}", result.issues);
            assert_eq!(
                (result.status, result.accounting.deleted, result.accounting.unreached),
                (Status::Completed, truth.stale.len() as u64, 0),
                "{reported}"
            );
            truth.check_numbers(&result, Action::Delete);
            assert_eq!(keys::existing(&options.access, &truth.stale).await.len(), 0, "{reported}");
        }
    }
}
