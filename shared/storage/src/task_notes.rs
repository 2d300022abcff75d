//! Progress notes of scan tasks, for display. A note may arrive late, twice, out of order or never: no count of a run
//! and no decision depends on one.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use keysweep_model::ids::{RunId, TaskId};
use keysweep_model::wire;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast::{self, error::RecvError};

use crate::limits::TASK_NOTES_KEPT;

/// Keys that were read so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReadSoFar {
    /// Keys listed, including those that match no pattern.
    pub listed: u64,
    /// Matching keys that were looked up.
    pub scanned: u64,
    /// Those without TTL.
    pub stale: u64,
}

/// The progress of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskNote {
    /// The run.
    pub run: RunId,
    /// The task.
    pub task: TaskId,
    /// Its counts so far.
    pub read: ReadSoFar,
}

/// The channel for notes from scanners to the driver of the run.
#[derive(Clone)]
pub enum TaskNotes {
    /// Within this process.
    Memory(broadcast::Sender<TaskNote>),
    /// Between processes.
    Remote(Arc<dyn NoteChannel>),
}

/// What a note is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoteSubject {
    /// The tasks of a run.
    Run(RunId),
    /// Workers, see [`crate::worker_notes`].
    Workers,
}

/// Carries notes between processes, without storing them.
pub trait NoteChannel: Send + Sync {
    /// Publishes a note. Never waits: where no one subscribes, or the broker is unreachable, the note is lost.
    fn publish(&self, about: NoteSubject, payload: Vec<u8>);

    /// The payloads of notes; `None` if subscribing fails.
    fn subscribe(&self, about: NoteSubject) -> BoxFuture<'_, Option<BoxStream<'static, Vec<u8>>>>;
}

/// A subscription to the notes of one run.
pub struct NoteListener {
    run: RunId,
    source: NoteSource,
}

enum NoteSource {
    Memory(broadcast::Receiver<TaskNote>),
    Remote(BoxStream<'static, Vec<u8>>),
    Closed,
}

/// The latest notes of the tasks of a run that have no report yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InFlightTasks {
    tasks: BTreeMap<TaskId, ReadSoFar>,
}

impl Default for TaskNotes {
    fn default() -> Self {
        Self::Memory(broadcast::Sender::new(TASK_NOTES_KEPT))
    }
}

impl TaskNotes {
    /// Publishes a note. Never waits: without a subscriber, or without NATS, the note is lost.
    pub fn publish(&self, note: TaskNote) {
        match self {
            // An error means that there are no subscribers.
            Self::Memory(sender) => drop(sender.send(note)),
            Self::Remote(channel) => {
                if let Ok(payload) = wire::encode(&note) {
                    channel.publish(NoteSubject::Run(note.run), payload);
                }
            }
        }
    }

    /// Subscribes to the notes of `run`. Without permission, none arrives.
    pub async fn listen(&self, run: RunId) -> NoteListener {
        let source = match self {
            Self::Memory(sender) => NoteSource::Memory(sender.subscribe()),
            Self::Remote(channel) => {
                channel.subscribe(NoteSubject::Run(run)).await.map_or(NoteSource::Closed, NoteSource::Remote)
            }
        };
        NoteListener { run, source }
    }
}

impl NoteListener {
    /// The next note of the run; waits for it, forever if none can arrive. Dropping the future loses nothing.
    pub async fn next(&mut self) -> TaskNote {
        loop {
            let note = match &mut self.source {
                NoteSource::Memory(receiver) => match receiver.recv().await {
                    Ok(note) => Some(note),
                    // Newer ones follow.
                    Err(RecvError::Lagged(_)) => None,
                    Err(RecvError::Closed) => {
                        self.source = NoteSource::Closed;
                        None
                    }
                },
                NoteSource::Remote(heard) => match heard.next().await {
                    Some(payload) => wire::decode(&payload).ok(),
                    None => {
                        self.source = NoteSource::Closed;
                        None
                    }
                },
                NoteSource::Closed => std::future::pending().await,
            };
            if let Some(note) = note.filter(|note| note.run == self.run) {
                return note;
            }
        }
    }
}

impl ReadSoFar {
    /// The maximum of each count.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            listed: self.listed.max(other.listed),
            scanned: self.scanned.max(other.scanned),
            stale: self.stale.max(other.stale),
        }
    }

    /// The sum of each count.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            listed: self.listed.saturating_add(other.listed),
            scanned: self.scanned.saturating_add(other.scanned),
            stale: self.stale.saturating_add(other.stale),
        }
    }
}

impl InFlightTasks {
    /// Records a note of a task that has no report yet. An older one has no effect.
    pub fn record(&mut self, task: TaskId, read: ReadSoFar) {
        let before = self.tasks.entry(task).or_default();
        *before = before.max(read);
    }

    /// Drops the notes of a task with a report, which counts instead.
    pub fn reported(&mut self, task: TaskId) {
        self.tasks.remove(&task);
    }

    /// The sum over the tasks.
    #[must_use]
    pub fn sum(&self) -> ReadSoFar {
        self.tasks.values().fold(ReadSoFar::default(), |sum, read| sum.plus(*read))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(listed: u64) -> ReadSoFar {
        ReadSoFar { listed, scanned: listed / 2, stale: 1 }
    }

    #[test]
    fn notes_may_come_late_and_twice() {
        let (one, two) = (TaskId::new(), TaskId::new());
        let mut underway = InFlightTasks::default();
        for (task, listed) in [(one, 100), (two, 10), (one, 300), (one, 100), (two, 10)] {
            underway.record(task, read(listed));
        }
        assert_eq!(underway.sum(), ReadSoFar { listed: 310, scanned: 155, stale: 2 });
        underway.reported(one);
        assert_eq!(underway.sum(), read(10));
    }

    #[tokio::test]
    async fn listener_receives_the_notes_of_its_run_without_blocking_publishers() {
        let (notes, run) = (TaskNotes::default(), RunId::new());
        let note = |run, listed| TaskNote { run, task: TaskId::new(), read: read(listed) };
        notes.publish(note(run, 1));
        let mut listener = notes.listen(run).await;
        let mine = note(run, 2);
        notes.publish(note(RunId::new(), 3));
        notes.publish(mine);
        assert_eq!(listener.next().await, mine);
        for n in 0..2 * TASK_NOTES_KEPT as u64 {
            notes.publish(note(run, n));
        }
        assert!(listener.next().await.read.listed >= TASK_NOTES_KEPT as u64 / 2, "the oldest are lost");
    }
}
