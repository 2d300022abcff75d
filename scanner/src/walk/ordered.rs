//! Slots with SCAN, on servers that keep one table per slot and scan the tables in order: the slot is in the low 14
//! bits of the cursor. No server documents this, so every page is checked. A lane that finds a violation hands its
//! slots back to be read with `CLUSTER GETKEYSINSLOT`.

use std::collections::VecDeque;

use keysweep_model::limits::WINDOW_BYTES_MAX;
use keysweep_model::scan_end::ScanProgress;
use keysweep_model::slot::{SlotSet, slot_of};
use keysweep_redis::{KeySpan, Listing, PageState, WindowReply};

use super::{ListedKey, SLOT_BITS, WalkProgress, count_within};
use crate::limits::{LANES_MAX, SLOT_KEYS_MAX};

const SLOT_MASK: u64 = (1 << SLOT_BITS) - 1;

/// A walk through slots in the order of one cursor.
pub struct OrderedWalk {
    /// Slot ranges that no lane follows yet.
    todo: VecDeque<(u16, u16)>,
    lanes: Vec<OrderedLane>,
    done: SlotSet,
    giant: SlotSet,
    unordered: SlotSet,
    count: u32,
    /// `COUNT` of the last requested pages.
    asked: u32,
    passed: ScanProgress,
}

/// One cursor that moves through the slots `slot..=last`.
struct OrderedLane {
    cursor: u64,
    /// The slot of the cursor; the slots before it are done.
    slot: u16,
    last: u16,
    keys_in_slot: u64,
}

impl OrderedLane {
    fn at(slot: u16, last: u16) -> Self {
        Self { cursor: u64::from(slot), slot, last, keys_in_slot: 0 }
    }

    fn rest(&self) -> impl Iterator<Item = u16> + use<> {
        self.slot..=self.last
    }
}

impl OrderedWalk {
    pub(super) fn new(slots: &SlotSet, count: u32) -> Self {
        Self {
            todo: split(slots, LANES_MAX as usize),
            lanes: Vec::new(),
            done: SlotSet::new(),
            giant: SlotSet::new(),
            unordered: SlotSet::new(),
            count,
            asked: count,
            passed: ScanProgress::default(),
        }
    }

    pub(super) fn next_listings(&mut self, room: Option<u64>) -> Vec<Listing> {
        while self.lanes.len() < LANES_MAX as usize
            && let Some((first, last)) = self.todo.pop_front()
        {
            self.lanes.push(OrderedLane::at(first, last));
        }
        self.asked = count_within(room, self.lanes.len(), self.count);
        let count = self.asked;
        self.lanes.iter().map(|lane| Listing::Scan { cursor: lane.cursor, count }).collect()
    }

    pub(super) fn process(&mut self, answers: &WindowReply, listed: &mut Vec<ListedKey>) {
        let mut room = WINDOW_BYTES_MAX;
        for (lane, page) in std::mem::take(&mut self.lanes).into_iter().zip(answers.pages()) {
            if page.state != PageState::Whole {
                self.lanes.push(lane);
                continue;
            }
            let bytes = page.bytes();
            // Too large to hold at once: the page is requested again, alone or smaller.
            if bytes > room && (room < WINDOW_BYTES_MAX || self.count > 1) {
                if bytes > WINDOW_BYTES_MAX {
                    self.count = (self.count / 2).max(1);
                }
                self.lanes.push(lane);
                continue;
            }
            room = room.saturating_sub(bytes);
            let with_slot = |place: &KeySpan| ListedKey { slot: slot_of(answers.key(*place)), place: *place };
            self.advance(lane, page.next, page.keys.iter().map(with_slot).collect(), listed);
        }
    }

    /// Processes one page of a lane and moves it to the cursor `next`.
    fn advance(
        &mut self,
        mut lane: OrderedLane,
        next: u64,
        keys: Vec<ListedKey>,
        listed: &mut Vec<ListedKey>,
    ) {
        let next_slot = (next & SLOT_MASK) as u16;
        let end = next == 0;
        let in_order = |key: &ListedKey| key.slot >= lane.slot && (end || key.slot <= next_slot);
        // Within a slot, positions only grow.
        let position = |cursor: u64| (cursor >> SLOT_BITS).reverse_bits();
        let grows = next_slot > lane.slot || next_slot == lane.slot && position(next) > position(lane.cursor);
        let too_far = self.passed.page(self.asked.into(), keys.len() as u64).is_err();
        if !(end || grows && !too_far) || !keys.iter().all(in_order) {
            self.unordered.extend(&lane.rest().collect());
            return;
        }
        let here = keys.iter().filter(|key| key.slot == lane.slot).count() as u64;
        listed.extend(keys.into_iter().filter(|key| key.slot <= lane.last));
        if end || next_slot > lane.last {
            self.done.extend(&lane.rest().collect());
            return;
        }
        lane.cursor = next;
        if next_slot > lane.slot {
            self.done.extend(&(lane.slot..next_slot).collect());
            (lane.slot, lane.keys_in_slot) = (next_slot, 0);
        } else {
            lane.keys_in_slot += here;
        }
        if lane.keys_in_slot <= SLOT_KEYS_MAX {
            self.lanes.push(lane);
            return;
        }
        self.giant.extend(&std::iter::once(lane.slot).collect());
        if lane.slot < lane.last {
            self.lanes.push(OrderedLane::at(lane.slot + 1, lane.last));
        }
    }

    pub(super) fn reached(&self) -> WalkProgress {
        let mut unread: SlotSet = self.lanes.iter().flat_map(OrderedLane::rest).collect();
        unread.extend(&self.todo.iter().flat_map(|(first, last)| *first..=*last).collect());
        WalkProgress {
            slots: self.done.clone(),
            unread,
            giant: self.giant.clone(),
            unordered: self.unordered.clone(),
            ..WalkProgress::default()
        }
    }
}

/// Splits `slots` into ranges of at most a `lanes`-th of all, so that the lanes end at about the same time.
fn split(slots: &SlotSet, lanes: usize) -> VecDeque<(u16, u16)> {
    let longest = slots.len().div_ceil(lanes).max(1);
    let mut ranges = VecDeque::new();
    for (first, last) in slots.ranges() {
        let all: Vec<u16> = (*first..=*last).collect();
        ranges.extend(all.chunks(longest).map(|chunk| (chunk[0], chunk[chunk.len() - 1])));
    }
    ranges
}
