//! The workers of a service over NATS, by what they say of themselves.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use keysweep_model::duration::millis;
use keysweep_model::time::{now_ms, rfc3339};
use keysweep_runtime::context::Context;
use keysweep_storage::queue::Topic;
use keysweep_storage::worker_notes::{WorkerId, WorkerNote};
use tokio::time::sleep;

use super::snapshot::{QueueRow, WorkerRow, Workers};
use crate::limits::{PAGE_WORKERS_MAX, WORKER_SHOWN_FOR};
use crate::serve::reload::Current;

/// The pause before another subscription, if one fails or ends.
const AGAIN: Duration = Duration::from_secs(5);

/// What workers said last.
#[derive(Default)]
pub(in crate::serve) struct WorkerNotes(Mutex<BTreeMap<WorkerId, LastNote>>);

/// What a worker said, and when.
struct LastNote {
    in_hand: Option<u64>,
    at_ms: u64,
}

impl WorkerNotes {
    fn all(&self) -> MutexGuard<'_, BTreeMap<WorkerId, LastNote>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, note: WorkerNote, at_ms: u64) {
        let mut all = self.all();
        all.retain(|_, last| at_ms.saturating_sub(last.at_ms) < millis(WORKER_SHOWN_FOR));
        if all.len() >= PAGE_WORKERS_MAX && !all.contains_key(&note.worker) {
            return;
        }
        all.insert(note.worker, LastNote { in_hand: note.in_hand, at_ms });
    }

    fn rows(&self, now_ms: u64) -> Vec<WorkerRow> {
        let mut all = self.all();
        all.retain(|_, last| now_ms.saturating_sub(last.at_ms) < millis(WORKER_SHOWN_FOR));
        let row = |(worker, last): (&WorkerId, &LastNote)| WorkerRow {
            role: worker.role.clone(),
            host: worker.host.clone(),
            process: worker.process,
            in_hand: last.in_hand,
            last_seen: rfc3339(last.at_ms),
        };
        all.iter().map(row).collect()
    }

    /// The workers and their queues now. A queue that does not answer has no numbers.
    pub(super) async fn look(&self, context: &Context) -> Workers {
        let mut queues = Vec::new();
        for topic in [Topic::Tasks, Topic::Batches] {
            let load = context.queue.load(topic).await.ok();
            queues.push(QueueRow {
                queue: topic.as_str(),
                waiting: load.map(|load| load.waiting),
                in_hand: load.map(|load| load.in_hand),
                redelivered: load.map(|load| load.redelivered),
            });
        }
        Workers { queues, workers: self.rows(now_ms()) }
    }
}

/// Takes what workers say until the shutdown. In one process they say nothing.
pub(in crate::serve) async fn follow(current: &Current, taken: &Arc<WorkerNotes>) -> Result<(), Infallible> {
    let shared = Arc::clone(&current.borrow());
    let following = async {
        loop {
            if let Some(mut notes) = shared.context.notes.workers().await {
                while let Some(note) = notes.next().await {
                    taken.take(note, now_ms());
                }
            }
            sleep(AGAIN).await;
        }
    };
    tokio::select! {
        () = shared.shutdown.cancelled() => Ok(()),
        never = following => never,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_are_shown_for_a_while_and_bounded() {
        let notes = WorkerNotes::default();
        let note = |process, in_hand| {
            let worker = WorkerId { role: "scanner".to_owned(), host: "a".to_owned(), process };
            WorkerNote { worker, in_hand }
        };
        notes.take(note(1, Some(1)), 1_000);
        notes.take(note(1, Some(2)), 2_000);
        notes.take(note(2, None), 3_000);
        let rows = notes.rows(4_000);
        assert_eq!(rows.iter().map(|row| row.in_hand).collect::<Vec<_>>(), [Some(2), None]);
        assert_eq!(rows[0].last_seen, "1970-01-01T00:00:02Z");
        let later = 2_000 + millis(WORKER_SHOWN_FOR);
        assert_eq!(notes.rows(later).len(), 1);
        for process in 10..10 + 2 * u32::try_from(PAGE_WORKERS_MAX).unwrap() {
            notes.take(note(process, None), later);
        }
        assert_eq!(notes.rows(later).len(), PAGE_WORKERS_MAX);
    }
}
