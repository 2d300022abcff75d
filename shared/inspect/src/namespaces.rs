//! The namespaces that were found.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use keysweep_model::glob::{PATTERN_BYTES_MAX, Pattern};
use keysweep_model::memory::ByteEstimate;
use keysweep_model::printable::{Printable, beginning};

use crate::counts::Counts;
use crate::known::{KnownStructure, Recognizer};
use crate::limits::{MEASURED_ONE_IN, NAMESPACES_MAX, SAMPLE_BYTES_MAX};
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

impl Miner {
    /// The namespaces of all keys so far.
    #[must_use]
    pub fn namespaces(&self) -> Namespaces {
        let mut all = Vec::new();
        named(&self.tree, ROOT, &Template::default(), &mut all);
        let patterns: Vec<Pattern> = all.drain(..).map(|(_, row)| row.pattern).collect();
        let patterns: Vec<&[u8]> = patterns.iter().map(Pattern::as_bytes).collect();
        let recognizer = Recognizer::of(&patterns);
        let mut tree = self.tree.clone();
        tree.simplify();
        named(&tree, ROOT, &Template::default(), &mut all);
        for (_, row) in &mut all {
            row.known = recognizer.structure(&row.pattern);
        }
        // Those of equal size in the order of their patterns.
        all.sort_by(|(_, a), (_, b)| {
            (Reverse(a.keys), a.pattern.as_bytes()).cmp(&(Reverse(b.keys), b.pattern.as_bytes()))
        });
        let (mut other_keys, mut other_no_ttl) = (self.other.keys, self.other.no_ttl);
        for (_, row) in all.iter().skip(NAMESPACES_MAX) {
            other_keys = other_keys.saturating_add(row.keys);
            other_no_ttl = other_no_ttl.saturating_add(row.no_ttl);
        }
        all.truncate(NAMESPACES_MAX);
        let mut places = vec![None; tree.len()];
        for (place, (id, _)) in all.iter().enumerate() {
            places[*id as usize] = Some(place);
        }
        let rows = all.into_iter().map(|(_, row)| row).collect();
        Namespaces { rows, other_keys, other_no_ttl, tree, places }
    }
}

impl Namespaces {
    /// The index in `rows` of the namespace of a key; `None` if it is in none of them.
    #[must_use]
    pub fn place_of(&self, name: &[u8]) -> Option<usize> {
        self.places[self.tree.find(name, &mut Scratch::default())? as usize]
    }
}

/// Adds the namespaces at and below `id`, whose names begin with `begun`.
fn named(tree: &Tree, id: NodeId, begun: &Template, all: &mut Vec<(NodeId, Namespace)>) {
    let node = tree.node(id);
    if let Some(counts) = &node.counts {
        all.push((id, Namespace::of(begun, counts)));
    }
    for group in &node.groups {
        let words = group.sorted();
        let words = words.iter().map(|(word, child)| (Some(&**word), *child));
        for (word, child) in words.chain(group.variable.map(|child| (None, child))) {
            named(tree, child, &begun.then(group, word, tree.node(child)), all);
        }
    }
}

impl Namespace {
    fn of(template: &Template, counts: &Counts) -> Self {
        let has_ttl = counts.ttls.median().is_some();
        let sample = |(bytes, length): (&[u8], u64)| {
            if bytes.len() as u64 == length {
                return Printable(bytes).to_string();
            }
            // A character that was cut is left out.
            format!("{}…", Printable(beginning(bytes, SAMPLE_BYTES_MAX - 4)))
        };
        Self {
            template: template.name.clone(),
            pattern: pattern(&template.pattern),
            keys: counts.keys,
            missed_max: counts.missed_max,
            no_ttl: counts.no_ttl,
            // The middle of its bucket may lie above all of them.
            ttl_median_ms: counts.ttls.median().map(|ms| ms.min(counts.ttl_max_ms)),
            ttl_max_ms: has_ttl.then_some(counts.ttl_max_ms),
            memory: memory(counts),
            types: counts.details.types.clone(),
            idle_median_s: counts.details.idle.median(),
            sample_keys: counts.samples().map(sample).collect(),
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
