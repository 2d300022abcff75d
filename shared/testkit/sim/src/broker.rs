//! The queue and the store that all processes share, with the faults that JetStream may show: acknowledgements that are
//! lost, messages that come twice, writes whose answer is lost, and times without any answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use keysweep_model::trace::TraceParent;
use keysweep_storage::queue::{AckHandle, Delivery, Queue, QueueError, QueueFuture, QueueLoad, Topic};
use keysweep_storage::store::{Created, Entry, Store, StoreError, StoreFuture, Watch};
use tokio::time::sleep;

use crate::network::happens;

/// How often the broker fails, in parts of 100,000 per request.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct BrokerRates {
    /// A request fails, and has no effect.
    pub(crate) refused: u32,
    /// A request has its effect, and its answer is lost.
    pub(crate) unanswered: u32,
    /// A message comes twice.
    pub(crate) doubled: u32,
    /// The queue says that it is full.
    pub(crate) full: u32,
}

/// What is between a process and the broker.
#[derive(Clone)]
pub(crate) struct BrokerLink {
    pub(crate) rates: BrokerRates,
    /// Whether nothing gets through.
    pub(crate) is_parted: Arc<AtomicBool>,
}

/// What happens to a request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Done,
    Refused,
    Unanswered,
}

impl BrokerLink {
    async fn fate(&self) -> Fate {
        sleep(Duration::from_micros(fastrand::u64(100..1_500))).await;
        if self.is_parted.load(Ordering::Relaxed) {
            sleep(Duration::from_secs(5)).await;
            return Fate::Refused;
        }
        match () {
            () if happens(self.rates.refused) => Fate::Refused,
            () if happens(self.rates.unanswered) => Fate::Unanswered,
            () => Fate::Done,
        }
    }
}

fn no_queue() -> QueueError {
    QueueError::Unavailable("no answer, as simulated".to_owned())
}

fn no_store() -> StoreError {
    StoreError("no answer, as simulated".to_owned())
}

/// The queue as one process sees it.
#[derive(Clone)]
pub(crate) struct SimQueue {
    pub(crate) inner: Arc<dyn Queue>,
    pub(crate) link: BrokerLink,
}

impl Queue for SimQueue {
    fn publish(
        &self,
        topic: Topic,
        id: &str,
        payload: Vec<u8>,
        trace: Option<TraceParent>,
    ) -> QueueFuture<'_, ()> {
        let id = id.to_owned();
        async move {
            let fate = self.link.fate().await;
            if happens(self.link.rates.full) {
                return Err(QueueError::Full);
            }
            if fate != Fate::Refused {
                self.inner.publish(topic, &id, payload.clone(), trace).await?;
            }
            if happens(self.link.rates.doubled) {
                self.inner.publish(topic, &id, payload, trace).await?;
            }
            if fate == Fate::Done { Ok(()) } else { Err(no_queue()) }
        }
        .boxed()
    }

    fn pull(&self, topic: Topic, max: usize, wait: Duration) -> QueueFuture<'_, Vec<Delivery>> {
        async move {
            if self.link.fate().await == Fate::Refused {
                return Err(no_queue());
            }
            let mut pulled = self.inner.pull(topic, max, wait).await?;
            for delivery in &mut pulled {
                delivery.handle =
                    Arc::new(SimHandle { inner: Arc::clone(&delivery.handle), link: self.link.clone() });
            }
            Ok(pulled)
        }
        .boxed()
    }

    fn load(&self, topic: Topic) -> QueueFuture<'_, QueueLoad> {
        self.inner.load(topic)
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.inner.close()
    }
}

struct SimHandle {
    inner: Arc<dyn AckHandle>,
    link: BrokerLink,
}

impl SimHandle {
    async fn sent(&self, effect: QueueFuture<'_, ()>) -> Result<(), QueueError> {
        match self.link.fate().await {
            Fate::Refused => Err(no_queue()),
            Fate::Unanswered => effect.await.and(Err(no_queue())),
            Fate::Done => effect.await,
        }
    }
}

/// Carries out the effect only when it is polled, which [`SimHandle::sent`] may never do.
fn later<'a>(effect: impl FnOnce() -> QueueFuture<'a, ()> + Send + 'a) -> QueueFuture<'a, ()> {
    async move { effect().await }.boxed()
}

impl AckHandle for SimHandle {
    fn ack(&self) -> QueueFuture<'_, ()> {
        self.sent(later(|| self.inner.ack())).boxed()
    }

    fn nak(&self, delay: Duration) -> QueueFuture<'_, ()> {
        self.sent(later(move || self.inner.nak(delay))).boxed()
    }

    fn extend_deadline(&self) -> QueueFuture<'_, ()> {
        self.sent(later(|| self.inner.extend_deadline())).boxed()
    }
}

/// The store as one process sees it.
#[derive(Clone)]
pub(crate) struct SimStore {
    pub(crate) inner: Arc<dyn Store>,
    pub(crate) link: BrokerLink,
}

impl SimStore {
    async fn sent<T>(&self, effect: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        match self.link.fate().await {
            Fate::Refused => Err(no_store()),
            Fate::Unanswered => effect.await.and(Err(no_store())),
            Fate::Done => effect.await,
        }
    }
}

impl Store for SimStore {
    fn create(&self, key: &str, value: Vec<u8>) -> StoreFuture<'_, Created> {
        let key = key.to_owned();
        self.sent(async move { self.inner.create(&key, value).await }).boxed()
    }

    fn get(&self, key: &str) -> StoreFuture<'_, Option<Entry>> {
        let key = key.to_owned();
        self.sent(async move { self.inner.get(&key).await }).boxed()
    }

    fn update(&self, key: &str, value: Vec<u8>, revision: u64) -> StoreFuture<'_, Option<u64>> {
        let key = key.to_owned();
        self.sent(async move { self.inner.update(&key, value, revision).await }).boxed()
    }

    fn next_after(&self, prefix: &str, revision: u64) -> StoreFuture<'_, Option<Entry>> {
        let prefix = prefix.to_owned();
        self.sent(async move { self.inner.next_after(&prefix, revision).await }).boxed()
    }

    fn entries_after(&self, prefix: &str, revision: u64, max: usize) -> StoreFuture<'_, Vec<Entry>> {
        let prefix = prefix.to_owned();
        self.sent(async move { self.inner.entries_after(&prefix, revision, max).await }).boxed()
    }

    fn watch(&self, prefix: &str) -> StoreFuture<'_, Box<dyn Watch>> {
        let prefix = prefix.to_owned();
        async move {
            let inner = self.sent(async { self.inner.watch(&prefix).await }).await?;
            Ok(Box::new(SimWatch { inner, link: self.link.clone() }) as Box<dyn Watch>)
        }
        .boxed()
    }
}

struct SimWatch {
    inner: Box<dyn Watch>,
    link: BrokerLink,
}

impl Watch for SimWatch {
    fn next(&mut self) -> StoreFuture<'_, Entry> {
        async move {
            // Before the entry is taken, so that dropping this loses none.
            while self.link.is_parted.load(Ordering::Relaxed) {
                sleep(Duration::from_millis(200)).await;
            }
            self.inner.next().await
        }
        .boxed()
    }
}
