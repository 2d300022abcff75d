//! The queue and the store that all processes share, with the faults that JetStream may show: acknowledgements that are
//! lost, messages that come twice, writes whose answer is lost, and times without any answer.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use keysweep_model::trace::TraceParent;
use keysweep_storage::queue::{AckHandle, Delivery, Queue, QueueError, QueueFuture, QueueLoad, Topic};
use keysweep_storage::store::{Created, Entry, Store, StoreError, StoreFuture, Watch};
use tokio::time::sleep;

use crate::coverage::Failure;
use crate::life::Life;
use crate::rates::{Rates, happens};
use crate::witness::Witness;

/// What is between a process and the broker.
#[derive(Clone)]
pub(crate) struct BrokerLink {
    pub(crate) rates: Arc<Rates>,
    pub(crate) life: Arc<Life>,
    pub(crate) witness: Arc<Witness>,
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
        self.life.thawed().await;
        if self.life.is_parted() {
            self.witness.reached(Failure::Broker);
            sleep(Duration::from_secs(5)).await;
            return Fate::Refused;
        }
        match () {
            () if self.happens(self.rates.broker().refused) => Fate::Refused,
            () if self.happens(self.rates.broker().unanswered) => Fate::Unanswered,
            () => Fate::Done,
        }
    }

    pub(crate) fn happens(&self, rate: u32) -> bool {
        let happens = happens(rate);
        if happens {
            self.witness.fault();
        }
        happens
    }

    /// Carries out a request, unless its fate is that it never arrives. Its answer may be lost, and the process may be
    /// dead by then.
    pub(crate) async fn sent<T, E>(
        &self,
        effect: impl Future<Output = Result<T, E>>,
        lost: E,
    ) -> Result<T, E> {
        let answer = match self.fate().await {
            Fate::Refused => Err(lost),
            Fate::Unanswered => effect.await.and(Err(lost)),
            Fate::Done => effect.await,
        };
        self.life.survive().await;
        answer
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
    /// Where records are, to see whether messages are acknowledged too early.
    pub(crate) store: Arc<dyn Store>,
    pub(crate) link: BrokerLink,
}

impl SimQueue {
    /// What the broker does with a message that it accepts.
    async fn accept(
        &self,
        topic: Topic,
        id: &str,
        mut payload: Vec<u8>,
        trace: Option<TraceParent>,
    ) -> Result<(), QueueError> {
        if self.link.happens(self.link.rates.broker().full) {
            return Err(QueueError::Full);
        }
        self.link.witness.published(topic, &payload);
        if topic == Topic::Tasks {
            let unreadable = |e| QueueError::Unavailable(format!("{e}"));
            self.link.witness.dispatched(&self.store, &payload).await.map_err(unreadable)?;
        }
        if self.link.happens(self.link.rates.broker().lost) {
            self.link.witness.reached(Failure::LostMessage);
            return Ok(());
        }
        if self.link.happens(self.link.rates.broker().garbled) {
            self.link.witness.reached(Failure::Undecodable);
            payload.truncate(fastrand::usize(..payload.len().max(1)));
        }
        let copies = if self.link.happens(self.link.rates.broker().doubled) { 2 } else { 1 };
        for _ in 0..copies {
            self.inner.publish(topic, id, payload.clone(), trace).await?;
        }
        Ok(())
    }
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
        async move { self.link.sent(self.accept(topic, &id, payload, trace), no_queue()).await }.boxed()
    }

    fn pull(&self, topic: Topic, max: usize, wait: Duration) -> QueueFuture<'_, Vec<Delivery>> {
        async move {
            let mut pulled = self.link.sent(self.inner.pull(topic, max, wait), no_queue()).await?;
            for delivery in &mut pulled {
                self.link.witness.delivered(delivery.deliveries);
                delivery.handle = Arc::new(SimHandle {
                    inner: Arc::clone(&delivery.handle),
                    topic,
                    payload: Arc::clone(&delivery.payload),
                    store: Arc::clone(&self.store),
                    link: self.link.clone(),
                });
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
    topic: Topic,
    payload: Arc<[u8]>,
    store: Arc<dyn Store>,
    link: BrokerLink,
}

impl SimHandle {
    async fn acknowledge(&self) -> Result<(), QueueError> {
        self.link.witness.acknowledged(&self.store, self.topic, &self.payload).await;
        self.inner.ack().await
    }
}

impl AckHandle for SimHandle {
    fn ack(&self) -> QueueFuture<'_, ()> {
        self.link.sent(self.acknowledge(), no_queue()).boxed()
    }

    fn nak(&self, delay: Duration) -> QueueFuture<'_, ()> {
        self.link.sent(async move { self.inner.nak(delay).await }, no_queue()).boxed()
    }

    fn extend_deadline(&self) -> QueueFuture<'_, ()> {
        self.link.sent(async { self.inner.extend_deadline().await }, no_queue()).boxed()
    }
}

/// The store as one process sees it.
#[derive(Clone)]
pub(crate) struct SimStore {
    pub(crate) inner: Arc<dyn Store>,
    pub(crate) link: BrokerLink,
}

impl Store for SimStore {
    fn create(&self, key: &str, value: Vec<u8>) -> StoreFuture<'_, Created> {
        let key = key.to_owned();
        self.link.sent(async move { self.inner.create(&key, value).await }, no_store()).boxed()
    }

    fn get(&self, key: &str) -> StoreFuture<'_, Option<Entry>> {
        let key = key.to_owned();
        self.link.sent(async move { self.inner.get(&key).await }, no_store()).boxed()
    }

    fn update(&self, key: &str, value: Vec<u8>, revision: u64) -> StoreFuture<'_, Option<u64>> {
        let key = key.to_owned();
        self.link.sent(async move { self.inner.update(&key, value, revision).await }, no_store()).boxed()
    }

    fn next_after(&self, prefix: &str, revision: u64) -> StoreFuture<'_, Option<Entry>> {
        let prefix = prefix.to_owned();
        self.link.sent(async move { self.inner.next_after(&prefix, revision).await }, no_store()).boxed()
    }

    fn entries_after(&self, prefix: &str, revision: u64, max: usize) -> StoreFuture<'_, Vec<Entry>> {
        let prefix = prefix.to_owned();
        self.link
            .sent(async move { self.inner.entries_after(&prefix, revision, max).await }, no_store())
            .boxed()
    }

    fn watch(&self, prefix: &str) -> StoreFuture<'_, Box<dyn Watch>> {
        let prefix = prefix.to_owned();
        async move {
            let inner = self.link.sent(async { self.inner.watch(&prefix).await }, no_store()).await?;
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
            while self.link.life.is_parted() || self.link.life.is_frozen() {
                sleep(Duration::from_millis(200)).await;
            }
            self.inner.next().await
        }
        .boxed()
    }
}
