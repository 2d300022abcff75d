//! The work queue between stages: bounded, redelivers unacknowledged messages. The in-memory queue is here, the NATS
//! queue in `shared/nats/src/`. Every implementation of [`Queue`] must pass the contract in
//! `shared/testkit/src/contracts/queue.rs`.

mod memory;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use keysweep_model::trace::TraceParent;
use keysweep_signing::SignatureError;
use thiserror::Error;

pub use memory::MemoryQueue;

/// The two work queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// Scan tasks, from the coordinator to the scanners.
    Tasks,
    /// Reap batches, from the scanners to the reapers.
    Batches,
}

impl Topic {
    /// Its name in output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tasks => "tasks",
            Self::Batches => "batches",
        }
    }
}

/// Why the queue did not accept or deliver a message.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum QueueError {
    /// The queue has reached its limit in bytes. This is backpressure: retry later.
    #[error("the queue is full")]
    Full,
    /// The queue cannot be used at the moment.
    #[error("the queue is unavailable: {0}")]
    Unavailable(String),
}

/// The result of an operation of a queue.
pub type QueueFuture<'a, T> = BoxFuture<'a, Result<T, QueueError>>;

/// A queue of opaque messages. A message stays in the queue until it is acknowledged. A delivery is exclusive until
/// its ack deadline; then the message is redelivered.
pub trait Queue: Send + Sync {
    /// Stores `payload`. After `Ok`, it is delivered at least once. The queue may drop a message whose `id` it has
    /// seen recently as a duplicate. `trace` is the span that sends it, if work is traced.
    fn publish(
        &self,
        topic: Topic,
        id: &str,
        payload: Vec<u8>,
        trace: Option<TraceParent>,
    ) -> QueueFuture<'_, ()>;

    /// Up to `max` messages; waits up to `wait` for the first. Empty if none arrived.
    fn pull(&self, topic: Topic, max: usize, wait: Duration) -> QueueFuture<'_, Vec<Delivery>>;

    /// How much is in the queue.
    fn load(&self, topic: Topic) -> QueueFuture<'_, QueueLoad>;

    /// Waits until the queue has cleaned up after dropped pulls. Called before a process exits.
    fn close(&self) -> BoxFuture<'_, ()> {
        std::future::ready(()).boxed()
    }
}

/// How many messages a queue has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueLoad {
    /// Those that were not delivered yet.
    pub waiting: u64,
    /// Those that were delivered and are not acknowledged, including requeued ones whose delay goes on.
    pub in_hand: u64,
    /// Those of them that were delivered more than once.
    pub redelivered: u64,
}

/// Acknowledges or requeues one delivery.
pub trait AckHandle: Send + Sync {
    /// Removes the message: its work is done and stored. Not fenced: a late call also ends a redelivery.
    fn ack(&self) -> QueueFuture<'_, ()>;
    /// Redelivers the message after `delay`.
    fn nak(&self, delay: Duration) -> QueueFuture<'_, ()>;
    /// Restarts the ack deadline, because the work goes on.
    fn extend_deadline(&self) -> QueueFuture<'_, ()>;
}

/// One delivery of a message. If it is dropped, the message is redelivered after its ack deadline.
#[derive(Clone)]
pub struct Delivery {
    /// The message.
    pub payload: Arc<[u8]>,
    /// The number of deliveries, including this one.
    pub deliveries: u32,
    /// Whether its signature was accepted, where signatures are required.
    pub trust: Result<(), SignatureError>,
    /// The span that sent it, if work is traced. Nothing but traces follows from it: it is not signed.
    pub trace: Option<TraceParent>,
    /// Answers the queue.
    pub handle: Arc<dyn AckHandle>,
}
