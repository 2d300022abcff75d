//! How many messages this process is working on, by queue.

use std::sync::atomic::{AtomicU64, Ordering};

use keysweep_storage::queue::Topic;

/// Counts the messages in work.
#[derive(Debug, Default)]
pub struct InHand {
    tasks: AtomicU64,
    batches: AtomicU64,
}

/// A message in work. Dropping it ends the work.
pub(crate) struct MessageInHand<'a>(&'a AtomicU64);

impl InHand {
    /// The messages of a queue that are in work.
    #[must_use]
    pub fn of(&self, topic: Topic) -> u64 {
        self.counter(topic).load(Ordering::Relaxed)
    }

    pub(crate) fn take(&self, topic: Topic) -> MessageInHand<'_> {
        let counter = self.counter(topic);
        counter.fetch_add(1, Ordering::Relaxed);
        MessageInHand(counter)
    }

    fn counter(&self, topic: Topic) -> &AtomicU64 {
        match topic {
            Topic::Tasks => &self.tasks,
            Topic::Batches => &self.batches,
        }
    }
}

impl Drop for MessageInHand<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
