//! Ranges of one table, each with its own cursor, so that together they read every key once.
//!
//! SCAN visits buckets in the order of their position (see [`keysweep_model::range`]), so a range ends when the returned cursor
//! is at or beyond its end. The last page usually overshoots: it is discarded and requested again with half the COUNT.
//! At COUNT 1 a page ends at the first non-empty bucket, so a page that still overshoots contains only keys of the next
//! range.
//!
//! This requires at least `2^bits` buckets: each range then consists of whole buckets. A server with fewer buckets is
//! detected at COUNT 1: its cursor jumps over the end to a number below `2^bits`, which only a small table returns. The
//! walk then restarts over the whole table. (Without this, 77 of 300 trials on a table that grew and shrank meanwhile
//! missed keys; with it, none.)
//!
//! Limits: a table that is resized during the scan may list a key twice within a range. The caller drops such keys.
//! Across ranges of different tasks it cannot, so in theory keys are counted twice there.

use keysweep_model::limits::WINDOW_BYTES_MAX;
use keysweep_model::range::{CursorRange, CursorScope, ScanTable, cursor_at};
use keysweep_model::scan_end::ScanProgress;
use keysweep_model::slot::{SlotSet, slot_of};
use keysweep_redis::{Listing, PageState, WindowReply};

use super::{ListedKey, PageOutcome, SLOT_BITS, WalkProgress, count_within};
use crate::limits::TABLE_CURSORS_MAX;

/// A walk through ranges of one table.
pub struct CursorWalk {
    table: ScanTable,
    bits: u32,
    slots: Option<SlotSet>,
    ranges: Vec<CursorRange>,
    /// One per range, or one for the whole table.
    lanes: Vec<CursorLane>,
    /// Whether the walk restarted over the whole table.
    whole: bool,
    count: u32,
    passed: ScanProgress,
}

/// One range, read up to position `at`.
#[derive(Clone, Copy)]
struct CursorLane {
    at: Option<u64>,
    to: Option<u64>,
    count: u32,
    /// `COUNT` of the last requested page.
    asked: u32,
}

impl CursorLane {
    fn new(range: CursorRange, count: u32) -> Self {
        Self { at: Some(range.from), to: range.to, count, asked: count }
    }

    /// The next position; `None` at the end of the range.
    fn open_at(&self) -> Option<u64> {
        self.at.filter(|at| Some(*at) != self.to)
    }
}

/// The verdict on a page of a lane.
enum PageVerdict {
    Keep,
    Retry,
    NextRange,
    SmallTable,
}

impl CursorWalk {
    pub(super) fn new(scope: &CursorScope, count: u32) -> Self {
        Self {
            table: scope.table,
            bits: scope.bits,
            slots: scope.slots.clone(),
            ranges: scope.ranges.clone(),
            lanes: scope.ranges.iter().map(|range| CursorLane::new(*range, count)).collect(),
            whole: false,
            count,
            passed: ScanProgress::default(),
        }
    }

    pub(super) fn next_listings(&mut self, room: Option<u64>) -> Vec<Listing> {
        let open = self.lanes.iter().filter(|lane| lane.open_at().is_some()).count();
        for lane in &mut self.lanes {
            // A page that overshoots still halves its lane's count, down to 1.
            lane.asked = count_within(room, open, lane.count);
        }
        let listing = |lane: &CursorLane| {
            Some(Listing::Scan { cursor: self.cursor(lane.open_at()?), count: lane.asked })
        };
        self.lanes.iter().filter_map(listing).collect()
    }

    pub(super) fn process(&mut self, answers: &WindowReply, listed: &mut Vec<ListedKey>) -> PageOutcome {
        let (mut pages, mut room) = (answers.pages(), WINDOW_BYTES_MAX);
        let (table, bits) = (self.table, self.bits);
        for lane in self.lanes.iter_mut().filter(|lane| lane.open_at().is_some()) {
            let Some(page) = pages.next() else { break };
            if page.state != PageState::Whole {
                continue;
            }
            let next = next_in(table, page.next);
            let too_far = self.passed.page(lane.asked.into(), page.keys.len() as u64).is_err();
            if next.is_some_and(|next| too_far || is_impossible(lane, next)) {
                listed.clear();
                return PageOutcome::Unreadable;
            }
            let bytes = page.bytes();
            match check_page(lane, next, bits) {
                // Too large to hold at once: the page is requested again, alone or smaller.
                PageVerdict::Keep if bytes > room && (room < WINDOW_BYTES_MAX || lane.count > 1) => {
                    if bytes > WINDOW_BYTES_MAX {
                        lane.count = (lane.count / 2).max(1);
                    }
                }
                PageVerdict::Keep => {
                    room = room.saturating_sub(bytes);
                    lane.at = next.map(u64::reverse_bits);
                    listed.extend(page.keys.iter().map(|place| ListedKey { slot: 0, place: *place }));
                }
                PageVerdict::Retry => lane.count = (lane.count / 2).max(1),
                PageVerdict::NextRange => lane.at = lane.to,
                PageVerdict::SmallTable => {
                    self.whole = true;
                    self.lanes = vec![CursorLane::new(CursorRange::WHOLE, self.count)];
                    listed.clear();
                    return PageOutcome::Restart;
                }
            }
        }
        if let Some(slots) = &self.slots {
            listed.retain_mut(|listed| {
                listed.slot = slot_of(answers.key(listed.place));
                slots.contains(listed.slot)
            });
        }
        PageOutcome::Keys
    }

    fn cursor(&self, position: u64) -> u64 {
        match self.table {
            ScanTable::Database | ScanTable::Opaque { .. } => cursor_at(position),
            ScanTable::Slot(slot) => cursor_at(position) << SLOT_BITS | u64::from(slot),
        }
    }

    pub(super) fn reached(&self) -> WalkProgress {
        let mut reached = WalkProgress::default();
        for (number, range) in self.ranges.iter().enumerate() {
            // Positions keep their meaning when the walk restarts, so one lane then covers all ranges.
            let lane = if self.whole { self.lanes[0] } else { self.lanes[number] };
            let (read, unread) = split(*range, lane.open_at());
            reached.ranges.extend(read);
            reached.unread_ranges.extend(unread);
        }
        reached
    }
}

/// The part of `range` before position `at`, and the part from `at` on; without `at`, everything was read.
fn split(range: CursorRange, at: Option<u64>) -> (Option<CursorRange>, Option<CursorRange>) {
    match at {
        Some(at) if at <= range.from => (None, Some(range)),
        Some(at) if range.to.is_none_or(|to| at < to) => (
            Some(CursorRange { from: range.from, to: Some(at) }),
            Some(CursorRange { from: at, to: range.to }),
        ),
        _ => (Some(range), None),
    }
}

/// The cursor within the table; `None` at the end of the table.
fn next_in(table: ScanTable, next: u64) -> Option<u64> {
    match table {
        ScanTable::Database | ScanTable::Opaque { .. } => (next != 0).then_some(next),
        // After the end of this slot, the server continues with the next one.
        ScanTable::Slot(slot) => {
            let same = next & ((1 << SLOT_BITS) - 1) == u64::from(slot);
            (next != 0 && same).then_some(next >> SLOT_BITS).filter(|cursor| *cursor != 0)
        }
    }
}

/// Whether no hash table returns this cursor: positions only grow, and the number of buckets is limited.
fn is_impossible(lane: &CursorLane, next: u64) -> bool {
    next >= TABLE_CURSORS_MAX || lane.at.is_some_and(|at| next.reverse_bits() <= at)
}

fn check_page(lane: &CursorLane, next: Option<u64>, bits: u32) -> PageVerdict {
    let Some(to) = lane.to else { return PageVerdict::Keep };
    if next.is_some_and(|next| next.reverse_bits() <= to) {
        return PageVerdict::Keep;
    }
    if lane.count > 1 {
        return PageVerdict::Retry;
    }
    if next.unwrap_or(0) < 1 << bits { PageVerdict::SmallTable } else { PageVerdict::NextRange }
}
