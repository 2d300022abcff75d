//! What the world sees of a run while it happens: what batches allow, whether messages are acknowledged too early, what
//! is saved, and which failures the run goes through.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use keysweep_model::ids::{NodeId, RunId, TaskId};
use keysweep_model::messages::{ReapBatch, ScanTask};
use keysweep_model::wire;
use keysweep_pacing::limits::TASKS_PER_NODE;
use keysweep_storage::dead_letter;
use keysweep_storage::queue::Topic;
use keysweep_storage::records::{RecordError, Records};
use keysweep_storage::store::Store;

use crate::coverage::{Coverage, Failure};

/// Shared by everything in the world.
#[derive(Debug, Default)]
pub(crate) struct Witness(Mutex<Seen>);

/// What was seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// What must not have been.
    pub(crate) wrong: Vec<String>,
    pub(crate) coverage: Coverage,
    /// When batches may act on a key, by the clock of its server: from the earliest time to the latest one.
    pub(crate) windows: BTreeMap<Vec<u8>, (u64, u64)>,
    /// The values that were saved of a key.
    pub(crate) saved: BTreeMap<Vec<u8>, Vec<Vec<u8>>>,
    /// The tasks of each run and node that were sent, and had no report when the last one was sent.
    pub(crate) in_flight: BTreeMap<(RunId, NodeId), BTreeSet<TaskId>>,
    /// How often another leader has taken over.
    takeovers: usize,
    /// Whether a worker has died or stood still.
    pub(crate) has_stopped: bool,
}

impl Witness {
    pub(crate) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The run goes through a failure.
    pub(crate) fn reached(&self, failure: Failure) {
        self.seen().coverage.failures.insert(failure);
    }

    /// A fault of the network or the broker happens.
    pub(crate) fn fault(&self) {
        self.seen().coverage.faults += 1;
    }

    /// A message is sent.
    pub(crate) fn published(&self, topic: Topic, payload: &[u8]) {
        if topic != Topic::Batches {
            return;
        }
        let Ok(batch) = wire::decode::<ReapBatch>(payload) else { return };
        let mut seen = self.seen();
        for key in batch.groups.iter().flat_map(|group| &group.keys) {
            let window = seen.windows.entry(key.as_bytes().to_vec()).or_insert((u64::MAX, 0));
            *window = (window.0.min(batch.not_before_ms), window.1.max(batch.not_after_ms));
        }
    }

    /// Another leader takes over.
    pub(crate) fn taken_over(&self) {
        self.reached(Failure::Leader);
        self.seen().takeovers += 1;
    }

    /// A task is sent: with those of its run and node that have no report, it is within the limit of the node. A leader does
    /// not know which tasks the one before has sent.
    pub(crate) async fn dispatched(&self, store: &Arc<dyn Store>, payload: &[u8]) -> Result<(), RecordError> {
        let Ok(task) = wire::decode::<ScanTask>(payload) else { return Ok(()) };
        let (records, node) = (Records::new(Arc::clone(store), task.run), (task.run, task.node));
        let sent = self.seen().in_flight.get(&node).cloned().unwrap_or_default();
        let mut in_flight = BTreeSet::from([task.task]);
        for sent in sent {
            if records.report(sent).await?.is_none() {
                in_flight.insert(sent);
            }
        }
        if in_flight.len() > TASKS_PER_NODE * (1 + self.seen().takeovers) {
            let wrong = format!("{} tasks are in flight at `{}`", in_flight.len(), node.1);
            self.seen().wrong.push(wrong);
        }
        self.seen().in_flight.insert(node, in_flight);
        Ok(())
    }

    /// A message is delivered.
    pub(crate) fn delivered(&self, deliveries: u32) {
        if deliveries > 1 && self.seen().has_stopped {
            self.reached(Failure::Worker);
        }
    }

    /// A message is acknowledged: what it asked for must be stored.
    pub(crate) async fn acknowledged(&self, store: &Arc<dyn Store>, topic: Topic, payload: &[u8]) {
        match is_settled(store, topic, payload).await {
            Ok(true) => {}
            Ok(false) => {
                self.seen()
                    .wrong
                    .push(format!("a message of {topic:?} is acknowledged before its work is stored"));
            }
            Err(e) => self.seen().wrong.push(format!("a record is not readable: {e}")),
        }
    }
}

/// Whether nothing is left to be done for a message: its record is stored, it has none, or it is dead-lettered.
async fn is_settled(store: &Arc<dyn Store>, topic: Topic, payload: &[u8]) -> Result<bool, RecordError> {
    let is_stored = match topic {
        Topic::Tasks => match wire::decode::<ScanTask>(payload) {
            Ok(task) => {
                let records = Records::new(Arc::clone(store), task.run);
                is_over(&records).await? || records.report(task.task).await?.is_some()
            }
            Err(_) => false,
        },
        Topic::Batches => match wire::decode::<ReapBatch>(payload) {
            Ok(batch) => {
                let records = Records::new(Arc::clone(store), batch.run);
                is_over(&records).await?
                    || records.receipt(batch.batch).await?.is_some()
                    || is_inert(&records, &batch, payload).await?
            }
            Err(_) => false,
        },
    };
    Ok(is_stored || is_dead_letter(&**store, payload).await?)
}

async fn is_over(records: &Records) -> Result<bool, RecordError> {
    Ok(records.spec().await?.is_none() || records.result().await?.is_some())
}

/// Whether a batch may never act: its task has a grant that does not list it; or a report that does not, and no grant will
/// follow.
async fn is_inert(records: &Records, batch: &ReapBatch, payload: &[u8]) -> Result<bool, RecordError> {
    if let Some(grant) = records.grant(batch.task).await? {
        return Ok(!grant.batch(batch.batch).is_some_and(|listed| listed.is_sent_as(payload)));
    }
    let Some(report) = records.report(batch.task).await? else { return Ok(false) };
    let has_grants = records.spec().await?.is_some_and(|spec| spec.grants);
    let gets_none = !has_grants || records.cancel().await?.is_some();
    Ok(gets_none && report.batches.iter().all(|listed| listed.batch != batch.batch))
}

async fn is_dead_letter(store: &dyn Store, payload: &[u8]) -> Result<bool, RecordError> {
    let mut revision = 0;
    while let Some((next, letter)) = dead_letter::next(store, revision).await? {
        // Of long ones, only the beginning is kept.
        if payload.starts_with(&letter.payload) && letter.payload.is_empty() == payload.is_empty() {
            return Ok(true);
        }
        revision = next;
    }
    Ok(false)
}

/// How many messages are dead-lettered.
pub(crate) async fn dead_letters(store: &dyn Store) -> Result<u64, RecordError> {
    let (mut revision, mut count) = (0, 0);
    while let Some((next, _)) = dead_letter::next(store, revision).await? {
        (revision, count) = (next, count + 1);
    }
    Ok(count)
}
