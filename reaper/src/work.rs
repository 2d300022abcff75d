//! The work of an attempt: which candidates are acted on through which ledger, at which node, in which calls. Pure.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use keysweep_model::ids::NodeId;
use keysweep_model::key::Key;
use keysweep_model::ledger::{Ledger, LedgerKind, node_ledgers};
use keysweep_model::messages::{Group, ReapBatch, Reason};

/// Calls per write. Each write is a round trip; a server reads 16 KiB from a client at a time and then serves other
/// clients.
const CALLS_MAX: usize = 64;

/// Bytes of keys in one write, unless it is a single key.
const BYTES_MAX: usize = 128 << 10;

/// A candidate of a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    /// Its group.
    pub(crate) of: &'a Group,
    /// The number of the group in the batch.
    pub(crate) group: usize,
    /// Its index in the group.
    pub(crate) index: usize,
}

/// The number of a group, and an index in it: the identity of a candidate within its batch.
pub(crate) type PlaceId = (usize, usize);

impl<'a> Place<'a> {
    pub(crate) fn id(&self) -> PlaceId {
        (self.group, self.index)
    }

    pub(crate) fn key(&self) -> &'a Key {
        &self.of.keys[self.index]
    }
}

/// Consecutive candidates of one ledger, for one call of the guard.
#[derive(Clone, Debug)]
pub(crate) struct Work<'a> {
    pub(crate) ledger: Ledger,
    /// How many candidates the ledger records.
    pub(crate) recorded: usize,
    /// How many of them come before these.
    pub(crate) before: usize,
    pub(crate) reason: Reason,
    /// Whether the node of the ledger can act on these candidates. Otherwise its ledger leaves them to those of their
    /// slots.
    pub(crate) here: bool,
    pub(crate) places: Vec<Place<'a>>,
}

impl<'a> Work<'a> {
    /// Removes all but the first `count` candidates and returns them, if there are any.
    fn split_off(&mut self, count: usize) -> Option<Self> {
        let places = self.places.split_off(count.min(self.places.len()));
        (!places.is_empty()).then(|| Self { before: self.before + count, places, ..self.clone_head() })
    }

    /// The same ledger without candidates.
    fn clone_head(&self) -> Self {
        Self { places: Vec::new(), ..*self }
    }

    /// Splits it where the answer of `here` changes from one candidate to the next.
    fn split_by(self, here: impl Fn(u16) -> bool) -> Vec<Self> {
        let mut parts: Vec<Self> = Vec::new();
        let mut before = self.before;
        // The candidates of a group are in one slot.
        for group in self.places.chunk_by(|one, next| one.group == next.group) {
            let here = here(group[0].of.slot);
            match parts.last_mut() {
                Some(part) if part.here == here => part.places.extend(group),
                _ => parts.push(Self { before, here, places: group.to_vec(), ..self.clone_head() }),
            }
            before += group.len();
        }
        parts
    }
}

fn ledger(batch: &ReapBatch, kind: LedgerKind, group: usize) -> Ledger {
    let slot = batch.groups[group].slot;
    // A batch has at most `BATCH_KEYS_MAX` groups.
    Ledger { kind, batch: batch.batch, group: u32::try_from(group).unwrap_or(u32::MAX), slot }
}

fn places<'a>(batch: &'a ReapBatch, group: usize) -> impl Iterator<Item = Place<'a>> {
    let of = &batch.groups[group];
    (0..of.keys.len()).map(move |index| Place { of, group, index })
}

/// All candidates of `batch`, by its node ledgers; empty if it has none.
pub(crate) fn node_work(batch: &ReapBatch) -> Vec<Work<'_>> {
    let sizes: Vec<(Reason, usize)> =
        batch.groups.iter().map(|group| (group.reason, group.keys.len())).collect();
    let work = |groups: Vec<usize>| {
        let first = *groups.first()?;
        let places: Vec<Place<'_>> = groups.into_iter().flat_map(|group| places(batch, group)).collect();
        let ledger = ledger(batch, LedgerKind::Node, first);
        let reason = batch.groups[first].reason;
        Some(Work { ledger, recorded: places.len(), before: 0, reason, here: true, places })
    };
    node_ledgers(&sizes, batch.ledger_keys).into_iter().filter_map(work).collect()
}

/// The candidates `wanted`, by the ledgers of their groups.
pub(crate) fn slot_work<'a>(batch: &'a ReapBatch, wanted: &BTreeSet<PlaceId>) -> Vec<Work<'a>> {
    let mut work: Vec<Work<'a>> = Vec::new();
    for (group, index) in wanted.iter().copied() {
        let of = &batch.groups[group];
        let place = Place { of, group, index };
        match work.last_mut() {
            Some(last) if last.ledger.group as usize == group && last.before + last.places.len() == index => {
                last.places.push(place);
            }
            _ => work.push(Work {
                ledger: ledger(batch, LedgerKind::Slot, group),
                recorded: of.keys.len(),
                before: index,
                reason: of.reason,
                here: true,
                places: vec![place],
            }),
        }
    }
    work
}

/// The candidates of `batch` that have no node ledger: all or none.
pub(crate) fn without_node_ledger(batch: &ReapBatch) -> BTreeSet<PlaceId> {
    let groups = if batch.ledger_keys == 0 { batch.groups.len() } else { 0 };
    (0..groups).flat_map(|group| places(batch, group)).map(|place| place.id()).collect()
}

/// Where work is done.
pub(crate) struct Routes<'a> {
    /// By the node that serves the slot of the ledger.
    pub(crate) nodes: BTreeMap<NodeId, Vec<Work<'a>>>,
    /// A slot of a ledger that no node serves, if there is one: its work is not done.
    pub(crate) unserved: Option<u16>,
}

/// Distributes `work` to the nodes that `owner` returns, and marks what is in slots of other nodes.
pub(crate) fn by_node<'a, 'n>(work: Vec<Work<'a>>, owner: impl Fn(u16) -> Option<&'n NodeId>) -> Routes<'a> {
    let mut routes = Routes { nodes: BTreeMap::new(), unserved: None };
    for work in work {
        let slot = work.ledger.slot;
        let Some(node) = owner(slot) else {
            routes.unserved = Some(slot);
            continue;
        };
        let parts = work.split_by(|slot| owner(slot) == Some(node));
        routes.nodes.entry(node.clone()).or_default().extend(parts);
    }
    routes
}

/// What bounds one write.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WriteLimits {
    /// The most keys, by the pace of the run.
    pub(crate) keys: Option<u64>,
    /// The most bytes of values that one call compares, because the server serves no other client during a call.
    pub(crate) call_value_bytes: u64,
}

/// Takes the calls of the next write from `left`: at least one candidate. `value_bytes` is what comparing a candidate
/// reads.
pub(crate) fn next_write<'a>(
    left: &mut VecDeque<Work<'a>>,
    limits: WriteLimits,
    value_bytes: impl Fn(&Place<'a>) -> u64,
) -> Vec<Work<'a>> {
    let (mut calls, mut keys, mut bytes) = (Vec::new(), 0, 0);
    while calls.len() < CALLS_MAX
        && let Some(mut work) = left.pop_front()
    {
        let (mut fitting, mut values) = (0, 0);
        for place in work.places.iter().filter(|_| work.here) {
            let (length, value) = (place.key().len(), value_bytes(place));
            let full = keys >= limits.keys.unwrap_or(u64::MAX) || bytes + length > BYTES_MAX;
            let is_first = calls.is_empty() && fitting == 0;
            let fits = fitting == 0 || value == 0 || values + value <= limits.call_value_bytes;
            if full && !is_first || !fits {
                break;
            }
            (fitting, keys, bytes, values) = (fitting + 1, keys + 1, bytes + length, values + value);
        }
        if work.here && fitting == 0 {
            left.push_front(work);
            break;
        }
        let rest = if work.here { work.split_off(fitting) } else { None };
        calls.push(work);
        if let Some(rest) = rest {
            left.push_front(rest);
        }
    }
    calls
}

#[cfg(test)]
pub(crate) mod tests;
