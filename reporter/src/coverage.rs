//! Which parts of the keyspace were read. A slot counts if a report lists it, and a table if the ranges of one pass
//! leave no gap. Pure.

use std::collections::{BTreeMap, BTreeSet};

use keysweep_model::ids::TaskId;
use keysweep_model::messages::Covered;
use keysweep_model::range::CursorRange;
use keysweep_model::result::Extent;
use keysweep_model::slot::SlotSet;

/// The covered parts of all scan generations.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct CoverageTracker {
    generations: BTreeMap<u32, CoveredParts>,
}

/// By scan generation: the slots whose earlier coverage no longer counts. On a standalone server, slot 0 represents the
/// whole database.
pub(crate) type Revoked = BTreeMap<u32, SlotSet>;

#[derive(Clone, Debug, Default, PartialEq)]
struct CoveredParts {
    slots: SlotSet,
    passes: BTreeMap<TaskId, CoveredPass>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct CoveredPass {
    ranges: Vec<CursorRange>,
    /// Slots that every part of the pass covers; `None` on a standalone server.
    slots: Option<SlotSet>,
}

impl CoverageTracker {
    pub(crate) fn add(&mut self, generation: u32, covered: &Covered) {
        self.generations.entry(generation).or_default().add(covered);
    }

    /// The slots that were read completely.
    pub(crate) fn slots(&self, revoked: &Revoked) -> SlotSet {
        let read =
            |generation| self.generations.get(&generation).map(CoveredParts::slots).unwrap_or_default();
        let unrevoked = |all: SlotSet, generation| match revoked.get(&generation) {
            Some(revoked) => all.difference(revoked).union(&read(generation)),
            None => all.union(&read(generation)),
        };
        self.all_generations(revoked).into_iter().fold(SlotSet::new(), unrevoked)
    }

    /// How much of a standalone server's table was read.
    pub(crate) fn database(&self, revoked: &Revoked) -> Extent {
        Extent::of(
            self.unrevoked(revoked, CoveredParts::database),
            self.unrevoked(revoked, CoveredParts::some_of_database),
        )
    }

    /// The ranges that were read of a standalone server's table: those of the latest generation that has any, in the pass
    /// that has most of them. Sorted.
    pub(crate) fn ranges(&self) -> &[CursorRange] {
        let passes = |parts: &'_ CoveredParts| parts.passes.values().any(|pass| pass.slots.is_none());
        let latest = self.generations.values().rev().find(|parts| passes(parts));
        let tables = latest.into_iter().flat_map(|parts| parts.passes.values());
        let fullest = tables.filter(|pass| pass.slots.is_none()).max_by_key(|pass| pass.ranges.len());
        fullest.map_or(&[], |pass| pass.ranges.as_slice())
    }

    /// Whether `read` holds for a generation and was not revoked since.
    fn unrevoked(&self, revoked: &Revoked, read: fn(&CoveredParts) -> bool) -> bool {
        let read = |generation| self.generations.get(&generation).is_some_and(read);
        self.all_generations(revoked).into_iter().fold(false, |so_far, generation| {
            so_far && !revoked.contains_key(&generation) || read(generation)
        })
    }

    /// The generations in which a part was read or revoked, in order. A report may claim any generation.
    fn all_generations(&self, revoked: &Revoked) -> BTreeSet<u32> {
        self.generations.keys().chain(revoked.keys()).copied().collect()
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
    /// Whether the sorted ranges leave no gap.
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
        let mut tracker = CoverageTracker::default();
        let pass = TaskId::new();
        for range in ranges {
            tracker.add(0, &Covered::Ranges { pass, slots: None, ranges: vec![*range] });
        }
        tracker.database(&Revoked::new())
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
    fn the_ranges_of_a_table_are_those_of_the_fullest_pass_that_is_newest() {
        let mut tracker = CoverageTracker::default();
        let add = |tracker: &mut CoverageTracker, generation, pass, slots, range| {
            tracker.add(generation, &Covered::Ranges { pass, slots, ranges: vec![range] });
        };
        let (one, two, three) = (TaskId::new(), TaskId::new(), TaskId::new());
        let part = |n| CursorRange::part(n, 2);
        assert_eq!(tracker.ranges(), []);
        add(&mut tracker, 0, one, None, part(2));
        add(&mut tracker, 0, one, None, part(0));
        add(&mut tracker, 0, two, None, part(1));
        // Giant slots of a cluster are no table.
        add(&mut tracker, 1, three, Some(SlotSet::all()), CursorRange::WHOLE);
        assert_eq!(tracker.ranges(), [part(0), part(2)]);
        add(&mut tracker, 2, three, None, part(3));
        assert_eq!(tracker.ranges(), [part(3)]);
    }

    #[test]
    fn revoked_slots_count_after_they_are_read_again() {
        let set = |slots: &[u16]| slots.iter().copied().collect::<SlotSet>();
        let mut tracker = CoverageTracker::default();
        // Records of a later generation may arrive first.
        tracker.add(2, &Covered::Slots(set(&[2])));
        tracker.add(0, &Covered::Slots(set(&[1, 2, 3])));
        let mut revoked = Revoked::new();
        assert_eq!(tracker.slots(&revoked), set(&[1, 2, 3]));
        revoked.insert(1, set(&[1, 2]));
        assert_eq!(tracker.slots(&revoked), set(&[2, 3]));
        tracker.add(1, &Covered::Slots(set(&[1])));
        assert_eq!(tracker.slots(&revoked), set(&[1, 2, 3]));
        revoked.insert(2, set(&[1, 2]));
        assert_eq!(tracker.slots(&revoked), set(&[2, 3]), "the second reading was earlier");

        let mut tracker = CoverageTracker::default();
        let whole = || Covered::Ranges { pass: TaskId::new(), slots: None, ranges: vec![CursorRange::WHOLE] };
        tracker.add(0, &whole());
        let revoked = Revoked::from([(1, set(&[0]))]);
        assert_eq!(tracker.database(&revoked), Extent::Nothing, "the reading was revoked");
        tracker.add(1, &whole());
        assert_eq!(tracker.database(&revoked), Extent::All);
    }

    /// A loop over all generations up to this one would take hours.
    #[test]
    fn a_report_of_an_unplanned_generation_costs_no_time() {
        let mut tracker = CoverageTracker::default();
        tracker.add(u32::MAX, &Covered::Slots(SlotSet::all()));
        assert_eq!(tracker.slots(&Revoked::new()), SlotSet::all());
        assert_eq!(tracker.database(&Revoked::new()), Extent::Nothing);
    }

    #[test]
    fn a_slot_counts_if_every_part_of_the_pass_covers_it() {
        let mut tracker = CoverageTracker::default();
        let (pass, set) = (TaskId::new(), |slots: &[u16]| slots.iter().copied().collect::<SlotSet>());
        tracker.add(0, &Covered::Slots(set(&[1])));
        let ranges = |n| vec![CursorRange::part(n, 1)];
        tracker.add(0, &Covered::Ranges { pass, slots: Some(set(&[7, 8])), ranges: ranges(0) });
        assert_eq!(tracker.slots(&Revoked::new()), set(&[1]));
        tracker.add(0, &Covered::Ranges { pass, slots: Some(set(&[7])), ranges: ranges(1) });
        assert_eq!(tracker.slots(&Revoked::new()), set(&[1, 7]));
    }
}
