//! Walking through a scope: which listing commands to send next, and what the replies mean. Pure: it has no clock and
//! no connection. The caller sends the listings of [`Walk::next_listings`] and passes the replies, in the same order,
//! to [`Walk::process`].

mod cursors;
mod opaque;
mod slots;

use cursors::CursorWalk;
use keysweep_model::limits::TASK_CANDIDATE_BYTES_MAX;
use keysweep_model::messages::{RunSpec, ScanTask};
use keysweep_model::range::{CursorRange, CursorScope, ScanTable, Scope};
use keysweep_model::slot::SlotSet;
use keysweep_redis::{KeySpan, Listing, WindowReply};
use opaque::OpaqueWalk;
use slots::SlotWalk;

use crate::limits::TASK_CANDIDATE_BYTES;

/// A listed key with its slot (0 on standalone servers).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListedKey {
    /// The slot.
    pub slot: u16,
    /// Where the key is in the reply that lists it.
    pub place: KeySpan,
}

/// One write of listings: the replies, and the listed keys to look up in the next write.
#[derive(Default)]
pub struct ListedWindow {
    /// The replies.
    pub answers: WindowReply,
    /// The keys to look up, in `answers`.
    pub keys: Vec<ListedKey>,
}

impl ListedWindow {
    /// The keys, each with its slot.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = (u16, &[u8])> + Clone {
        self.keys.iter().map(|listed| (listed.slot, self.answers.key(listed.place)))
    }
}

/// The meaning of the replies to one write of listings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageOutcome {
    /// The window contains the keys that belong to the scope.
    Keys,
    /// The table has fewer buckets than parts. All keys listed so far are void: the walk restarts over the whole table,
    /// and other tasks may count the same keys.
    Restart,
    /// The server returned a cursor that no table has, or cursors that do not reach an end. No listed key counts.
    Unreadable,
}

/// Bits of a cursor that contain the slot, on servers that scan slot by slot.
const SLOT_BITS: u32 = 14;

/// `COUNT` for each of `lanes` lanes, which together may list about `room` keys.
fn count_within(room: Option<u64>, lanes: usize, count: u32) -> u32 {
    let each = room.map_or(u64::MAX, |room| (room / lanes.max(1) as u64).max(1));
    count.min(u32::try_from(each).unwrap_or(u32::MAX))
}

/// What a walk has read when it ends, at the end of its scope or early.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WalkProgress {
    /// Slots read completely.
    pub slots: SlotSet,
    /// Slots not read, or not completely.
    pub unread: SlotSet,
    /// Slots with too many keys to read in one piece.
    pub giant: SlotSet,
    /// Ranges read completely.
    pub ranges: Vec<CursorRange>,
    /// Ranges not read.
    pub unread_ranges: Vec<CursorRange>,
    /// The table type with which the rest is read, if it differs.
    pub rest_of: Option<ScanTable>,
}

/// A walk through a scope.
pub enum Walk {
    /// Slot by slot.
    Slots(SlotWalk),
    /// Through ranges of a table.
    Cursors(CursorWalk),
    /// In one lane through a database.
    Opaque(OpaqueWalk),
}

impl Walk {
    /// The walk of a task.
    #[must_use]
    pub fn of(task: &ScanTask, spec: &RunSpec) -> Self {
        // A task that continues a lane is planned with no keys: they belong to the first task.
        let node = spec.nodes.iter().find(|node| node.node == task.node);
        let keys = match &task.scope {
            Scope::Cursors(CursorScope { table: ScanTable::Opaque { .. }, .. }) => {
                node.map_or(0, |node| node.keys)
            }
            _ => task.keys,
        };
        Self::new(&task.scope, keys.max(task.keys), spec.rules.scan_batch_keys)
    }

    /// A walk through `scope`, with about `keys` expected keys and `count` as `COUNT` of a SCAN.
    #[must_use]
    pub fn new(scope: &Scope, keys: u64, count: u32) -> Self {
        match scope {
            Scope::Slots { slots } => Self::Slots(SlotWalk::new(slots, keys)),
            Scope::Cursors(cursors) => match cursors.table {
                ScanTable::Opaque { at } => Self::Opaque(OpaqueWalk::new(cursors, at, keys, count)),
                ScanTable::Database | ScanTable::Slot(_) => Self::Cursors(CursorWalk::new(cursors, count)),
            },
        }
    }

    /// The next listings, limited to about `room` keys; empty at the end.
    pub fn next_listings(&mut self, room: Option<u64>) -> Vec<Listing> {
        match self {
            Self::Slots(walk) => walk.next_listings(room),
            Self::Cursors(walk) => walk.next_listings(room),
            Self::Opaque(walk) => walk.next_listings(room),
        }
    }

    /// Evaluates the replies to the last [`Walk::next_listings`], which are in `window`, and sets its keys to the
    /// listed ones.
    pub fn process(&mut self, window: &mut ListedWindow) -> PageOutcome {
        let ListedWindow { answers, keys } = window;
        keys.clear();
        keys.reserve(answers.listed());
        let outcome = match self {
            Self::Slots(walk) => walk.process(answers, keys),
            Self::Cursors(walk) => walk.process(answers, keys),
            Self::Opaque(walk) => walk.process(answers, keys),
        };
        if keys.is_empty() {
            // A page that is requested again must not count against what this process may hold of replies.
            answers.clear();
        }
        outcome
    }

    /// Whether a key may be listed twice, because a table may be resized during the scan.
    #[must_use]
    pub fn may_repeat(&self) -> bool {
        !matches!(self, Self::Slots(_))
    }

    /// How many encoded bytes of candidates it collects before the rest is left to another task. A lane that is continued
    /// makes counts approximate, so that it is cut last.
    #[must_use]
    pub fn candidate_bytes_max(&self) -> usize {
        match self {
            Self::Opaque(_) => TASK_CANDIDATE_BYTES_MAX,
            Self::Slots(_) | Self::Cursors(_) => TASK_CANDIDATE_BYTES,
        }
    }

    /// How far the walk has come. Keys in slots that are not in [`WalkProgress::slots`] do not count.
    #[must_use]
    pub fn reached(&self) -> WalkProgress {
        match self {
            Self::Slots(walk) => walk.reached(),
            Self::Cursors(walk) => walk.reached(),
            Self::Opaque(walk) => walk.reached(),
        }
    }
}
