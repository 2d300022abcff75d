//! Which parts of the keyspace have been read. Nothing is taken for granted: a slot counts when a report says
//! so, and a table when the ranges of one pass leave no gap. Pure.

use std::collections::{BTreeMap, BTreeSet};

use shared::ids::TaskId;
use shared::messages::Covered;
use shared::range::CursorRange;
use shared::result::Extent;
use shared::slot::SlotSet;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct CoverageTracker {
    rounds: BTreeMap<u32, CoveredParts>,
}

/// By round, the slots of which nothing counts any more that was read before; on a standalone server, slot 0 stands
/// for everything.
pub(crate) type Revoked = BTreeMap<u32, SlotSet>;

#[derive(Clone, Debug, Default, PartialEq)]
struct CoveredParts {
    slots: SlotSet,
    passes: BTreeMap<TaskId, CoveredPass>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct CoveredPass {
    ranges: Vec<CursorRange>,
    /// Slots that every part of the pass vouches for; `None` on a standalone server.
    slots: Option<SlotSet>,
}

impl CoverageTracker {
    pub(crate) fn add(&mut self, round: u32, covered: &Covered) {
        self.rounds.entry(round).or_default().add(covered);
    }

    /// The slots read completely.
    pub(crate) fn slots(&self, revoked: &Revoked) -> SlotSet {
        let read = |round| self.rounds.get(&round).map(CoveredParts::slots).unwrap_or_default();
        let standing = |all: SlotSet, round| match revoked.get(&round) {
            Some(revoked) => all.difference(revoked).union(&read(round)),
            None => all.union(&read(round)),
        };
        self.until(revoked).into_iter().fold(SlotSet::new(), standing)
    }

    /// How much of the one table of a standalone server was read.
    pub(crate) fn database(&self, revoked: &Revoked) -> Extent {
        Extent::of(
            self.standing(revoked, CoveredParts::database),
            self.standing(revoked, CoveredParts::some_of_database),
        )
    }

    /// Whether something was `read`, and has not been revoked since.
    fn standing(&self, revoked: &Revoked, read: fn(&CoveredParts) -> bool) -> bool {
        let read = |round| self.rounds.get(&round).is_some_and(read);
        self.until(revoked)
            .into_iter()
            .fold(false, |so_far, round| so_far && !revoked.contains_key(&round) || read(round))
    }

    /// The rounds in which something was read or revoked, in their order. A report may claim to be of any round.
    fn until(&self, revoked: &Revoked) -> BTreeSet<u32> {
        self.rounds.keys().chain(revoked.keys()).copied().collect()
    }
}

impl CoveredParts {
    fn add(&mut self, covered: &Covered) {
        match covered {
            Covered::Slots(slots) => self.slots.extend(slots),
            Covered::Ranges { pass, slots, ranges } => {
                let first = !self.passes.contains_key(pass);
                let entry = self.passes.entry(*pass).or_default();
                entry.ranges.extend(ranges);
                entry.ranges.sort_unstable();
                entry.slots = match (&entry.slots, slots) {
                    (Some(before), Some(now)) if !first => Some(before.intersection(now)),
                    (_, now) => now.clone(),
                };
            }
        }
    }

    fn slots(&self) -> SlotSet {
        let whole = self.passes.values().filter(|pass| pass.is_whole());
        whole.filter_map(|pass| pass.slots.as_ref()).fold(self.slots.clone(), |all, slots| all.union(slots))
    }

    fn database(&self) -> bool {
        self.passes.values().any(|pass| pass.slots.is_none() && pass.is_whole())
    }

    fn some_of_database(&self) -> bool {
        self.passes.values().any(|pass| pass.slots.is_none() && !pass.ranges.is_empty())
    }
}

impl CoveredPass {
    /// Whether the ranges, which are sorted, leave no gap.
    fn is_whole(&self) -> bool {
        let mut end = Some(0);
        for range in &self.ranges {
            match end {
                Some(end_at) if range.from > end_at => return false,
                Some(end_at) => end = range.to.map(|to| to.max(end_at)),
                None => break,
            }
        }
        end.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(ranges: &[CursorRange]) -> Extent {
        let mut covering = CoverageTracker::default();
        let pass = TaskId::new();
        for range in ranges {
            covering.add(0, &Covered::Ranges { pass, slots: None, ranges: vec![*range] });
        }
        covering.database(&Revoked::new())
    }

    #[test]
    fn a_pass_is_whole_when_its_parts_leave_no_gap() {
        let part = |n| CursorRange::part(n, 2);
        assert_eq!(pass(&[]), Extent::Nothing);
        assert_eq!(pass(&[CursorRange::WHOLE]), Extent::All);
        assert_eq!(pass(&[part(3), part(0), part(2), part(1)]), Extent::All);
        assert_eq!(pass(&[part(0), part(0), part(1), part(2), part(3)]), Extent::All);
        for missing in 0..4 {
            let parts: Vec<_> = (0..4).filter(|n| *n != missing).map(part).collect();
            assert_eq!(pass(&parts), Extent::Part, "without part {missing}");
        }
        let half = CursorRange { from: part(1).from, to: Some(part(1).from + 1) };
        assert_eq!(pass(&[part(0), half, part(2), part(3)]), Extent::Part);
    }

    #[test]
    fn what_is_revoked_counts_when_it_was_read_again() {
        let set = |slots: &[u16]| slots.iter().copied().collect::<SlotSet>();
        let mut covering = CoverageTracker::default();
        // Records of a later round may be known first.
        covering.add(2, &Covered::Slots(set(&[2])));
        covering.add(0, &Covered::Slots(set(&[1, 2, 3])));
        let mut revoked = Revoked::new();
        assert_eq!(covering.slots(&revoked), set(&[1, 2, 3]));
        revoked.insert(1, set(&[1, 2]));
        assert_eq!(covering.slots(&revoked), set(&[2, 3]));
        covering.add(1, &Covered::Slots(set(&[1])));
        assert_eq!(covering.slots(&revoked), set(&[1, 2, 3]));
        revoked.insert(2, set(&[1, 2]));
        assert_eq!(covering.slots(&revoked), set(&[2, 3]), "it was read again before");

        let mut covering = CoverageTracker::default();
        let whole = || Covered::Ranges { pass: TaskId::new(), slots: None, ranges: vec![CursorRange::WHOLE] };
        covering.add(0, &whole());
        let revoked = Revoked::from([(1, set(&[0]))]);
        assert_eq!(covering.database(&revoked), Extent::Nothing, "what was read was revoked");
        covering.add(1, &whole());
        assert_eq!(covering.database(&revoked), Extent::All);
    }

    /// It would not end for hours if every round up to it was looked at.
    #[test]
    fn a_report_of_an_unplanned_round_costs_no_time() {
        let mut covering = CoverageTracker::default();
        covering.add(u32::MAX, &Covered::Slots(SlotSet::all()));
        assert_eq!(covering.slots(&Revoked::new()), SlotSet::all());
        assert_eq!(covering.database(&Revoked::new()), Extent::Nothing);
    }

    #[test]
    fn a_slot_counts_if_every_part_of_the_pass_vouches_for_it() {
        let mut covering = CoverageTracker::default();
        let (pass, set) = (TaskId::new(), |slots: &[u16]| slots.iter().copied().collect::<SlotSet>());
        covering.add(0, &Covered::Slots(set(&[1])));
        let ranges = |n| vec![CursorRange::part(n, 1)];
        covering.add(0, &Covered::Ranges { pass, slots: Some(set(&[7, 8])), ranges: ranges(0) });
        assert_eq!(covering.slots(&Revoked::new()), set(&[1]));
        covering.add(0, &Covered::Ranges { pass, slots: Some(set(&[7])), ranges: ranges(1) });
        assert_eq!(covering.slots(&Revoked::new()), set(&[1, 7]));
    }
}
