//! The state of a miner as it is sent: its nodes in order, each with its depth. What is read is checked, because it comes
//! from another process.

use keysweep_model::limits::COUNT_MAX;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_bytes::ByteBuf;

use crate::counts::Counts;
use crate::largest::Largest;
use crate::limits::{GROUPS_MAX, HOLES_MAX, NODES_MAX, PARTS_MAX, SEPARATOR_BYTES_MAX, WORD_BYTES_MAX};
use crate::miner::Miner;
use crate::recognize::Classes;
use crate::relief::Evicted;
use crate::tree::{Group, Holes, NodeId, ROOT, Tree};

/// Bytes of a word as a pattern: each may be escaped.
const PATTERN_BYTES_MAX: usize = 2 * WORD_BYTES_MAX;

#[derive(Serialize, Deserialize)]
struct Sent {
    nodes: Vec<SentNode>,
    other_keys: u64,
    other_no_ttl: u64,
    evicted_max: u64,
    largest: Largest,
}

/// A node. The names of its fields are short, because there are many.
#[derive(Serialize, Deserialize)]
struct SentNode {
    /// The number of parts before it, starting at 1.
    #[serde(rename = "d")]
    depth: u8,
    #[serde(rename = "s")]
    separators: ByteBuf,
    /// `None` if it is the variable one of its group.
    #[serde(rename = "w")]
    word: Option<ByteBuf>,
    /// Whether its group is collapsed.
    #[serde(rename = "x")]
    collapsed: bool,
    #[serde(rename = "h")]
    classes: Vec<u16>,
    #[serde(rename = "o")]
    only: Option<ByteBuf>,
    #[serde(rename = "c")]
    counts: Option<Counts>,
}

impl Serialize for Miner {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut nodes = Vec::new();
        write(&self.tree, ROOT, 1, &mut nodes);
        let Evicted { keys: other_keys, no_ttl: other_no_ttl, most: evicted_max } = self.other;
        let largest = self.largest.clone();
        Sent { nodes, other_keys, other_no_ttl, evicted_max, largest }.serialize(serializer)
    }
}

fn write(tree: &Tree, id: NodeId, depth: u8, nodes: &mut Vec<SentNode>) {
    for group in &tree.node(id).groups {
        let words =
            group.sorted().into_iter().map(|(word, child)| (Some(ByteBuf::from(word.into_vec())), child));
        for (word, child) in group.variable.map(|child| (None, child)).into_iter().chain(words) {
            let node = tree.node(child);
            let holes = node.holes.as_deref();
            nodes.push(SentNode {
                depth,
                separators: ByteBuf::from(group.separators.to_vec()),
                word,
                collapsed: group.collapsed,
                classes: holes.into_iter().flat_map(|holes| &holes.classes).map(|class| class.0).collect(),
                only: holes.and_then(|holes| holes.only.clone()).map(|only| ByteBuf::from(only.into_vec())),
                counts: node.counts.as_deref().cloned(),
            });
            write(tree, child, depth + 1, nodes);
        }
    }
}

impl<'de> Deserialize<'de> for Miner {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Sent { nodes, other_keys, other_no_ttl, evicted_max, largest } = Sent::deserialize(deserializer)?;
        let impossible = || de::Error::custom("namespaces that cannot exist");
        let counts = [other_keys, other_no_ttl, evicted_max];
        if counts.into_iter().any(|count| count > COUNT_MAX) || !largest.is_possible(COUNT_MAX) {
            return Err(impossible());
        }
        let other = Evicted { keys: other_keys, no_ttl: other_no_ttl, most: evicted_max };
        read(nodes).map(|tree| Self::with(tree, other, largest)).ok_or_else(impossible)
    }
}

/// The tree of `nodes`; `None` if there is none.
fn read(nodes: Vec<SentNode>) -> Option<Tree> {
    if nodes.len() >= NODES_MAX {
        return None;
    }
    let (mut tree, mut path) = (Tree::default(), vec![ROOT]);
    for node in nodes {
        let depth = usize::from(node.depth);
        if !node.is_possible() || depth == 0 || depth > path.len() {
            return None;
        }
        path.truncate(depth);
        let id = add(&mut tree, *path.last()?, node)?;
        path.push(id);
    }
    Some(tree)
}

fn add(tree: &mut Tree, parent: NodeId, sent: SentNode) -> Option<NodeId> {
    let id = tree.create()?;
    let groups = &mut tree.node_mut(parent).groups;
    let place = groups.iter().position(|group| *group.separators == **sent.separators).unwrap_or_else(|| {
        groups.push(Group { separators: sent.separators.to_vec().into(), ..Group::default() });
        groups.len() - 1
    });
    if groups.len() > GROUPS_MAX {
        return None;
    }
    groups[place].collapsed |= sent.collapsed;
    let (is_word, has_holes) = (sent.word.is_some(), !sent.classes.is_empty());
    let twice = match sent.word {
        Some(word) => groups[place].words.insert(word.into_vec().into(), id).is_some(),
        None => groups[place].variable.replace(id).is_some(),
    };
    if twice || !is_word && sent.classes.len() != 1 {
        return None;
    }
    let node = tree.node_mut(id);
    node.counts = sent.counts.map(Box::new);
    node.holes = has_holes.then(|| {
        let classes = sent.classes.into_iter().map(Classes).collect();
        Box::new(Holes { classes, only: sent.only.map(|only| only.into_vec().into()) })
    });
    Some(id)
}

impl SentNode {
    fn is_possible(&self) -> bool {
        usize::from(self.depth) <= PARTS_MAX
            && self.separators.len() <= SEPARATOR_BYTES_MAX
            && self.word.as_ref().is_none_or(|word| word.len() <= PATTERN_BYTES_MAX)
            && self.classes.len() <= HOLES_MAX
            && self.classes.iter().all(|class| (1..=Classes::ALL.0).contains(class))
            && self.only.as_ref().is_none_or(|only| only.len() <= WORD_BYTES_MAX)
            && self.counts.as_ref().is_none_or(|counts| counts.are_possible(COUNT_MAX))
    }
}
