//! Where a run is: which part of the keyspace is read, in work, or left, by node. For display, and small: neighbouring parts
//! in the same state are one span, and a node has a bounded number of spans. Pure.

use keysweep_model::range::CursorRange;
use keysweep_model::slot::SlotSet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::limits::{MAP_NODES_MAX, MAP_POSITIONS, MAP_SPANS_MAX};

/// The parts of the keyspace by state.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScanMap {
    /// What is counted.
    pub unit: MapUnit,
    /// One strip per node, by its first slot; last, slots that no node serves, if there are any.
    pub strips: Vec<Strip>,
    /// Nodes that are left out, because there are too many.
    pub more_nodes: usize,
}

/// What a map counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MapUnit {
    /// Slots of a cluster.
    #[default]
    Slots,
    /// Equal parts of the table of a standalone server, 1,024 of them.
    Positions,
}

/// The parts that one node serves.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Strip {
    /// `host:port`; null for slots that no node serves.
    pub address: Option<String>,
    /// The number of parts in each state.
    pub counts: PartCounts,
    /// The parts in ascending order, without a gap.
    pub spans: Vec<Span>,
    /// So many neighbouring parts are shown as one, in the state of them that matters most; 1 if each is shown.
    pub grain: u16,
}

/// Neighbouring parts of a node in the same state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Span {
    /// The first part.
    pub first: u16,
    /// The last part.
    pub last: u16,
    /// How many of the node's parts it has: other nodes may serve some in between.
    pub count: u16,
    /// Their state.
    pub state: PartState,
}

/// The state of a part of the keyspace. A later one matters more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum PartState {
    /// It was read completely.
    Read,
    /// It was not read, because its node has no key without TTL.
    Skipped,
    /// Its task is planned.
    Waiting,
    /// Its task is handed out.
    InWork,
    /// It was handed out before, and is planned again.
    Requeued,
    /// It was not read, and is not planned.
    Uncovered,
}

/// A number of parts for each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PartCounts {
    /// See [`PartState::Read`].
    pub read: usize,
    /// See [`PartState::Skipped`].
    pub skipped: usize,
    /// See [`PartState::Waiting`].
    pub waiting: usize,
    /// See [`PartState::InWork`].
    pub in_work: usize,
    /// See [`PartState::Requeued`].
    pub requeued: usize,
    /// See [`PartState::Uncovered`].
    pub uncovered: usize,
}

impl ScanMap {
    /// The map of nodes with their parts. A part is in the state of the first of `layers` that has it, and otherwise
    /// uncovered.
    pub(super) fn new(
        unit: MapUnit,
        nodes: Vec<(Option<String>, SlotSet)>,
        layers: &[(PartState, SlotSet)],
    ) -> Self {
        let shown = nodes.len().min(MAP_NODES_MAX);
        let spans_max = MAP_SPANS_MAX / shown.max(1);
        let strip = |(address, parts)| Strip { address, ..Strip::new(parts, layers, spans_max) };
        let more_nodes = nodes.len() - shown;
        Self { unit, strips: nodes.into_iter().take(shown).map(strip).collect(), more_nodes }
    }
}

impl Strip {
    fn new(parts: SlotSet, layers: &[(PartState, SlotSet)], spans_max: usize) -> Self {
        let (mut left, mut fine, mut counts) = (parts, Vec::new(), PartCounts::default());
        for (state, set) in layers {
            let here = left.intersection(set);
            left = left.difference(&here);
            *counts.of(*state) += here.len();
            fine.extend(spans(&here, *state));
        }
        *counts.of(PartState::Uncovered) += left.len();
        fine.extend(spans(&left, PartState::Uncovered));
        fine.sort_by_key(|span| span.first);
        let mut spans = joined(fine.iter().copied());
        let mut grain = 1;
        while spans.len() > spans_max.max(1) {
            grain *= 2;
            spans = joined(coarser(&fine, grain).into_iter());
        }
        Self { address: None, counts, spans, grain }
    }
}

impl PartCounts {
    fn of(&mut self, state: PartState) -> &mut usize {
        match state {
            PartState::Read => &mut self.read,
            PartState::Skipped => &mut self.skipped,
            PartState::Waiting => &mut self.waiting,
            PartState::InWork => &mut self.in_work,
            PartState::Requeued => &mut self.requeued,
            PartState::Uncovered => &mut self.uncovered,
        }
    }
}

fn spans(parts: &SlotSet, state: PartState) -> impl Iterator<Item = Span> {
    parts.ranges().iter().map(move |&(first, last)| Span { first, last, count: last - first + 1, state })
}

/// The spans with neighbours in the same state as one.
fn joined(spans: impl Iterator<Item = Span>) -> Vec<Span> {
    let mut all: Vec<Span> = Vec::new();
    for span in spans {
        match all.last_mut() {
            Some(before) if before.state == span.state => {
                (before.last, before.count) = (span.last, before.count + span.count);
            }
            _ => all.push(span),
        }
    }
    all
}

/// The same parts in groups of `grain`, each in the state of its part that matters most.
fn coarser(spans: &[Span], grain: u16) -> Vec<Span> {
    let mut groups: Vec<Span> = Vec::new();
    for span in spans {
        let mut first = span.first;
        while first <= span.last {
            let room =
                groups.last().filter(|group| group.count < grain).map_or(grain, |group| grain - group.count);
            let last = span.last.min(first.saturating_add(room - 1));
            let count = last - first + 1;
            match groups.last_mut().filter(|group| group.count < grain) {
                Some(group) => {
                    (group.last, group.count) = (last, group.count + count);
                    group.state = group.state.max(span.state);
                }
                None => groups.push(Span { first, last, count, state: span.state }),
            }
            first = last + 1;
        }
    }
    groups
}

/// All positions of a table.
pub(super) fn whole_table() -> SlotSet {
    positions([(0, MAP_POSITIONS - 1)])
}

/// The positions that one of `ranges` touches.
pub(super) fn touched<'a>(ranges: impl IntoIterator<Item = &'a CursorRange>) -> SlotSet {
    let touched = |range: &CursorRange| {
        let last = range.to.map_or(MAP_POSITIONS - 1, |to| position(to.saturating_sub(1)));
        (position(range.from), last)
    };
    let ranges = ranges.into_iter().filter(|range| range.to.is_none_or(|to| to > range.from));
    positions(ranges.map(touched))
}

/// The positions that `ranges`, which are sorted, contain completely.
pub(super) fn contained(ranges: &[CursorRange]) -> SlotSet {
    let mut gaps = Vec::new();
    let mut end = Some(0);
    for range in ranges {
        match end {
            Some(at) if range.from > at => gaps.push(CursorRange { from: at, to: Some(range.from) }),
            _ => {}
        }
        end = end.and_then(|at| range.to.map(|to| to.max(at)));
    }
    gaps.extend(end.map(|at| CursorRange { from: at, to: None }));
    whole_table().difference(&touched(&gaps))
}

fn positions(ranges: impl IntoIterator<Item = (u16, u16)>) -> SlotSet {
    // There are fewer positions than slots.
    SlotSet::from_ranges(ranges).unwrap_or_default()
}

/// The position of a cursor's position in the table.
#[expect(clippy::cast_possible_truncation, reason = "the quotient is less than the number of positions")]
fn position(at: u64) -> u16 {
    (at / (1 << (u64::BITS - MAP_POSITIONS.ilog2()))) as u16
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn set(ranges: &[(u16, u16)]) -> SlotSet {
        SlotSet::from_ranges(ranges.iter().copied()).expect("slots")
    }

    fn strip(
        parts: &[(u16, u16)],
        layers: &[(PartState, SlotSet)],
        max: usize,
    ) -> Vec<(u16, u16, u16, PartState)> {
        let strip = Strip::new(set(parts), layers, max);
        strip.spans.iter().map(|span| (span.first, span.last, span.count, span.state)).collect()
    }

    #[test]
    fn a_part_is_in_the_first_state_that_has_it() {
        use PartState::{InWork, Read, Uncovered};
        let layers = [(InWork, set(&[(3, 4)])), (Read, set(&[(0, 7)]))];
        assert_eq!(
            strip(&[(0, 9)], &layers, 99),
            [(0, 2, 3, Read), (3, 4, 2, InWork), (5, 7, 3, Read), (8, 9, 2, Uncovered)]
        );
        // Slots of other nodes in between do not divide a span.
        assert_eq!(strip(&[(0, 2), (6, 6)], &layers, 99), [(0, 6, 4, Read)]);
        let counts = Strip::new(set(&[(0, 9)]), &layers, 99).counts;
        assert_eq!(counts, PartCounts { read: 6, in_work: 2, uncovered: 2, ..PartCounts::default() });
    }

    #[test]
    fn a_strip_with_too_many_spans_is_coarser_and_hides_no_gap() {
        use PartState::{Read, Uncovered};
        let even: SlotSet = (0..1_000).step_by(2).collect();
        let one = [(Read, set(&[(0, 499)])), (Read, even)];
        let strip = Strip::new(set(&[(0, 999)]), &one, 10);
        assert_eq!((strip.grain, strip.counts.uncovered), (2, 250));
        let spans: Vec<_> = strip.spans.iter().map(|span| (span.first, span.last, span.state)).collect();
        assert_eq!(spans, [(0, 499, Read), (500, 999, Uncovered)]);
    }

    #[test]
    fn positions_of_a_table_are_whole_or_touched() {
        let (half, end) = (1 << 63, u64::MAX);
        let range = |from, to| CursorRange { from, to };
        let check = |ranges: &[CursorRange], inside: &[(u16, u16)], touching: &[(u16, u16)]| {
            assert_eq!((contained(ranges), touched(ranges)), (set(inside), set(touching)), "{ranges:?}");
        };
        check(&[], &[], &[]);
        check(&[CursorRange::WHOLE], &[(0, 1_023)], &[(0, 1_023)]);
        check(&[range(0, Some(half))], &[(0, 511)], &[(0, 511)]);
        check(&[range(0, Some(half + 1))], &[(0, 511)], &[(0, 512)]);
        check(&[range(1, Some(half)), range(half, None)], &[(1, 1_023)], &[(0, 1_023)]);
        check(&[range(half, None), range(end, None)], &[(512, 1_023)], &[(512, 1_023)]);
        // Some thousand requested keys of a table that is read in one lane.
        check(&[range(0, Some(5_000))], &[], &[(0, 0)]);
    }

    proptest! {
        #[test]
        fn each_part_is_in_one_span(slots: Vec<(u16, u8)>, states: Vec<(u16, u8)>, max in 1_usize..40) {
            let ranges = |of: &[(u16, u8)]| {
                let range = |(first, more): &(u16, u8)| (first % 16_000, first % 16_000 + u16::from(*more));
                SlotSet::from_ranges(of.iter().map(range)).expect("slots")
            };
            let layers = [(PartState::InWork, ranges(&states)), (PartState::Read, SlotSet::all())];
            let parts = ranges(&slots);
            let strip = Strip::new(parts.clone(), &layers, max);
            let total: usize = strip.spans.iter().map(|span| usize::from(span.count)).sum();
            prop_assert_eq!(total, parts.len());
            prop_assert!(strip.spans.len() <= max);
            prop_assert_eq!(strip.counts.in_work, parts.intersection(&layers[0].1).len());
            prop_assert!(strip.spans.windows(2).all(|two| two[0].last < two[1].first && two[0].state != two[1].state));
        }
    }
}
