//! Queues with faults that real queues may have, or that record messages.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use keysweep_model::ids::{NodeId, TaskId};
use keysweep_model::messages::ScanTask;
use keysweep_model::wire;
use keysweep_runtime::context::Context;
use keysweep_storage::queue::{Delivery, Queue, QueueError, Topic};
use keysweep_storage::records::Records;
use keysweep_storage::store::Store;
use tokio::sync::Notify;

/// Delivers every message twice: to two pulls, possibly of different workers at the same time. Both may acknowledge.
pub struct Twice {
    inner: Arc<dyn Queue>,
    again: Mutex<BTreeMap<Topic, VecDeque<Delivery>>>,
    /// Notified when there is a message to deliver again.
    changed: Notify,
    doubled: AtomicU64,
}

impl Twice {
    pub fn new(inner: Arc<dyn Queue>) -> Self {
        Self { inner, again: Mutex::default(), changed: Notify::new(), doubled: AtomicU64::new(0) }
    }

    /// The number of second deliveries.
    pub fn doubled(&self) -> u64 {
        self.doubled.load(Ordering::SeqCst)
    }

    fn again(&self, topic: Topic) -> Option<Delivery> {
        let again = self.again.lock().unwrap().get_mut(&topic)?.pop_front()?;
        self.doubled.fetch_add(1, Ordering::SeqCst);
        Some(again)
    }
}

impl Queue for Twice {
    fn publish(&self, topic: Topic, id: &str, payload: Vec<u8>) -> BoxFuture<'_, Result<(), QueueError>> {
        self.inner.publish(topic, id, payload)
    }

    fn pull(
        &self,
        topic: Topic,
        max: usize,
        wait: Duration,
    ) -> BoxFuture<'_, Result<Vec<Delivery>, QueueError>> {
        async move {
            loop {
                if let Some(again) = self.again(topic) {
                    return Ok(vec![again]);
                }
                tokio::select! {
                    () = self.changed.notified() => {}
                    // No await after messages were taken, so that dropping this loses none.
                    pulled = self.inner.pull(topic, max, wait) => {
                        let pulled = pulled?;
                        self.again.lock().unwrap().entry(topic).or_default().extend(pulled.iter().cloned());
                        self.changed.notify_waiters();
                        return Ok(pulled);
                    }
                }
            }
        }
        .boxed()
    }
}

/// Records the number of scan tasks of each node that are published and not reported yet.
pub struct InflightTasks {
    inner: Arc<dyn Queue>,
    store: Arc<dyn Store>,
    at_work: tokio::sync::Mutex<Vec<(NodeId, Records, TaskId)>>,
    most: Mutex<BTreeMap<NodeId, usize>>,
}

impl InflightTasks {
    pub fn new(context: &Context) -> Self {
        Self {
            inner: Arc::clone(&context.queue),
            store: Arc::clone(&context.store),
            at_work: tokio::sync::Mutex::default(),
            most: Mutex::default(),
        }
    }

    /// The maximum of concurrent tasks, by node.
    pub fn most(&self) -> BTreeMap<NodeId, usize> {
        self.most.lock().unwrap().clone()
    }

    async fn handed_out(&self, task: ScanTask) {
        let mut at_work = self.at_work.lock().await;
        let mut open = Vec::new();
        for (node, records, task) in at_work.drain(..) {
            if records.report(task).await.unwrap().is_none() {
                open.push((node, records, task));
            }
        }
        *at_work = open;
        let records = Records::new(Arc::clone(&self.store), task.run);
        at_work.push((task.node.clone(), records, task.task));
        let here = at_work.iter().filter(|(node, _, _)| *node == task.node).count();
        let mut most = self.most.lock().unwrap();
        let most = most.entry(task.node).or_default();
        *most = here.max(*most);
    }
}

impl Queue for InflightTasks {
    fn publish(&self, topic: Topic, id: &str, payload: Vec<u8>) -> BoxFuture<'_, Result<(), QueueError>> {
        let id = id.to_owned();
        async move {
            if topic == Topic::Tasks {
                self.handed_out(wire::decode(&payload).unwrap()).await;
            }
            self.inner.publish(topic, &id, payload).await
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

/// A queue that fails permanently on the first pull from `topic`.
pub struct Broken {
    inner: Arc<dyn Queue>,
    topic: Topic,
}

impl Broken {
    pub fn new(inner: Arc<dyn Queue>, topic: Topic) -> Self {
        Self { inner, topic }
    }
}

impl Queue for Broken {
    fn publish(&self, topic: Topic, id: &str, payload: Vec<u8>) -> BoxFuture<'_, Result<(), QueueError>> {
        self.inner.publish(topic, id, payload)
    }

    fn pull(
        &self,
        topic: Topic,
        max: usize,
        wait: Duration,
    ) -> BoxFuture<'_, Result<Vec<Delivery>, QueueError>> {
        if topic == self.topic {
            return async { Err(QueueError::Unavailable("as planned".to_owned())) }.boxed();
        }
        self.inner.pull(topic, max, wait)
    }
}
