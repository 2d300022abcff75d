//! Ranges of one table, each followed by a cursor of its own, so that together they read every key once.
//!
//! SCAN visits buckets in the order of their position (see [`shared::range`]), so a range ends when the
//! returned cursor stands at or beyond its end. The last page usually oversteps: it is thrown away and asked
//! for again with half the COUNT. At COUNT 1 a page ends at the first bucket that is not empty, so one that
//! still oversteps holds keys of the next range only.
//!
//! That needs buckets no larger than the ranges' parts: at least `2^bits` of them. A server with fewer shows
//! it: at COUNT 1 its cursor jumps over the end to a number below `2^bits`, which only a small table has. Then
//! the walk starts again over the whole table. (Without this, 77 of 300 trials on a table that grew and shrank
//! meanwhile missed keys; with it, none.)
//!
//! Limits: a table that is resized while it is read may list a key twice within a range. The caller drops such
//! keys; across ranges of different tasks it cannot, so keys are counted twice there in theory.

use shared::cluster::{Listing, PageState, WindowReply};
use shared::limits::{TABLE_CURSORS_MAX, WINDOW_BYTES_MAX};
use shared::range::{CursorRange, CursorScope, ScanTable, cursor_at};
use shared::scan_end::ScanProgress;
use shared::slot::{SlotSet, slot_of};

use super::{ListedKey, PageOutcome, SLOT_BITS, WalkProgress, count_within};

/// See the module.
pub struct CursorWalk {
    table: ScanTable,
    bits: u32,
    slots: Option<SlotSet>,
    ranges: Vec<CursorRange>,
    /// One per range, or a single one for the whole table.
    lanes: Vec<CursorLane>,
    /// Whether the walk had to start again over the whole table.
    whole: bool,
    count: u32,
    passed: ScanProgress,
}

/// One range, read up to `at`.
#[derive(Clone, Copy)]
struct CursorLane {
    at: Option<u64>,
    to: Option<u64>,
    count: u32,
    /// `COUNT` of the page that was asked for last.
    asked: u32,
}

impl CursorLane {
    fn new(range: CursorRange, count: u32) -> Self {
        Self { at: Some(range.from), to: range.to, count, asked: count }
    }

    /// Where to go on; `None` at the end of the range.
    fn open_at(&self) -> Option<u64> {
        self.at.filter(|at| Some(*at) != self.to)
    }
}

/// What a page means for its lane.
enum PageVerdict {
    Keep,
    AskAgain,
    NotOurs,
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

    pub(super) fn ask(&mut self, room: Option<u64>) -> Vec<Listing> {
        let open = self.lanes.iter().filter(|lane| lane.open_at().is_some()).count();
        for lane in &mut self.lanes {
            // A page that oversteps halves its lane's count all the same, down to 1.
            lane.asked = count_within(room, open, lane.count);
        }
        let listing = |lane: &CursorLane| {
            Some(Listing::Scan { cursor: self.cursor(lane.open_at()?), count: lane.asked })
        };
        self.lanes.iter().filter_map(listing).collect()
    }

    pub(super) fn take(&mut self, answers: &WindowReply, listed: &mut Vec<ListedKey>) -> PageOutcome {
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
                // Too much to hold at once: the page is asked for again, alone or smaller.
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
                PageVerdict::AskAgain => lane.count = (lane.count / 2).max(1),
                PageVerdict::NotOurs => lane.at = lane.to,
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
            // Positions keep their meaning when the walk starts again, so one lane speaks for all then.
            let lane = if self.whole { self.lanes[0] } else { self.lanes[number] };
            let (read, unread) = split(*range, lane.open_at());
            reached.ranges.extend(read);
            reached.unread_ranges.extend(unread);
        }
        reached
    }
}

/// The part of `range` before position `at`, and the part from there on; without `at`, all has been read.
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

/// The table's own part of a returned cursor; `None` at the end of the table.
fn next_in(table: ScanTable, next: u64) -> Option<u64> {
    match table {
        ScanTable::Database | ScanTable::Opaque { .. } => (next != 0).then_some(next),
        // The server goes on to the next slot where this one ends.
        ScanTable::Slot(slot) => {
            let same = next & ((1 << SLOT_BITS) - 1) == u64::from(slot);
            (next != 0 && same).then_some(next >> SLOT_BITS).filter(|cursor| *cursor != 0)
        }
    }
}

/// Whether no hash table answers so: positions only grow, and a table has only so many buckets.
fn is_impossible(lane: &CursorLane, next: u64) -> bool {
    next >= TABLE_CURSORS_MAX || lane.at.is_some_and(|at| next.reverse_bits() <= at)
}

fn check_page(lane: &CursorLane, next: Option<u64>, bits: u32) -> PageVerdict {
    let Some(to) = lane.to else { return PageVerdict::Keep };
    if next.is_some_and(|next| next.reverse_bits() <= to) {
        return PageVerdict::Keep;
    }
    if lane.count > 1 {
        return PageVerdict::AskAgain;
    }
    if next.unwrap_or(0) < 1 << bits { PageVerdict::SmallTable } else { PageVerdict::NotOurs }
}
