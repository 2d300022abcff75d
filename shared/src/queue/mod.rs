//! The work queue between stages: bounded, redelivering. The in-memory one is here, that over NATS in
//! `shared/src/nats/`; whatever implements [`Queue`] has to pass [`contract`].

pub mod contract;
mod memory;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use thiserror::Error;

use crate::signing::SignatureError;

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
    /// The word for it in outputs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tasks => "tasks",
            Self::Batches => "batches",
        }
    }
}

/// Why a queue did not take or give a message.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum QueueError {
    /// The queue holds as many bytes as it may: back-pressure, try again later.
    #[error("the queue is full")]
    Full,
    /// The queue cannot be used at the moment.
    #[error("the queue is unavailable: {0}")]
    Unavailable(String),
}

/// A queue of opaque messages. A message stays until it is acknowledged: whoever pulls it has it to himself
/// for the ack deadline, after which somebody else gets it.
pub trait Queue: Send + Sync {
    /// Stores `payload`; when this returns `Ok`, it will be delivered at least once. A queue that still knows a
    /// message of the same `id` may take it for the same one.
    fn publish(&self, topic: Topic, id: &str, payload: Vec<u8>) -> BoxFuture<'_, Result<(), QueueError>>;

    /// Up to `max` messages; waits up to `wait` for the first. Empty if there was none.
    fn pull(
        &self,
        topic: Topic,
        max: usize,
        wait: Duration,
    ) -> BoxFuture<'_, Result<Vec<Delivery>, QueueError>>;

    /// Waits until nothing is under way that a dropped pull has left behind. Called before a process ends.
    fn close(&self) -> BoxFuture<'_, ()> {
        std::future::ready(()).boxed()
    }
}

/// What can be said about a delivery to the queue that made it.
pub trait AckHandle: Send + Sync {
    /// The work is done and stored: forget the message. Not fenced: a late call ends a redelivery, too.
    fn ack(&self) -> BoxFuture<'_, Result<(), QueueError>>;
    /// Deliver it again after `delay`.
    fn nak(&self, delay: Duration) -> BoxFuture<'_, Result<(), QueueError>>;
    /// The work goes on: the ack deadline starts anew.
    fn extend_deadline(&self) -> BoxFuture<'_, Result<(), QueueError>>;
}

/// One delivery of a message. Dropping it leaves the message to its ack deadline.
#[derive(Clone)]
pub struct Delivery {
    /// The message.
    pub payload: Arc<[u8]>,
    /// How often it has been delivered, this time included.
    pub deliveries: u32,
    /// Whether it is to be believed, where orders have to be signed.
    pub trust: Result<(), SignatureError>,
    /// To answer.
    pub handle: Arc<dyn AckHandle>,
}
