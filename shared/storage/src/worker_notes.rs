//! What workers say of themselves, for display: that they are there, and how much they have in hand. A note may be lost or
//! late, and no decision depends on one.

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use keysweep_model::wire;
use serde::{Deserialize, Serialize};

use crate::limits::WORKER_NAME_CHARS_MAX;
use crate::task_notes::{NoteSubject, TaskNotes};

/// What a worker says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerNote {
    /// Who it is.
    pub worker: WorkerId,
    /// Messages that it is working on; `None` if it takes none, as reporters.
    pub in_hand: Option<u64>,
}

/// A role of a process.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct WorkerId {
    /// `scanner`, `reaper` or `reporter`.
    pub role: String,
    /// Its machine.
    pub host: String,
    /// The id of its process there.
    pub process: u32,
}

impl TaskNotes {
    /// Publishes what a worker says to other processes. Never waits.
    pub fn announce(&self, note: &WorkerNote) {
        if let (Self::Remote(channel), Ok(payload)) = (self, wire::encode(note)) {
            channel.publish(NoteSubject::Workers, payload);
        }
    }

    /// What workers say; `None` within one process, and if subscribing fails. Names are shortened.
    pub async fn workers(&self) -> Option<BoxStream<'static, WorkerNote>> {
        let Self::Remote(channel) = self else { return None };
        let heard = channel.subscribe(NoteSubject::Workers).await?;
        Some(heard.filter_map(|payload| std::future::ready(read(&payload))).boxed())
    }
}

/// The note in `payload`; `None` if there is none. Anyone with the rights of a worker may have sent it.
fn read(payload: &[u8]) -> Option<WorkerNote> {
    let note: WorkerNote = wire::decode(payload).ok()?;
    let short = |text: String| text.chars().take(WORKER_NAME_CHARS_MAX).collect();
    let WorkerId { role, host, process } = note.worker;
    Some(WorkerNote { worker: WorkerId { role: short(role), host: short(host), process }, ..note })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_workers_are_short_and_what_cannot_be_read_is_no_note() {
        let worker = WorkerId { role: "scanner".to_owned(), host: "x".repeat(9_999), process: 7 };
        let note = WorkerNote { worker, in_hand: Some(2) };
        let heard = read(&wire::encode(&note).expect("encodes")).expect("a note");
        assert_eq!(
            (heard.worker.role.as_str(), heard.worker.process, heard.in_hand),
            ("scanner", 7, Some(2))
        );
        assert_eq!(heard.worker.host.len(), WORKER_NAME_CHARS_MAX);
        assert_eq!(read(b"{}"), None);
    }
}
