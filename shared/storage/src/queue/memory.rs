//! The queue of embedded mode. It carries encoded bytes and keeps the same deadlines, redeliveries and limits as NATS,
//! so that both modes share one code path.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::FutureExt;
use keysweep_model::trace::TraceParent;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::{AckHandle, Delivery, Queue, QueueError, QueueFuture, QueueLoad, Topic};

/// A bounded queue in this process.
pub struct MemoryQueue {
    tasks: Arc<QueueLane>,
    batches: Arc<QueueLane>,
}

impl MemoryQueue {
    /// A queue with the ack deadline `ack_wait` and at most so many bytes per topic.
    #[must_use]
    pub fn new(ack_wait: Duration, tasks_bytes_max: usize, batches_bytes_max: usize) -> Self {
        Self {
            tasks: Arc::new(QueueLane::new(ack_wait, tasks_bytes_max)),
            batches: Arc::new(QueueLane::new(ack_wait, batches_bytes_max)),
        }
    }

    fn lane(&self, topic: Topic) -> &Arc<QueueLane> {
        match topic {
            Topic::Tasks => &self.tasks,
            Topic::Batches => &self.batches,
        }
    }
}

impl Queue for MemoryQueue {
    fn publish(
        &self,
        topic: Topic,
        _id: &str,
        payload: Vec<u8>,
        trace: Option<TraceParent>,
    ) -> QueueFuture<'_, ()> {
        let published = self.lane(topic).publish(payload, trace);
        async move { published }.boxed()
    }

    fn pull(&self, topic: Topic, max: usize, wait: Duration) -> QueueFuture<'_, Vec<Delivery>> {
        let lane = Arc::clone(self.lane(topic));
        async move { Ok(lane.pull(max, wait).await) }.boxed()
    }

    fn load(&self, topic: Topic) -> QueueFuture<'_, QueueLoad> {
        let load = self.lane(topic).state().load();
        async move { Ok(load) }.boxed()
    }
}

/// One topic.
struct QueueLane {
    ack_wait: Duration,
    bytes_max: usize,
    state: Mutex<LaneState>,
    /// Notified when a message may have become visible.
    changed: Notify,
}

#[derive(Default)]
struct LaneState {
    next: u64,
    bytes: usize,
    messages: BTreeMap<u64, QueuedMessage>,
    /// When each message becomes visible. A delivered message becomes visible again at its ack deadline.
    visible: BTreeSet<(Instant, u64)>,
}

struct QueuedMessage {
    payload: Arc<[u8]>,
    trace: Option<TraceParent>,
    deliveries: u32,
    visible_at: Instant,
}

impl QueueLane {
    fn new(ack_wait: Duration, bytes_max: usize) -> Self {
        Self { ack_wait, bytes_max, state: Mutex::default(), changed: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, LaneState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, payload: Vec<u8>, trace: Option<TraceParent>) -> Result<(), QueueError> {
        let mut state = self.state();
        if state.bytes + payload.len() > self.bytes_max {
            return Err(QueueError::Full);
        }
        let (id, visible_at) = (state.next, Instant::now());
        state.next += 1;
        state.bytes += payload.len();
        let message = QueuedMessage { payload: payload.into(), trace, deliveries: 0, visible_at };
        state.messages.insert(id, message);
        state.visible.insert((visible_at, id));
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    async fn pull(self: &Arc<Self>, max: usize, wait: Duration) -> Vec<Delivery> {
        let end = Instant::now() + wait;
        loop {
            let (taken, next) = self.take(max);
            if !taken.is_empty() || Instant::now() >= end {
                return taken;
            }
            let until = next.map_or(end, |next| next.min(end));
            tokio::select! {
                () = self.changed.notified() => {}
                () = tokio::time::sleep_until(until) => {}
            }
        }
    }

    /// The messages that are visible now, and when the next one becomes visible.
    fn take(self: &Arc<Self>, max: usize) -> (Vec<Delivery>, Option<Instant>) {
        let now = Instant::now();
        let mut state = self.state();
        let ids: Vec<u64> =
            state.visible.iter().take_while(|(at, _)| *at <= now).take(max).map(|(_, id)| *id).collect();
        let taken = ids
            .into_iter()
            .filter_map(|id| {
                state.show_at(id, now + self.ack_wait);
                let message = state.messages.get_mut(&id)?;
                message.deliveries += 1;
                let handle = Arc::new(MemoryHandle { lane: Arc::clone(self), id });
                Some(Delivery {
                    payload: Arc::clone(&message.payload),
                    deliveries: message.deliveries,
                    trust: Ok(()),
                    trace: message.trace,
                    handle,
                })
            })
            .collect();
        let next = state.visible.first().map(|(at, _)| *at);
        if next.is_some_and(|at| at <= now) {
            self.changed.notify_one();
        }
        (taken, next)
    }
}

impl LaneState {
    fn show_at(&mut self, id: u64, at: Instant) {
        if let Some(message) = self.messages.get_mut(&id) {
            self.visible.remove(&(message.visible_at, id));
            message.visible_at = at;
            self.visible.insert((at, id));
        }
    }

    fn load(&self) -> QueueLoad {
        let count =
            |least: u32| self.messages.values().filter(|message| message.deliveries >= least).count() as u64;
        let in_hand = count(1);
        QueueLoad { waiting: self.messages.len() as u64 - in_hand, in_hand, redelivered: count(2) }
    }

    fn remove(&mut self, id: u64) {
        if let Some(message) = self.messages.remove(&id) {
            self.visible.remove(&(message.visible_at, id));
            self.bytes -= message.payload.len();
        }
    }
}

struct MemoryHandle {
    lane: Arc<QueueLane>,
    id: u64,
}

impl MemoryHandle {
    fn update(&self, what: impl FnOnce(&mut LaneState)) -> QueueFuture<'_, ()> {
        what(&mut self.lane.state());
        self.lane.changed.notify_one();
        async { Ok(()) }.boxed()
    }
}

impl AckHandle for MemoryHandle {
    fn ack(&self) -> QueueFuture<'_, ()> {
        self.update(|state| state.remove(self.id))
    }

    fn nak(&self, delay: Duration) -> QueueFuture<'_, ()> {
        self.update(|state| state.show_at(self.id, Instant::now() + delay))
    }

    fn extend_deadline(&self) -> QueueFuture<'_, ()> {
        self.update(|state| state.show_at(self.id, Instant::now() + self.lane.ack_wait))
    }
}
