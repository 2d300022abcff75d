//! Merges namespaces that a person would name together: words whose continuations are alike, such as tenants or queues, and
//! words that each stand for a single key. On the finished tree, so that all counts stay exact.
//!
//! How alike words have to be depends on how many they are: with the same continuations of many names, a few suffice; if
//! all go on with an id only (`cache:products:7`), it takes many, because regions of a cache look like that, too.

use std::collections::BTreeSet;

use crate::tree::{Group, NodeId, ROOT, Tree};

/// Continuations that are compared, per word.
const CONTINUATIONS_MAX: usize = 64;

/// So many words with so many common continuations that have a name are alike.
const ALIKE: [(usize, usize); 3] = [(3, 4), (16, 1), (32, 0)];

/// At the beginning of names, words have to be more to be alike: `user:…` and `admin:…` may well be.
const ALIKE_FIRST: usize = 16;

/// So many words that each stand for a single key are named together.
const SINGLES_MIN: usize = 8;

/// The continuations of a word: patterns of what follows, and whether they contain a word.
type Continuations = BTreeSet<(Vec<u8>, bool)>;

impl Tree {
    /// Merges what is alike.
    pub(crate) fn simplify(&mut self) {
        self.simplify_below(ROOT);
        self.compact();
    }

    fn simplify_below(&mut self, id: NodeId) {
        for place in 0..self.node(id).groups.len() {
            if self.node(id).groups[place].separators.is_empty() {
                if id != ROOT {
                    self.merge_singles(id, place);
                }
            } else {
                self.merge_alike(id, place);
            }
        }
        let children =
            |group: &Group| group.words.values().copied().chain(group.variable).collect::<Vec<_>>();
        let mut children: Vec<NodeId> = self.node(id).groups.iter().flat_map(children).collect();
        children.sort_unstable();
        children.into_iter().for_each(|child| self.simplify_below(child));
    }

    /// Merges the words of a group at the end of names that stand for one key each.
    fn merge_singles(&mut self, id: NodeId, place: usize) {
        let is_single = |child: &NodeId| self.node(*child).groups.is_empty() && self.keys(*child) == 1;
        let words = self.node(id).groups[place].sorted();
        let singles: Vec<Box<[u8]>> =
            words.into_iter().filter(|(_, child)| is_single(child)).map(|(word, _)| word).collect();
        if singles.len() >= SINGLES_MIN {
            self.merge_words(id, place, &singles);
        }
    }

    /// Merges the words of a group that are alike, and what is alike to its variable child.
    fn merge_alike(&mut self, id: NodeId, place: usize) {
        let group = &self.node(id).groups[place];
        let mut words: Vec<(Box<[u8]>, u64, Continuations)> = group
            .sorted()
            .into_iter()
            .map(|(word, child)| (word, self.keys(child), self.continuations(child)))
            .collect();
        words.sort_by_key(|(_, keys, _)| std::cmp::Reverse(*keys));
        let variable = group.variable.map(|child| self.continuations(child));
        let is_first = id == ROOT;
        // One set of words may be alike, and then go into the variable child.
        let seeds = variable.iter().chain(words.iter().map(|(_, _, continuations)| continuations));
        let alike = seeds.take(CONTINUATIONS_MAX).find_map(|seed| {
            let merged = variable.as_ref() == Some(seed);
            let members = words.iter().filter_map(|(word, _, its)| Some((&**word, common(seed, its)?)));
            let mut members: Vec<(&[u8], usize)> = members.collect();
            members.sort_by_key(|(_, named)| std::cmp::Reverse(*named));
            largest(&members, usize::from(merged), is_first)
        });
        if let Some(alike) = alike {
            self.merge_words(id, place, &alike);
        }
    }

    /// What follows a node: at most [`CONTINUATIONS_MAX`], in the tree's order.
    fn continuations(&self, id: NodeId) -> Continuations {
        let mut all = Continuations::new();
        self.continue_from(id, (Vec::new(), false), &mut all);
        all
    }

    fn continue_from(&self, id: NodeId, (before, named): (Vec<u8>, bool), all: &mut Continuations) {
        let node = self.node(id);
        if all.len() >= CONTINUATIONS_MAX {
            return;
        }
        if node.counts.is_some() {
            all.insert((before.clone(), named));
        }
        for group in &node.groups {
            let words = group.sorted();
            let variable = group.variable.map(|child| (Box::from(*b"*"), child));
            for (word, child) in variable.into_iter().chain(words) {
                let text = [before.as_slice(), &word, &group.separators].concat();
                self.continue_from(child, (text, named || *word != *b"*"), all);
            }
        }
    }
}

/// How many continuations with a name two words have in common; `None` if they differ in more than half of those of the
/// one that has fewer.
fn common(seed: &Continuations, its: &Continuations) -> Option<usize> {
    let shared = seed.intersection(its);
    let (mut all, mut named) = (0, 0);
    for (_, is_named) in shared {
        all += 1;
        named += usize::from(*is_named);
    }
    (all > 0 && all * 2 > seed.len().min(its.len())).then_some(named)
}

/// The most words that are alike, from `members` with their numbers of common continuations, in descending order;
/// `variable` more are merged already.
fn largest(members: &[(&[u8], usize)], variable: usize, is_first: bool) -> Option<Vec<Box<[u8]>>> {
    let fits = |count: &usize| {
        let (words, named) = (count + variable, members[count - 1].1);
        ALIKE.iter().any(|(least, common)| {
            let least = if is_first { (*least).max(ALIKE_FIRST) } else { *least };
            words >= least && named >= *common
        })
    };
    let count = (1..=members.len()).rev().find(fits)?;
    Some(members[..count].iter().map(|(word, _)| Box::from(*word)).collect())
}
