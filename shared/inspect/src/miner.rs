//! Counts keys by namespace, one after the other.

use crate::counts::{Counts, Lifetime};
use crate::details::KeyDetails;
use crate::largest::Largest;
use crate::limits::{NODES_MAX, NODES_SENT_MAX};
use crate::relief::Evicted;
use crate::sampling::{Chosen, Sampling};
use crate::segments::Segments;
use crate::shape::{Scratch, shape};
use crate::tree::{NodeId, ROOT, Tree};

/// How much room is made at once.
const ROOM: usize = NODES_MAX / 4;

/// Counts keys by namespace, in bounded memory. Within the limits, the result does not depend on the order of keys and
/// merges; beyond them, which namespaces are distinguished does, but each count is that of its namespace.
#[derive(Debug, Default)]
pub struct Miner {
    pub(crate) tree: Tree,
    /// Keys without a namespace.
    pub(crate) other: Evicted,
    pub(crate) largest: Largest,
    scratch: Scratch,
    /// Which keys are measured; `None`: none.
    sampling: Option<Sampling>,
}

impl Miner {
    pub(crate) fn with(tree: Tree, other: Evicted, largest: Largest) -> Self {
        Self { tree, other, largest, ..Self::default() }
    }

    /// A miner without keys that has some of them measured.
    #[must_use]
    pub fn sampling(sampling: Sampling) -> Self {
        Self { sampling: Some(sampling), ..Self::default() }
    }

    /// The same without keys.
    #[must_use]
    pub fn fresh(&self) -> Self {
        Self { sampling: self.sampling.as_ref().map(Sampling::fresh), ..Self::default() }
    }

    /// Counts a key, and says whether to measure it: see [`Miner::measured`].
    pub fn add(&mut self, name: &[u8], lifetime: Lifetime) -> Option<Chosen> {
        let at = self.count(name, lifetime)?;
        let counts = self.tree.node_mut(at).counts.as_mut()?;
        self.sampling.as_mut()?.choose(name, counts)
    }

    /// Counts a key of which everything is known that ever will be, but its memory.
    pub fn add_known(&mut self, name: &[u8], lifetime: Lifetime, known: KeyDetails<'_>) {
        let at = self.count(name, lifetime);
        if let Some(counts) = at.and_then(|at| self.tree.node_mut(at).counts.as_mut()) {
            counts.details.add(known);
        }
    }

    /// Counts a key; returns the place of its namespace, if it has one.
    #[inline]
    fn count(&mut self, name: &[u8], lifetime: Lifetime) -> Option<NodeId> {
        let mut at = self.locate(name);
        if at.is_none() && self.tree.is_full() {
            self.relieve(NODES_MAX - ROOM);
            at = self.locate(name);
        }
        let Some(at) = at else {
            self.other.keys += 1;
            self.other.no_ttl += u64::from(lifetime == Lifetime::Unlimited);
            return None;
        };
        let missed_max = self.other.most;
        let counts = &mut self.tree.node_mut(at).counts;
        counts.get_or_insert_with(|| Box::new(Counts::after(missed_max))).add(name, lifetime);
        Some(at)
    }

    /// Adds what was found of a key that was chosen. Its namespace may have been forgotten meanwhile, and then it counts only
    /// among the largest keys.
    pub fn measured(&mut self, name: &[u8], chosen: Chosen, found: KeyDetails<'_>) {
        self.largest.add(name, found);
        let place = self.tree.find(name, &mut self.scratch);
        let Some(counts) = place.and_then(|id| self.tree.node_mut(id).counts.as_mut()) else { return };
        if let Some(bytes) = found.bytes {
            counts.memory.measured(chosen.kind, bytes);
        }
        counts.details.add(found);
    }

    fn locate(&mut self, name: &[u8]) -> Option<NodeId> {
        let Self { tree, scratch, .. } = self;
        Segments::of(name).try_fold(ROOT, |at, segment| {
            let shape = shape(&segment, scratch);
            tree.child(at, &segment, &shape)
        })
    }

    /// Adds the keys of another miner.
    pub fn merge(&mut self, other: &Self) {
        let mut theirs = other.tree.clone();
        // Each may have evicted what the other one has.
        self.tree.may_have_missed(other.other.most);
        theirs.may_have_missed(self.other.most);
        self.tree.merge(&theirs);
        self.largest.merge(&other.largest);
        self.add_other(other.other);
        if self.tree.len() > NODES_MAX {
            self.relieve(NODES_MAX - ROOM);
        }
    }

    /// Adds keys whose names are unknown.
    pub fn add_unnamed(&mut self, keys: u64, no_ttl: u64) {
        // Any namespace may have had them.
        self.add_other(Evicted { keys, no_ttl, most: keys });
        self.tree.may_have_missed(keys);
    }

    /// Makes the state small enough for a message.
    pub fn shrink(&mut self) {
        if self.tree.len() > NODES_SENT_MAX {
            self.relieve(NODES_SENT_MAX);
        }
    }

    fn relieve(&mut self, nodes_max: usize) {
        let evicted = self.tree.relieve(nodes_max);
        self.add_other(evicted);
    }

    fn add_other(&mut self, more: Evicted) {
        self.other.keys = self.other.keys.saturating_add(more.keys);
        self.other.no_ttl = self.other.no_ttl.saturating_add(more.no_ttl);
        // A namespace may be evicted each time.
        self.other.most = self.other.most.saturating_add(more.most);
    }

    /// The keys that were counted.
    #[must_use]
    pub fn keys(&self) -> u64 {
        self.tree.keys(ROOT).saturating_add(self.other.keys)
    }
}
