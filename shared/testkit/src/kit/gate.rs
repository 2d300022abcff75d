//! A queue that delivers only as much as a test permits, and records what was published; and a coordinator that a test
//! can pause.

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use keysweep_model::ids::TaskId;
use keysweep_model::messages::ScanTask;
use keysweep_model::wire;
use keysweep_storage::queue::{Delivery, Queue, QueueError, Topic};
use tokio::sync::{Semaphore, watch};
use tokio::time::sleep;

/// Delivers messages of one topic only with permits; all others freely.
pub struct Gate {
    inner: Arc<dyn Queue>,
    topic: Topic,
    /// One permit per delivery.
    allowed: Semaphore,
    published: Mutex<Vec<TaskId>>,
}

impl Gate {
    pub fn new(inner: &Arc<dyn Queue>, topic: Topic) -> Arc<Self> {
        let (inner, allowed) = (Arc::clone(inner), Semaphore::new(0));
        Arc::new(Self { inner, topic, allowed, published: Mutex::default() })
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
}

impl Queue for Gate {
    fn publish(&self, topic: Topic, id: &str, payload: Vec<u8>) -> BoxFuture<'_, Result<(), QueueError>> {
        if topic == Topic::Tasks
            && let Ok(task) = wire::decode::<ScanTask>(&payload)
        {
            self.published.lock().unwrap().push(task.task);
        }
        self.inner.publish(topic, id, payload)
    }

    fn pull(
        &self,
        topic: Topic,
        _max: usize,
        wait: Duration,
    ) -> BoxFuture<'_, Result<Vec<Delivery>, QueueError>> {
        if topic != self.topic {
            return self.inner.pull(topic, 1, wait);
        }
        async move {
            let permit = self.allowed.acquire().await.expect("it is never closed");
            let pulled = self.inner.pull(topic, 1, wait).await?;
            if !pulled.is_empty() {
                permit.forget();
            }
            Ok(pulled)
        }
        .boxed()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.inner.close()
    }
}

/// Delivers messages of one topic at a limited rate, so that a test can act while they are handled.
pub struct Paced {
    inner: Arc<dyn Queue>,
    topic: Topic,
    pause: Duration,
    full: AtomicU64,
}

impl Paced {
    pub fn new(inner: &Arc<dyn Queue>, topic: Topic, pause: Duration) -> Arc<Self> {
        Arc::new(Self { inner: Arc::clone(inner), topic, pause, full: AtomicU64::new(0) })
    }

    /// How often it was too full to accept a message.
    pub fn full(&self) -> u64 {
        self.full.load(Ordering::SeqCst)
    }
}

impl Queue for Paced {
    fn publish(&self, topic: Topic, id: &str, payload: Vec<u8>) -> BoxFuture<'_, Result<(), QueueError>> {
        let published = self.inner.publish(topic, id, payload);
        published
            .inspect(|published| {
                if *published == Err(QueueError::Full) {
                    self.full.fetch_add(1, Ordering::SeqCst);
                }
            })
            .boxed()
    }

    fn pull(
        &self,
        topic: Topic,
        max: usize,
        wait: Duration,
    ) -> BoxFuture<'_, Result<Vec<Delivery>, QueueError>> {
        async move {
            if topic == self.topic {
                sleep(self.pause).await;
            }
            self.inner.pull(topic, max, wait).await
        }
        .boxed()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.inner.close()
    }
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
