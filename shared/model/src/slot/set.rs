//! Sets of hash slots as merged ranges: small on the wire and fast to query, since nodes own few ranges.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::SLOTS;
use crate::limits::SLOT_RANGES_MAX;

/// An invalid range: it ends before it starts, or goes beyond the last slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("accept the slot range {first}-{last}: slots go from 0 to 16383, in ascending order")]
pub struct SlotRangeError {
    first: u16,
    last: u16,
}

/// A set of slots: ascending inclusive ranges that neither overlap nor touch. That is also its encoding; other ranges
/// are normalized when they are read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Vec<(u16, u16)>", into = "Vec<(u16, u16)>")]
pub struct SlotSet(Vec<(u16, u16)>);

impl SlotSet {
    /// The empty set.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Every slot of a cluster.
    #[must_use]
    pub fn all() -> Self {
        Self(vec![(0, SLOTS - 1)])
    }

    /// The union of inclusive ranges, in any order.
    ///
    /// # Errors
    /// [`SlotRangeError`] for the first invalid range.
    pub fn from_ranges(ranges: impl IntoIterator<Item = (u16, u16)>) -> Result<Self, SlotRangeError> {
        let mut set = Self::new();
        for (first, last) in ranges {
            set.insert_range(first, last)?;
        }
        Ok(set)
    }

    /// Adds the slots from `first` to `last`, both included.
    ///
    /// # Errors
    /// [`SlotRangeError`] if `first > last` or `last` is not a slot; the set is then unchanged.
    pub fn insert_range(&mut self, first: u16, last: u16) -> Result<(), SlotRangeError> {
        if first > last || last >= SLOTS {
            return Err(SlotRangeError { first, last });
        }
        self.merge(first, last);
        Ok(())
    }

    /// Replaces all ranges that overlap or touch the valid range `first..=last` by one.
    fn merge(&mut self, mut first: u16, mut last: u16) {
        let from = self.0.partition_point(|&(_, end)| end + 1 < first);
        let to = self.0.partition_point(|&(start, _)| start <= last + 1);
        if let [(start, _), ..] = self.0[from..to] {
            first = first.min(start);
        }
        if let [.., (_, end)] = self.0[from..to] {
            last = last.max(end);
        }
        self.0.splice(from..to, [(first, last)]);
    }

    /// Whether `slot` is in the set.
    #[must_use]
    pub fn contains(&self, slot: u16) -> bool {
        let at = self.0.partition_point(|&(_, last)| last < slot);
        self.0.get(at).is_some_and(|&(first, _)| first <= slot)
    }

    /// The number of slots in the set.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.iter().map(|&(first, last)| usize::from(last - first) + 1).sum()
    }

    /// Whether no slot is in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The slots, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        self.0.iter().flat_map(|&(first, last)| first..=last)
    }

    /// The inclusive ranges: ascending and disjoint.
    #[must_use]
    pub fn ranges(&self) -> &[(u16, u16)] {
        &self.0
    }

    /// Adds the slots of `other`.
    pub fn extend(&mut self, other: &Self) {
        for &(first, last) in &other.0 {
            self.merge(first, last);
        }
    }

    /// The slots that are in one of the two sets.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let mut union = self.clone();
        union.extend(other);
        union
    }

    /// The slots that are in both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let (mut ours, mut theirs) = (self.0.as_slice(), other.0.as_slice());
        let mut both = Vec::new();
        while let ([a, after_a @ ..], [b, after_b @ ..]) = (ours, theirs) {
            let (first, last) = (a.0.max(b.0), a.1.min(b.1));
            if first <= last {
                both.push((first, last));
            }
            if a.1 < b.1 { ours = after_a } else { theirs = after_b }
        }
        Self(both)
    }

    /// The slots that are in this set and not in `other`.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        self.intersection(&other.complement())
    }

    /// The slots that are not in this set.
    fn complement(&self) -> Self {
        let mut gaps = Vec::with_capacity(self.0.len() + 1);
        let mut next = 0;
        for &(first, last) in &self.0 {
            if next < first {
                gaps.push((next, first - 1));
            }
            next = last + 1;
        }
        if next < SLOTS {
            gaps.push((next, SLOTS - 1));
        }
        Self(gaps)
    }
}

impl FromIterator<u16> for SlotSet {
    /// Collects slots, in any order.
    ///
    /// # Panics If a number is not a slot: ignoring it could hide a gap in coverage.
    fn from_iter<I: IntoIterator<Item = u16>>(slots: I) -> Self {
        let mut set = Self::new();
        for slot in slots {
            assert!(slot < SLOTS, "slot {slot} does not exist");
            set.merge(slot, slot);
        }
        set
    }
}

impl TryFrom<Vec<(u16, u16)>> for SlotSet {
    type Error = String;

    fn try_from(ranges: Vec<(u16, u16)>) -> Result<Self, String> {
        if ranges.len() > SLOT_RANGES_MAX {
            return Err(format!("{} ranges of slots are more than {SLOT_RANGES_MAX}", ranges.len()));
        }
        Self::from_ranges(ranges).map_err(|e| e.to_string())
    }
}

impl From<SlotSet> for Vec<(u16, u16)> {
    fn from(set: SlotSet) -> Self {
        set.0
    }
}

impl fmt::Display for SlotSet {
    /// As in `0-5460, 5470`; the empty set is `none`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("none");
        }
        for (index, (first, last)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            if first == last {
                write!(f, "{comma}{first}")?;
            } else {
                write!(f, "{comma}{first}-{last}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::wire;

    #[test]
    fn shown_and_refused() {
        assert_eq!(SlotSet::new().to_string(), "none");
        let set = SlotSet::from_ranges([(5470, 5470), (100, 5460), (0, 99)]).unwrap();
        assert_eq!(set.to_string(), "0-5460, 5470");
        assert_eq!(set.difference(&SlotSet::all()), SlotSet::new());
        assert_eq!(SlotSet::all().difference(&set).len() + set.len(), 16_384);
        for wrong in ["[[1,0]]", "[[0,16384]]", "[[0,70000]]", "[[-1,2]]", "[[0,1,2]]", "[3]"] {
            assert!(serde_json::from_str::<SlotSet>(wrong).is_err(), "{wrong}");
        }
        let put_right: SlotSet = serde_json::from_str("[[7,9],[0,5],[3,6]]").unwrap();
        assert_eq!(put_right.ranges(), [(0, 9)]);
    }

    type Ranges = Vec<(u16, u16)>;

    fn ranges() -> impl Strategy<Value = Ranges> {
        // Few slots, at both ends, so that ranges often touch.
        let slot = prop_oneof![0..40_u16, SLOTS - 20..SLOTS];
        proptest::collection::vec((slot, 0..6_u16).prop_map(|(a, n)| (a, (a + n).min(SLOTS - 1))), 0..12)
    }

    fn model(ranges: &Ranges) -> BTreeSet<u16> {
        ranges.iter().flat_map(|&(first, last)| first..=last).collect()
    }

    fn check(set: &SlotSet, expected: &BTreeSet<u16>) {
        assert!(set.iter().eq(expected.iter().copied()), "{set}");
        assert!(set.ranges().windows(2).all(|two| two[0].1 + 1 < two[1].0), "not merged: {set}");
        assert_eq!((set.len(), set.is_empty()), (expected.len(), expected.is_empty()));
        assert!(
            (0..50).chain(SLOTS - 30..SLOTS + 2).all(|slot| set.contains(slot) == expected.contains(&slot))
        );
        assert_eq!(&expected.iter().rev().copied().collect::<SlotSet>(), set);
        let packed = wire::encode(set).unwrap();
        assert_eq!(&wire::decode::<SlotSet>(&packed).unwrap(), set);
    }

    proptest! {
        #[test]
        fn behaves_as_a_set(a in ranges(), b in ranges()) {
            let (model_a, model_b) = (model(&a), model(&b));
            let a = SlotSet::from_ranges(a).unwrap();
            let b = SlotSet::from_ranges(b).unwrap();
            check(&a, &model_a);
            check(&a.union(&b), &(&model_a | &model_b));
            check(&a.intersection(&b), &(&model_a & &model_b));
            check(&a.difference(&b), &(&model_a - &model_b));
        }

        #[test]
        fn any_ranges_are_harmless(ranges: Vec<(u16, u16)>, bytes: Vec<u8>) {
            if let Ok(set) = SlotSet::try_from(ranges) {
                prop_assert!(set.len() <= 16_384);
            }
            let _ = wire::decode::<SlotSet>(&[&[wire::FORMAT], bytes.as_slice()].concat());
        }
    }
}
