//! One lane through a database whose cursors are not positions: from one cursor to the next, until the server returns
//! 0. If it stops early, another task continues from its cursor. Ranges count the positions requested.

use keysweep_model::limits::WINDOW_BYTES_MAX;
use keysweep_model::range::{CursorRange, CursorScope, ScanTable};
use keysweep_model::scan_end::ScanEnd;
use keysweep_model::slot::{SlotSet, slot_of};
use keysweep_redis::{Listing, WindowReply};

use super::{ListedKey, PageOutcome, WalkProgress, count_within};

/// A walk with opaque cursors.
pub struct OpaqueWalk {
    at: u64,
    /// Positions that earlier tasks of this pass requested.
    from: u64,
    end: ScanEnd<u64>,
    slots: Option<SlotSet>,
    count: u32,
    /// `COUNT` of the last requested page.
    asked: u32,
    begun: bool,
    done: bool,
}

impl OpaqueWalk {
    /// For a database of about `keys` keys.
    pub(super) fn new(scope: &CursorScope, at: u64, keys: u64, count: u32) -> Self {
        let from = scope.ranges.first().map_or(0, |range| range.from);
        let end = ScanEnd::new(at, from, keys);
        Self { at, from, end, slots: scope.slots.clone(), count, asked: count, begun: false, done: false }
    }

    pub(super) fn next_listings(&mut self, room: Option<u64>) -> Vec<Listing> {
        self.asked = count_within(room, 1, self.count);
        if self.done { Vec::new() } else { vec![Listing::Scan { cursor: self.at, count: self.asked }] }
    }

    pub(super) fn process(&mut self, answers: &WindowReply, listed: &mut Vec<ListedKey>) -> PageOutcome {
        let Some(page) = answers.pages().next() else { return PageOutcome::Keys };
        if page.next != 0
            && self.end.check_progress(&page.next, self.asked.into(), page.keys.len() as u64).is_err()
        {
            return PageOutcome::Unreadable;
        }
        // A page is not requested twice: the server may accept a cursor only once.
        if page.bytes() > WINDOW_BYTES_MAX {
            self.count = (self.count / 2).max(1);
        }
        (self.at, self.begun, self.done) = (page.next, true, page.next == 0);
        for place in page.keys {
            let slot = if self.slots.is_some() { slot_of(answers.key(*place)) } else { 0 };
            if self.slots.as_ref().is_none_or(|slots| slots.contains(slot)) {
                listed.push(ListedKey { slot, place: *place });
            }
        }
        PageOutcome::Keys
    }

    pub(super) fn reached(&self) -> WalkProgress {
        let rest = |from| CursorRange { from, to: None };
        let (ranges, unread_ranges) = match (self.done, self.begun) {
            (true, _) => (vec![rest(self.from)], Vec::new()),
            (false, false) => (Vec::new(), vec![rest(self.from)]),
            (false, true) => {
                let next = self.end.asked();
                (vec![CursorRange { from: self.from, to: Some(next) }], vec![rest(next)])
            }
        };
        WalkProgress {
            ranges,
            unread_ranges,
            rest_of: Some(ScanTable::Opaque { at: self.at }),
            ..WalkProgress::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use keysweep_model::ids::TaskId;
    use keysweep_model::limits::{SCAN_SPARE_POSITIONS, TABLE_SPARE_BITS};

    use super::*;

    fn walk(from: u64, at: u64) -> OpaqueWalk {
        let ranges = vec![CursorRange { from, to: None }];
        let (pass, table, process) = (TaskId::new(), ScanTable::Opaque { at }, String::new());
        OpaqueWalk::new(&CursorScope { pass, table, ranges, bits: 0, slots: None, process }, at, 100, 10)
    }

    #[test]
    fn any_cursor_is_followed_and_the_remainder_continues_there() {
        let mut first = walk(0, 0);
        for next in [u64::MAX, 3, 1 << 50] {
            assert_eq!(
                first.process(&WindowReply::of([(next, vec!["a"])]), &mut Vec::new()),
                PageOutcome::Keys
            );
        }
        let reached = first.reached();
        assert_eq!(reached.ranges, [CursorRange { from: 0, to: Some(30) }]);
        assert_eq!(reached.unread_ranges, [CursorRange { from: 30, to: None }]);
        assert_eq!(reached.rest_of, Some(ScanTable::Opaque { at: 1 << 50 }));
        let mut second = walk(30, 1 << 50);
        assert_eq!(second.next_listings(None), [Listing::Scan { cursor: 1 << 50, count: 10 }]);
        second.process(&WindowReply::of([(0, vec!["b"])]), &mut Vec::new());
        assert_eq!(second.reached().ranges, [CursorRange { from: 30, to: None }]);
        assert!(second.next_listings(None).is_empty() && second.reached().unread_ranges.is_empty());
    }

    #[test]
    fn cursors_in_a_cycle_or_too_far_are_unreadable() {
        let mut circle = walk(0, 7);
        let taken = [8, 9, 8, 9, 8, 9]
            .map(|next| circle.process(&WindowReply::of([(next, vec!["a"])]), &mut Vec::new()));
        assert!(taken.contains(&PageOutcome::Unreadable), "{taken:?}");
        let mut far = walk(SCAN_SPARE_POSITIONS + (100 << TABLE_SPARE_BITS), 7);
        assert_eq!(far.process(&WindowReply::of([(8, vec!["a"])]), &mut Vec::new()), PageOutcome::Unreadable);
        assert_eq!(
            walk(0, 7).process(&WindowReply::of([(7, vec!["a"])]), &mut Vec::new()),
            PageOutcome::Unreadable
        );
    }
}
