//! The tree of the parts of names. Every key is counted at exactly one node, the one of its last part; nodes that are
//! merged add up their counts. So the counts of all nodes are exact, whatever is merged, in any order.
//!
//! Among the children of a node, those with the same separators behind them form a group. A group that has too many
//! words is *collapsed*: its words are merged into its variable child, except for some with many keys. From then on no new
//! word enters it, because earlier keys of that word may have been merged; therefore a word that one of two trees may have
//! merged is merged in their sum, too.

use hashbrown::HashMap;

use crate::counts::Counts;
use crate::limits::{END_WORDS_MAX, GROUPS_MAX, INNER_WORDS_MAX, KEPT_ONE_IN, NODES_MAX, WORD_BYTES_MAX};
use crate::recognize::Classes;
use crate::segments::{Segment, Segments};
use crate::shape::{Scratch, Shape, shape};

/// The index of a node.
pub(crate) type NodeId = u32;

/// The node of the empty beginning of all names.
pub(crate) const ROOT: NodeId = 0;

/// A node: a beginning of names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Node {
    /// Of the keys whose names end here.
    pub(crate) counts: Option<Box<Counts>>,
    pub(crate) groups: Vec<Group>,
    /// Of a node with variables.
    pub(crate) holes: Option<Box<Holes>>,
}

/// The variables of a part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Holes {
    /// What each of them is.
    pub(crate) classes: Vec<Classes>,
    /// The bytes of the part, if they were always the same.
    pub(crate) only: Option<Box<[u8]>>,
}

/// The children of a node with the same separators behind them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Group {
    pub(crate) separators: Box<[u8]>,
    /// Children by their part as a pattern.
    pub(crate) words: HashMap<Box<[u8]>, NodeId>,
    /// The child that is variable as a whole.
    pub(crate) variable: Option<NodeId>,
    pub(crate) collapsed: bool,
}

/// The tree.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    nodes: Vec<Node>,
    /// Nodes that are not in use.
    free: Vec<NodeId>,
}

impl Default for Tree {
    fn default() -> Self {
        Self { nodes: vec![Node::default()], free: Vec::new() }
    }
}

impl Group {
    fn new(separators: &[u8]) -> Self {
        Self { separators: separators.into(), ..Self::default() }
    }

    /// How many words there may be before the group is collapsed.
    fn words_max(&self) -> usize {
        if self.separators.is_empty() { END_WORDS_MAX } else { INNER_WORDS_MAX }
    }

    /// Its words with their nodes, in order.
    pub(crate) fn sorted(&self) -> Vec<(Box<[u8]>, NodeId)> {
        let mut words: Vec<_> = self.words.iter().map(|(word, id)| (word.clone(), *id)).collect();
        words.sort_unstable();
        words
    }
}

impl Holes {
    fn of(classes: &[Classes], token: &[u8]) -> Self {
        let only = (token.len() <= WORD_BYTES_MAX).then(|| token.into());
        Self { classes: classes.to_vec(), only }
    }

    /// Adds another part with the same pattern.
    #[inline]
    fn add(&mut self, classes: &[Classes], token: &[u8]) {
        for (its, more) in self.classes.iter_mut().zip(classes) {
            its.add(*more);
        }
        if self.only.as_deref().is_some_and(|only| only != token) {
            self.only = None;
        }
    }

    fn merge(&mut self, other: &Self) {
        for (its, more) in self.classes.iter_mut().zip(&other.classes) {
            its.add(*more);
        }
        if self.only != other.only {
            self.only = None;
        }
    }
}

impl Tree {
    /// The node with this id.
    pub(crate) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id as usize]
    }

    pub(crate) fn node_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id as usize]
    }

    /// The number of nodes in use.
    pub(crate) fn len(&self) -> usize {
        self.nodes.len() - self.free.len()
    }

    /// All nodes below `id`, and itself: parents first, in a fixed order.
    pub(crate) fn below(&self, id: NodeId) -> Vec<NodeId> {
        let (mut all, mut open) = (Vec::new(), vec![id]);
        while let Some(next) = open.pop() {
            all.push(next);
            for group in self.node(next).groups.iter().rev() {
                open.extend(group.sorted().into_iter().rev().map(|(_, child)| child));
                open.extend(group.variable);
            }
        }
        all
    }

    /// The keys below `id`, and at it.
    pub(crate) fn keys(&self, id: NodeId) -> u64 {
        let keys = |id: &NodeId| self.node(*id).counts.as_ref().map_or(0, |counts| counts.keys);
        self.below(id).iter().map(keys).sum()
    }

    /// Whether there is room for no further node.
    pub(crate) fn is_full(&self) -> bool {
        self.len() >= NODES_MAX
    }

    /// A new node; `None` if the tree is full.
    pub(crate) fn create(&mut self) -> Option<NodeId> {
        if let Some(id) = self.free.pop() {
            return Some(id);
        }
        let id = NodeId::try_from(self.nodes.len()).ok().filter(|_| !self.is_full())?;
        self.nodes.push(Node::default());
        Some(id)
    }

    /// The node of a name, if there is one.
    pub(crate) fn find(&self, name: &[u8], scratch: &mut Scratch) -> Option<NodeId> {
        Segments::of(name).try_fold(ROOT, |at, segment| {
            let groups = &self.node(at).groups;
            let group = groups.iter().find(|group| *group.separators == *segment.separators)?;
            match shape(&segment, scratch) {
                Shape::Text(text, _) => group.words.get(text).copied().or(group.variable),
                Shape::Variable(_) => group.variable,
            }
        })
    }

    /// The child of `at` for a part of a name, which is created if there is none. `None` if the tree is full.
    #[inline]
    pub(crate) fn child(&mut self, at: NodeId, segment: &Segment<'_>, shape: &Shape<'_>) -> Option<NodeId> {
        let groups = &self.nodes[at as usize].groups;
        let Some(place) = groups.iter().position(|group| *group.separators == *segment.separators) else {
            return self.new_group(at, segment, shape);
        };
        match *shape {
            Shape::Text(text, classes) => match self.nodes[at as usize].groups[place].words.get(text) {
                Some(id) => {
                    let id = *id;
                    if !classes.is_empty() {
                        self.add_holes(id, classes, segment.token);
                    }
                    Some(id)
                }
                None => self.new_word(at, place, segment, shape),
            },
            Shape::Variable(class) => self.variable(at, place, class, segment.token),
        }
    }

    fn add_holes(&mut self, id: NodeId, classes: &[Classes], token: &[u8]) {
        if let Some(holes) = &mut self.nodes[id as usize].holes {
            holes.add(classes, token);
        }
    }

    /// The variable child of a group.
    #[inline]
    fn variable(&mut self, at: NodeId, place: usize, class: Classes, token: &[u8]) -> Option<NodeId> {
        if let Some(id) = self.nodes[at as usize].groups[place].variable {
            self.add_holes(id, &[class], token);
            return Some(id);
        }
        let id = self.create()?;
        self.nodes[id as usize].holes = Some(Box::new(Holes::of(&[class], token)));
        self.nodes[at as usize].groups[place].variable = Some(id);
        Some(id)
    }

    fn new_group(&mut self, at: NodeId, segment: &Segment<'_>, shape: &Shape<'_>) -> Option<NodeId> {
        let groups = &mut self.nodes[at as usize].groups;
        if groups.len() >= GROUPS_MAX {
            return None;
        }
        groups.push(Group::new(segment.separators));
        self.child(at, segment, shape)
    }

    fn new_word(
        &mut self,
        at: NodeId,
        place: usize,
        segment: &Segment<'_>,
        shape: &Shape<'_>,
    ) -> Option<NodeId> {
        let group = &self.nodes[at as usize].groups[place];
        if !group.collapsed && group.words.len() >= group.words_max() {
            self.collapse(at, place);
        }
        let Shape::Text(text, classes) = *shape else { return None };
        if self.nodes[at as usize].groups[place].collapsed {
            return self.variable(at, place, Classes::WORD, segment.token);
        }
        let id = self.create()?;
        if !classes.is_empty() {
            self.nodes[id as usize].holes = Some(Box::new(Holes::of(classes, segment.token)));
        }
        self.nodes[at as usize].groups[place].words.insert(text.into(), id);
        Some(id)
    }

    /// Collapses a group: all its words become variable, except for those with many keys that are followed by more.
    pub(crate) fn collapse(&mut self, at: NodeId, place: usize) {
        let group = &self.nodes[at as usize].groups[place];
        let words = group.sorted();
        let sizes: Vec<u64> = words.iter().map(|(_, id)| self.keys(*id)).collect();
        let all = sizes.iter().sum::<u64>() + group.variable.map_or(0, |id| self.keys(id));
        let at_end = group.separators.is_empty();
        let light = words.into_iter().zip(sizes);
        let light = light.filter(|(_, keys)| at_end || keys.saturating_mul(KEPT_ONE_IN) < all);
        let light: Vec<Box<[u8]>> = light.map(|((word, _), _)| word).collect();
        self.nodes[at as usize].groups[place].collapsed = true;
        self.merge_words(at, place, &light);
    }

    /// Merges `words` of a group into its variable child.
    pub(crate) fn merge_words(&mut self, at: NodeId, place: usize, words: &[Box<[u8]>]) {
        for word in words {
            let group = &mut self.nodes[at as usize].groups[place];
            let Some(id) = group.words.remove(word) else { continue };
            let target = *group.variable.get_or_insert(id);
            let holes = Holes { classes: vec![Classes::WORD], only: None };
            self.nodes[id as usize].holes = Some(Box::new(holes));
            if target != id {
                self.merge_into(target, id);
            }
        }
    }

    /// Merges a node and all below it into another one.
    pub(crate) fn merge_into(&mut self, target: NodeId, source: NodeId) {
        let Node { counts, groups, holes } = std::mem::take(&mut self.nodes[source as usize]);
        self.free.push(source);
        let node = &mut self.nodes[target as usize];
        if let Some(counts) = counts {
            match &mut node.counts {
                Some(its) => its.merge(*counts),
                none => *none = Some(counts),
            }
        }
        if let (Some(its), Some(holes)) = (&mut node.holes, holes) {
            its.merge(&holes);
        }
        for group in groups {
            self.merge_group(target, group);
        }
    }

    fn merge_group(&mut self, target: NodeId, source: Group) {
        let groups = &mut self.nodes[target as usize].groups;
        let Some(place) = groups.iter().position(|group| group.separators == source.separators) else {
            return groups.push(source);
        };
        if let Some(id) = source.variable {
            match groups[place].variable {
                Some(variable) => self.merge_into(variable, id),
                None => groups[place].variable = Some(id),
            }
        }
        let before = self.nodes[target as usize].groups[place].words.clone();
        let words = source.sorted();
        for (word, id) in &words {
            match before.get(word) {
                Some(same) => self.merge_into(*same, *id),
                None => {
                    self.nodes[target as usize].groups[place].words.insert(word.clone(), *id);
                }
            }
        }
        let group = &mut self.nodes[target as usize].groups[place];
        // A word that a collapsed group does not have may have been merged there.
        let mut lost: Vec<Box<[u8]>> = Vec::new();
        if group.collapsed {
            lost.extend(words.into_iter().map(|(word, _)| word).filter(|word| !before.contains_key(word)));
        }
        if source.collapsed {
            lost.extend(before.into_keys().filter(|word| !source.words.contains_key(word)));
        }
        lost.sort_unstable();
        group.collapsed |= source.collapsed;
        let crowded = !group.collapsed && group.words.len() > group.words_max();
        self.merge_words(target, place, &lost);
        if crowded {
            self.collapse(target, place);
        }
    }

    /// Merges another tree.
    pub(crate) fn merge(&mut self, other: &Self) {
        // Its nodes come behind ours; NODES_MAX is far below the largest id.
        let shift = self.nodes.len() as NodeId;
        let moved = |id: &NodeId| id + shift;
        self.free.extend(other.free.iter().map(moved));
        self.nodes.extend(other.nodes.iter().cloned().map(|mut node| {
            for group in &mut node.groups {
                group.words.values_mut().for_each(|id| *id += shift);
                group.variable = group.variable.as_ref().map(moved);
            }
            node
        }));
        self.merge_into(ROOT, ROOT + shift);
        self.compact();
    }

    /// Moves all nodes to the front.
    pub(crate) fn compact(&mut self) {
        let order = self.below(ROOT);
        let mut places = vec![ROOT; self.nodes.len()];
        for (place, id) in order.iter().enumerate() {
            places[*id as usize] = place as NodeId;
        }
        let mut nodes: Vec<Node> = Vec::with_capacity(order.len());
        for id in &order {
            let mut node = std::mem::take(&mut self.nodes[*id as usize]);
            for group in &mut node.groups {
                group.words.values_mut().for_each(|id| *id = places[*id as usize]);
                group.variable = group.variable.map(|id| places[id as usize]);
            }
            nodes.push(node);
        }
        (self.nodes, self.free) = (nodes, Vec::new());
    }

    /// Removes what is below `id` and has no counts. Returns whether nothing is left of it.
    pub(crate) fn prune(&mut self, id: NodeId) -> bool {
        let groups = std::mem::take(&mut self.nodes[id as usize].groups);
        let kept: Vec<Group> = groups.into_iter().filter_map(|group| self.pruned(group)).collect();
        let node = &mut self.nodes[id as usize];
        node.groups = kept;
        node.groups.is_empty() && node.counts.is_none()
    }

    fn pruned(&mut self, mut group: Group) -> Option<Group> {
        for (word, child) in group.sorted() {
            if self.prune(child) {
                group.words.remove(&word);
                self.release(child);
            }
        }
        if let Some(child) = group.variable.filter(|child| self.prune(*child)) {
            group.variable = None;
            self.release(child);
        }
        (group.variable.is_some() || !group.words.is_empty()).then_some(group)
    }

    fn release(&mut self, id: NodeId) {
        self.nodes[id as usize] = Node::default();
        self.free.push(id);
    }
}
