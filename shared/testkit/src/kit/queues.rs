//! Queues with faults that real queues may have, or that record messages.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use keysweep_model::ids::{NodeId, TaskId};
use keysweep_model::messages::ScanTask;
use keysweep_model::wire;
use keysweep_runtime::context::Context;
use keysweep_storage::queue::{Delivery, Queue, QueueError, Topic};
use keysweep_storage::records::Records;
use keysweep_storage::store::Store;
use tokio::sync::Notify;

use super::intercept::{Intercept, Pull};

/// Delivers every message twice: to two pulls, possibly of different workers at the same time. Both may acknowledge.
#[derive(Default)]
pub struct Twice {
    again: Mutex<BTreeMap<Topic, VecDeque<Delivery>>>,
    /// Notified when there is a message to deliver again.
    changed: Notify,
    doubled: AtomicU64,
}

impl Twice {
    /// In front of `queue`.
    pub fn install(queue: &mut Arc<dyn Queue>) -> Arc<Self> {
        let twice = Arc::new(Self::default());
        let at_pull = Arc::clone(&twice);
        *queue = Arc::new(Intercept::new(queue).on_pull(move |call| Arc::clone(&at_pull).pull(call)));
        twice
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

    async fn pull(self: Arc<Self>, call: Pull) -> Result<Vec<Delivery>, QueueError> {
        loop {
            if let Some(again) = self.again(call.topic) {
                return Ok(vec![again]);
            }
            tokio::select! {
                () = self.changed.notified() => {}
                // No await after messages were taken, so that dropping this loses none.
                pulled = call.queue.pull(call.topic, call.max, call.wait) => {
                    let pulled = pulled?;
                    self.again.lock().unwrap().entry(call.topic).or_default().extend(pulled.iter().cloned());
                    self.changed.notify_waiters();
                    return Ok(pulled);
                }
            }
        }
    }
}

/// Records the number of scan tasks of each node that are published and not reported yet.
pub struct InflightTasks {
    store: Arc<dyn Store>,
    at_work: tokio::sync::Mutex<Vec<(NodeId, Records, TaskId)>>,
    most: Mutex<BTreeMap<NodeId, usize>>,
}

impl InflightTasks {
    /// In front of the queue of `context`.
    pub fn install(context: &mut Context) -> Arc<Self> {
        let (store, at_work, most) = (Arc::clone(&context.store), <_>::default(), Mutex::default());
        let tasks = Arc::new(Self { store, at_work, most });
        let at_publish = Arc::clone(&tasks);
        context.queue = Arc::new(Intercept::new(&context.queue).on_publish(move |call| {
            let tasks = Arc::clone(&at_publish);
            async move {
                if call.topic == Topic::Tasks {
                    tasks.handed_out(wire::decode(&call.payload).unwrap()).await;
                }
                call.forward().await
            }
        }));
        tasks
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

/// `queue`, which fails permanently on the first pull from `topic`.
pub fn broken(queue: &Arc<dyn Queue>, topic: Topic) -> Arc<dyn Queue> {
    Arc::new(Intercept::new(queue).on_pull(move |call| async move {
        match call.topic == topic {
            true => Err(QueueError::Unavailable("as planned".to_owned())),
            false => call.forward().await,
        }
    }))
}
