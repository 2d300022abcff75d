//! An attacker between a role and its input: messages and records are changed, and arrive before or instead of the
//! true ones. `fields.rs` defines the changes of each kind.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use futures_util::FutureExt;
use keysweep_signing::SignatureError;
use keysweep_storage::queue::{AckHandle, Delivery, Queue, QueueFuture, Topic};
use keysweep_storage::store::{Created, Entry, Store, StoreFuture, Watch};

use super::fields::{self, Kind, decodes};
use super::hostile;
use crate::kit::intercept::Intercept;

/// The maximum of recorded messages of one kind.
const RECORDED_MAX: usize = 64;

/// The messages of undisturbed runs, and keys that must be kept.
pub struct Corpus {
    messages: Mutex<BTreeMap<Kind, Vec<Vec<u8>>>>,
    /// Keys that a run must not change.
    pub kept: Vec<Vec<u8>>,
}

impl Corpus {
    /// An empty corpus.
    pub fn new(kept: Vec<Vec<u8>>) -> Arc<Self> {
        Arc::new(Self { messages: Mutex::default(), kept })
    }

    fn record(&self, kind: Kind, payload: &[u8]) {
        let mut messages = self.messages.lock().unwrap();
        let of_kind = messages.entry(kind).or_default();
        if of_kind.len() < RECORDED_MAX {
            of_kind.push(payload.to_vec());
        }
    }

    /// The number of recorded messages of each kind.
    pub fn recorded(&self) -> BTreeMap<Kind, usize> {
        self.messages.lock().unwrap().iter().map(|(kind, messages)| (*kind, messages.len())).collect()
    }

    fn of(&self, kind: Kind) -> Vec<Vec<u8>> {
        self.messages.lock().unwrap().get(&kind).cloned().unwrap_or_default()
    }
}

/// What happens to the input of a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TamperMode {
    /// It is only recorded.
    Record,
    /// It is changed in transit; the role gets the true one later.
    InTransit,
    /// The attacker writes before the role, so that all processes see the changed record.
    AtRest,
}

/// The attacker of one case.
pub struct Tamper {
    pub corpus: Arc<Corpus>,
    pub mode: TamperMode,
    /// Whether orders are signed: then a changed one is not accepted.
    pub signed: bool,
    /// The kinds of records that are changed; messages of queues always are.
    pub kinds: &'static [Kind],
    rng: Mutex<Rng>,
    /// Messages that may still be changed.
    left: Mutex<u32>,
    /// The changes, for messages.
    done: Mutex<Vec<String>>,
}

impl Tamper {
    pub fn new(corpus: &Arc<Corpus>, mode: TamperMode, kinds: &'static [Kind], mut rng: Rng) -> Arc<Self> {
        let (signed, left) = (rng.bool(), Mutex::new(rng.u32(1..=4)));
        let (corpus, done) = (Arc::clone(corpus), Mutex::default());
        Arc::new(Self { corpus, mode, signed, kinds, rng: Mutex::new(rng), left, done })
    }

    /// The changes so far.
    pub fn done(&self) -> Vec<String> {
        self.done.lock().unwrap().clone()
    }

    /// `payload` with a change by the attacker, if it is its turn.
    fn changed(&self, kind: Kind, payload: &[u8]) -> Option<Vec<u8>> {
        if self.mode == TamperMode::Record {
            self.corpus.record(kind, payload);
            return None;
        }
        let mut rng = self.rng.lock().unwrap();
        let mut left = self.left.lock().unwrap();
        if *left == 0 || rng.u8(0..3) == 0 {
            return None;
        }
        *left -= 1;
        let others = self.corpus.of(kind);
        let (what, changed) = match rng.u8(0..10) {
            0 => ("another run's", rng.choice(&others).cloned().unwrap_or_default()),
            1..=4 => fields::changed(kind, payload, &self.corpus.kept, &mut rng),
            _ => {
                // Mostly the message itself; whole parts come from others.
                let mut seeds = vec![payload.to_vec(); 3];
                seeds.extend(rng.choice(&others).cloned());
                ("bytes", hostile::tampered(seeds, rng.u64(..)))
            }
        };
        self.done.lock().unwrap().push(format!("{kind:?}: {what}"));
        Some(changed)
    }

    fn chance(&self) -> u8 {
        self.rng.lock().unwrap().u8(..)
    }
}

impl Tamper {
    /// `queue`, whose messages are changed when they are pulled.
    pub fn queue(self: &Arc<Self>, queue: &Arc<dyn Queue>) -> Arc<dyn Queue> {
        let tamper = Arc::clone(self);
        Arc::new(Intercept::new(queue).on_pull(move |call| {
            let (tamper, topic) = (Arc::clone(&tamper), call.topic);
            async move {
                let mut delivered = Vec::new();
                for delivery in call.forward().await? {
                    tamper.deliver(topic, delivery, &mut delivered);
                }
                if tamper.chance().is_multiple_of(2) {
                    delivered.reverse();
                }
                Ok(delivered)
            }
        }))
    }

    fn deliver(&self, topic: Topic, delivery: Delivery, into: &mut Vec<Delivery>) {
        let kind = if topic == Topic::Tasks { Kind::Task } else { Kind::Batch };
        let Some(payload) = self.changed(kind, &delivery.payload) else { return into.push(delivery) };
        let trust = if self.signed && kind.is_order() { Err(SignatureError::Forged) } else { Ok(()) };
        let handle: Arc<dyn AckHandle> = Arc::new(Never(Arc::clone(&delivery.handle)));
        let hostile = Delivery { payload: payload.into(), trust, handle, ..delivery };
        match self.chance() % 4 {
            // Instead of it, until it is redelivered.
            0 | 1 => into.push(hostile),
            // Before it, or after it: the true one is acknowledged.
            2 => into.extend([Delivery { handle: Arc::new(Unqueued), ..hostile }, delivery]),
            _ => {
                let again = Delivery { handle: Arc::new(Unqueued), ..hostile };
                into.extend([delivery.clone(), again, Delivery { handle: Arc::new(Unqueued), ..delivery }]);
            }
        }
    }
}

/// The handle of a replaced message: it is never acknowledged, so that the true one is redelivered.
struct Never(Arc<dyn AckHandle>);

impl AckHandle for Never {
    fn ack(&self) -> QueueFuture<'_, ()> {
        self.0.nak(Duration::ZERO)
    }

    fn nak(&self, delay: Duration) -> QueueFuture<'_, ()> {
        self.0.nak(delay)
    }

    fn extend_deadline(&self) -> QueueFuture<'_, ()> {
        self.0.extend_deadline()
    }
}

/// The handle of a message that is in no queue.
struct Unqueued;

impl AckHandle for Unqueued {
    fn ack(&self) -> QueueFuture<'_, ()> {
        async { Ok(()) }.boxed()
    }

    fn nak(&self, _delay: Duration) -> QueueFuture<'_, ()> {
        async { Ok(()) }.boxed()
    }

    fn extend_deadline(&self) -> QueueFuture<'_, ()> {
        async { Ok(()) }.boxed()
    }
}

/// A store whose records are changed.
pub struct TamperedStore {
    pub inner: Arc<dyn Store>,
    pub tamper: Arc<Tamper>,
}

impl TamperedStore {
    /// The changed `entry` in transit, if it is its turn.
    fn on_the_way(tamper: &Tamper, entry: &Entry) -> Option<Entry> {
        let kind = Kind::of(&entry.key)?;
        if tamper.mode == TamperMode::AtRest
            || tamper.mode == TamperMode::InTransit && !tamper.kinds.contains(&kind)
        {
            return None;
        }
        let value = tamper.changed(kind, &entry.value)?;
        let trust = if kind.is_order() { Err(SignatureError::Forged) } else { Ok(()) };
        Some(Entry { value, trust, ..entry.clone() })
    }

    /// The record that the attacker writes at `key` before the role, if any.
    fn at_rest(&self, key: &str, value: &[u8]) -> Option<Vec<u8>> {
        let kind = Kind::of(key).filter(|kind| self.tamper.kinds.contains(kind))?;
        if self.tamper.mode != TamperMode::AtRest || kind.is_order() {
            return None;
        }
        // An undecodable one prevents the end of its run, as documented in the threat model.
        self.tamper.changed(kind, value).filter(|changed| decodes(kind, changed))
    }
}

impl Store for TamperedStore {
    fn create(&self, key: &str, value: Vec<u8>) -> StoreFuture<'_, Created> {
        let key = key.to_owned();
        async move {
            if let Some(hostile) = self.at_rest(&key, &value) {
                self.inner.create(&key, hostile).await?;
            }
            self.inner.create(&key, value).await
        }
        .boxed()
    }

    fn get(&self, key: &str) -> StoreFuture<'_, Option<Entry>> {
        let key = key.to_owned();
        async move {
            let entry = self.inner.get(&key).await?;
            // An order that is not accepted does not replace a true one.
            let order = Kind::of(&key).is_some_and(Kind::is_order) && self.tamper.mode != TamperMode::Record;
            let hostile = entry.as_ref().filter(|_| !order);
            Ok(hostile.and_then(|entry| Self::on_the_way(&self.tamper, entry)).or(entry))
        }
        .boxed()
    }

    fn update(&self, key: &str, value: Vec<u8>, revision: u64) -> StoreFuture<'_, Option<u64>> {
        self.inner.update(key, value, revision)
    }

    fn next_after(&self, prefix: &str, revision: u64) -> StoreFuture<'_, Option<Entry>> {
        self.inner.next_after(prefix, revision)
    }

    fn watch(&self, prefix: &str) -> StoreFuture<'_, Box<dyn Watch>> {
        let prefix = prefix.to_owned();
        async move {
            let inner = self.inner.watch(&prefix).await?;
            Ok(Box::new(TamperedWatch { inner, tamper: Arc::clone(&self.tamper), held: None })
                as Box<dyn Watch>)
        }
        .boxed()
    }
}

struct TamperedWatch {
    inner: Box<dyn Watch>,
    tamper: Arc<Tamper>,
    /// The true entry, which follows the other one.
    held: Option<Entry>,
}

impl Watch for TamperedWatch {
    fn next(&mut self) -> StoreFuture<'_, Entry> {
        async move {
            if let Some(held) = self.held.take() {
                return Ok(held);
            }
            let entry = self.inner.next().await?;
            let Some(hostile) = TamperedStore::on_the_way(&self.tamper, &entry) else { return Ok(entry) };
            self.held = Some(entry);
            Ok(hostile)
        }
        .boxed()
    }
}
