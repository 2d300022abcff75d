//! A queue that delivers only as much as a test permits, and records what was published; and a coordinator that a test
//! can pause.

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use keysweep_model::ids::TaskId;
use keysweep_model::messages::ScanTask;
use keysweep_model::wire;
use keysweep_storage::queue::{Delivery, Queue, QueueError, Topic};
use tokio::sync::{Semaphore, watch};
use tokio::time::sleep;

use super::intercept::{Intercept, Publish, Pull};

/// Delivers messages of one topic only with permits; all others freely.
pub struct Gate {
    topic: Topic,
    /// One permit per delivery.
    allowed: Semaphore,
    published: Mutex<Vec<TaskId>>,
}

impl Gate {
    /// In front of `queue`.
    pub fn install(queue: &mut Arc<dyn Queue>, topic: Topic) -> Arc<Self> {
        let gate = Arc::new(Self { topic, allowed: Semaphore::new(0), published: Mutex::default() });
        let (at_publish, at_pull) = (Arc::clone(&gate), Arc::clone(&gate));
        let intercept = Intercept::new(queue).on_publish(move |call| {
            at_publish.record(&call);
            call.forward()
        });
        *queue = Arc::new(intercept.on_pull(move |call| Arc::clone(&at_pull).pull(call)));
        gate
    }

    /// Permits `count` more deliveries.
    pub fn allow(&self, count: usize) {
        self.allowed.add_permits(count);
    }

    /// Permits all deliveries.
    pub fn open(&self) {
        self.allow(1 << 20);
    }

    /// The tasks that were published here, with repetitions.
    pub fn published(&self) -> Vec<TaskId> {
        self.published.lock().unwrap().clone()
    }

    fn record(&self, call: &Publish) {
        if call.topic == Topic::Tasks
            && let Ok(task) = wire::decode::<ScanTask>(&call.payload)
        {
            self.published.lock().unwrap().push(task.task);
        }
    }

    /// At most one message per pull.
    async fn pull(self: Arc<Self>, call: Pull) -> Result<Vec<Delivery>, QueueError> {
        let call = Pull { max: 1, ..call };
        if call.topic != self.topic {
            return call.forward().await;
        }
        let permit = self.allowed.acquire().await.expect("it is never closed");
        let pulled = call.forward().await?;
        if !pulled.is_empty() {
            permit.forget();
        }
        Ok(pulled)
    }
}

/// Delivers messages of `topic` with a `pause` before each pull, so that a test can act while they are handled. The
/// counter states how often the queue was too full to accept a message.
pub fn pace(queue: &mut Arc<dyn Queue>, topic: Topic, pause: Duration) -> Arc<AtomicU64> {
    let full = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&full);
    let intercept = Intercept::new(queue).on_publish(move |call| {
        let counter = Arc::clone(&counter);
        async move {
            let published = call.forward().await;
            if published == Err(QueueError::Full) {
                counter.fetch_add(1, Ordering::SeqCst);
            }
            published
        }
    });
    *queue = Arc::new(intercept.on_pull(move |call| async move {
        if call.topic == topic {
            sleep(pause).await;
        }
        call.forward().await
    }));
    full
}

/// Runs `work`, which is paused like a stopped process while `frozen` is true.
pub async fn freezing<T>(work: impl Future<Output = T>, mut frozen: watch::Receiver<bool>) -> T {
    let mut work = pin!(work);
    loop {
        // The sender outlives the work in every test.
        let _ = frozen.wait_for(|frozen| !frozen).await;
        let mut until_frozen = pin!(async { drop(frozen.wait_for(|frozen| *frozen).await) });
        let done = std::future::poll_fn(|context| {
            // Checked first: nothing of the work may advance while it is paused.
            if until_frozen.as_mut().poll(context).is_ready() {
                return Poll::Ready(None);
            }
            work.as_mut().poll(context).map(Some)
        })
        .await;
        if let Some(done) = done {
            return done;
        }
    }
}
