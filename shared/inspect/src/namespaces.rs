//! The namespaces that were found.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use keysweep_model::excerpt::Excerpt;
use keysweep_model::glob::{PATTERN_BYTES_MAX, Pattern};
use keysweep_model::memory::ByteEstimate;

use crate::counts::Counts;
use crate::known::{KnownStructure, Recognizer};
use crate::largest::{LargeKey, Measured};
use crate::limits::{MEASURED_ONE_IN, NAMESPACES_MAX, PARTS_MAX};
use crate::miner::Miner;
use crate::shape::Scratch;
use crate::template::Template;
use crate::tree::{NodeId, ROOT, Tree};

/// The namespaces of a keyspace.
#[derive(Debug)]
pub struct Namespaces {
    /// The namespaces, those with the most keys first; at most [`NAMESPACES_MAX`].
    pub rows: Vec<Namespace>,
    /// Keys of no namespace in `rows`.
    pub other_keys: u64,
    /// Those of them without TTL.
    pub other_no_ttl: u64,
    /// The largest of the keys that were measured, in descending order; at most [`LARGEST_MAX`].
    ///
    /// [`LARGEST_MAX`]: crate::limits::LARGEST_MAX
    pub largest: Vec<LargeKey>,
    tree: Tree,
    /// The index in `rows` of each node.
    places: Vec<Option<usize>>,
}

/// Keys whose names follow the same template.
#[derive(Clone, Debug, PartialEq)]
pub struct Namespace {
    /// The template, such as `user:{id}:profile`. Braces of names are doubled; unprintable bytes are escaped.
    pub template: String,
    /// A pattern that matches its keys; it may match those of longer templates, too.
    pub pattern: Pattern,
    /// Its keys.
    pub keys: u64,
    /// How many more there may be: 0 as a rule. Above it if the namespace was forgotten for a while, because there were too
    /// many.
    pub missed_max: u64,
    /// Its keys without TTL.
    pub no_ttl: u64,
    /// Its keys without a TTL of their own, whose fields have some.
    pub field_ttls: u64,
    /// The median of the other keys' remaining TTLs in milliseconds, within 1 / 32 as a rule; `None` if no key has one.
    pub ttl_median_ms: Option<u64>,
    /// The longest remaining TTL in milliseconds, exact.
    pub ttl_max_ms: Option<u64>,
    /// Their memory; `None` if no key was measured.
    pub memory: Option<ByteEstimate>,
    /// Keys by type, as the server calls it, of those of which it was looked up.
    pub types: BTreeMap<String, u64>,
    /// The median of idle times in seconds, of the keys of which it was looked up; `None` if the server keeps none.
    pub idle_median_s: Option<u64>,
    /// Some of its keys, shortened, unprintable bytes escaped.
    pub sample_keys: Vec<String>,
    /// The library that keeps them, if one is known by their names.
    pub known: Option<&'static KnownStructure>,
}

/// A namespace, and the nodes of the tree whose keys it has.
struct Found {
    nodes: Vec<NodeId>,
    row: Namespace,
}

impl Miner {
    /// The namespaces of all keys so far. With a `depth`, names of more parts are counted together with all that have the
    /// same first `depth` parts: `user:{id}:*` with two.
    #[must_use]
    pub fn namespaces(&self, depth: Option<NonZeroUsize>) -> Namespaces {
        let mut tree = self.tree.clone();
        tree.simplify();
        let known = self.known(&tree);
        let mut all = found(&tree, depth.map_or(PARTS_MAX, NonZeroUsize::get));
        for Found { nodes, row } in &mut all {
            // That of one of them is a reason for caution.
            row.known = nodes.iter().find_map(|id| known[*id as usize]);
        }
        // Those of equal size in the order of their patterns.
        let order = |of: &Namespace| (Reverse(of.keys), of.pattern.as_bytes().to_vec());
        all.sort_by_cached_key(|found| order(&found.row));
        let (mut other_keys, mut other_no_ttl) = (self.other.keys, self.other.no_ttl);
        for Found { row, .. } in all.iter().skip(NAMESPACES_MAX) {
            other_keys = other_keys.saturating_add(row.keys);
            other_no_ttl = other_no_ttl.saturating_add(row.no_ttl);
        }
        all.truncate(NAMESPACES_MAX);
        let mut places = vec![None; tree.len()];
        for (place, found) in all.iter().enumerate() {
            found.nodes.iter().for_each(|id| places[*id as usize] = Some(place));
        }
        let rows = all.into_iter().map(|found| found.row).collect();
        let mut namespaces = Namespaces { rows, other_keys, other_no_ttl, largest: Vec::new(), tree, places };
        namespaces.largest = self.largest.iter().map(|key| namespaces.large_key(key)).collect();
        namespaces
    }

    /// The library of each node of `simplified`, which is our tree with alike words merged.
    fn known(&self, simplified: &Tree) -> Vec<Option<&'static KnownStructure>> {
        let all = found(&self.tree, PARTS_MAX);
        let patterns: Vec<&[u8]> = all.iter().map(|found| found.row.pattern.as_bytes()).collect();
        let recognizer = Recognizer::of(&patterns);
        let mut known = vec![None; simplified.len()];
        for Found { nodes, row } in found(simplified, PARTS_MAX) {
            for id in nodes {
                known[id as usize] = recognizer.structure(&row.pattern);
            }
        }
        known
    }
}

impl Namespaces {
    /// The index in `rows` of the namespace of a key; `None` if it is in none of them.
    #[must_use]
    pub fn place_of(&self, name: &[u8]) -> Option<usize> {
        self.places[self.tree.find(name, &mut Scratch::default())? as usize]
    }

    fn large_key(&self, of: &Measured) -> LargeKey {
        let place = of.name.whole().and_then(|name| self.place_of(name));
        LargeKey {
            name: of.name.text(),
            bytes: of.bytes.0,
            kind: of.kind.clone(),
            template: place.map(|place| self.rows[place].template.clone()),
        }
    }
}

/// The namespaces of a tree, up to so many parts deep.
fn found(tree: &Tree, depth: usize) -> Vec<Found> {
    let mut all = Vec::new();
    named(tree, ROOT, &Template::default(), depth, &mut all);
    all
}

/// Adds the namespaces at and below `id`, whose names begin with `begun`, up to `depth` parts below.
fn named(tree: &Tree, id: NodeId, begun: &Template, depth: usize, all: &mut Vec<Found>) {
    let node = tree.node(id);
    if let Some(counts) = &node.counts {
        all.push(Found { nodes: vec![id], row: Namespace::of(begun, counts) });
    }
    if depth == 0 {
        all.extend(merged(tree, id, begun));
        return;
    }
    for group in &node.groups {
        let words = group.sorted();
        let words = words.iter().map(|(word, child)| (Some(&**word), *child));
        for (word, child) in words.chain(group.variable.map(|child| (None, child))) {
            named(tree, child, &begun.then(group, word, tree.node(child)), depth - 1, all);
        }
    }
}

/// All keys below `id`, whose names begin with `begun`, as one namespace; `None` if there are none.
fn merged(tree: &Tree, id: NodeId, begun: &Template) -> Option<Found> {
    let nodes: Vec<NodeId> = tree.below(id).into_iter().filter(|below| *below != id).collect();
    let counts = nodes.iter().filter_map(|id| tree.node(*id).counts.as_deref().cloned());
    let counts = counts.reduce(|mut sum, more| {
        sum.merge(more);
        sum
    })?;
    Some(Found { nodes, row: Namespace::of(&begun.and_more(), &counts) })
}

impl Namespace {
    fn of(template: &Template, counts: &Counts) -> Self {
        let has_ttl = counts.ttls.median().is_some();
        Self {
            template: template.name.clone(),
            pattern: pattern(&template.pattern),
            keys: counts.keys,
            missed_max: counts.missed_max,
            no_ttl: counts.no_ttl,
            field_ttls: counts.field_ttls(),
            // The middle of its bucket may lie above all of them.
            ttl_median_ms: counts.ttls.median().map(|ms| ms.min(counts.ttl_max_ms)),
            ttl_max_ms: has_ttl.then_some(counts.ttl_max_ms),
            memory: memory(counts),
            types: counts.details.types.clone(),
            idle_median_s: counts.details.idle.median(),
            sample_keys: counts.samples().map(Excerpt::text).collect(),
            known: None,
        }
    }
}

/// Without an upper bound if there may be more keys.
fn memory(counts: &Counts) -> Option<ByteEstimate> {
    let mut estimate = counts.memory.estimate(MEASURED_ONE_IN)?;
    estimate.unmeasured |= counts.missed_max > 0;
    Some(estimate.bounds())
}

/// The pattern of a template. One that is too long is cut, and matches more.
fn pattern(bytes: &[u8]) -> Pattern {
    let mut cut = bytes.to_vec();
    if cut.len() > PATTERN_BYTES_MAX {
        cut.truncate(PATTERN_BYTES_MAX - 1);
        // Half of an escape would change the meaning of the star.
        let escapes = cut.iter().rev().take_while(|byte| **byte == b'\\').count();
        cut.truncate(cut.len() - escapes % 2);
        cut.push(b'*');
    }
    Pattern::new(cut).unwrap_or_else(|_| everything())
}

#[expect(clippy::expect_used, reason = "one byte is not too long")]
fn everything() -> Pattern {
    Pattern::new(*b"*").expect("a short pattern")
}
