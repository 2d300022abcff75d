//! Makes room in a tree that is full: crowded positions become variable, and then the namespaces with the fewest keys are
//! counted without a name.

use std::cmp::Reverse;

use crate::counts::Counts;
use crate::tree::{ROOT, Tree};

/// Positions with fewer words are not collapsed to make room.
const CROWDED_MIN: usize = 8;

/// Namespaces that lost their names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Evicted {
    /// Their keys.
    pub(crate) keys: u64,
    /// Those without TTL.
    pub(crate) no_ttl: u64,
    /// The most keys that one of them had.
    pub(crate) most: u64,
}

impl Evicted {
    fn add(&mut self, counts: &Counts) {
        self.keys += counts.keys;
        self.no_ttl += counts.no_ttl;
        self.most = self.most.max(counts.keys);
    }
}

impl Tree {
    /// Reduces the tree to `nodes_max` nodes.
    pub(crate) fn relieve(&mut self, nodes_max: usize) -> Evicted {
        let mut evicted = Evicted::default();
        self.prune(ROOT);
        self.collapse_crowded(nodes_max);
        while self.len() > nodes_max {
            self.evict(&mut evicted);
            self.prune(ROOT);
        }
        self.compact();
        evicted
    }

    /// Notes that up to so many keys of each namespace may have been counted without its name.
    pub(crate) fn may_have_missed(&mut self, keys: u64) {
        if keys == 0 {
            return;
        }
        for id in self.below(ROOT) {
            if let Some(counts) = &mut self.node_mut(id).counts {
                counts.missed_max = counts.missed_max.saturating_add(keys);
            }
        }
    }

    /// Collapses positions, the most crowded ones first.
    fn collapse_crowded(&mut self, nodes_max: usize) {
        let mut crowded = Vec::new();
        for id in self.below(ROOT) {
            let groups = self.node(id).groups.iter().filter(|group| group.words.len() >= CROWDED_MIN);
            crowded.extend(groups.map(|group| (Reverse(group.words.len()), id, group.separators.clone())));
        }
        crowded.sort();
        for (_, id, separators) in crowded {
            if self.len() <= nodes_max {
                return;
            }
            // The node may have been merged meanwhile.
            if let Some(place) = self.node(id).groups.iter().position(|group| group.separators == separators)
            {
                self.collapse(id, place);
            }
        }
    }

    /// Drops the counts of a quarter of the namespaces, those with the fewest keys.
    fn evict(&mut self, evicted: &mut Evicted) {
        let mut light = Vec::new();
        for id in self.below(ROOT) {
            light.extend(self.node(id).counts.as_ref().map(|counts| (counts.keys, id)));
        }
        light.sort_unstable();
        let quarter = light.len().div_ceil(4);
        for (_, id) in light.into_iter().take(quarter) {
            if let Some(counts) = self.node_mut(id).counts.take() {
                evicted.add(&counts);
            }
        }
    }
}
