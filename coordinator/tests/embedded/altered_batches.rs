//! Altered copies of real batches, published by a client with a scanner's permissions: they have no effect, do not end
//! the batch, and do not change the counts.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use keysweep_model::ids::NodeId;
use keysweep_model::key::Key;
use keysweep_model::messages::{Action, Group, ReapBatch};
use keysweep_model::result::Status;
use keysweep_model::wire;
use keysweep_runtime::context::Timing;
use keysweep_storage::queue::{Delivery, Queue, QueueError, Topic};
use keysweep_testkit::kit::ground_truth::GroundTruth;
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

/// Publishes changed copies of each batch before it and after it.
struct Copier {
    inner: Arc<dyn Queue>,
    change: Change,
}

impl Queue for Copier {
    fn publish(&self, topic: Topic, id: &str, payload: Vec<u8>) -> BoxFuture<'_, Result<(), QueueError>> {
        let id = id.to_owned();
        async move {
            if topic != Topic::Batches {
                return self.inner.publish(topic, &id, payload).await;
            }
            let mut copy: ReapBatch = wire::decode(&payload).unwrap();
            (self.change)(&mut copy);
            let copy = wire::encode(&copy).unwrap();
            // Under ids of their own, or the queue would take them for one message.
            self.inner.publish(topic, &format!("{id}-before"), copy.clone()).await?;
            self.inner.publish(topic, &id, payload).await?;
            self.inner.publish(topic, &format!("{id}-after"), copy).await
        }
        .boxed()
    }

    fn pull(
        &self,
        topic: Topic,
        max: usize,
        wait: Duration,
    ) -> BoxFuture<'_, Result<Vec<Delivery>, QueueError>> {
        self.inner.pull(topic, max, wait)
    }
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
            env.queue = Arc::new(Copier { inner: Arc::clone(&env.queue), change });
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
