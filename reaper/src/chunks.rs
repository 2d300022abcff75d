//! Which groups of a batch are sent to which node in one write. Pure.

use std::collections::BTreeMap;

use keysweep_model::ids::NodeId;
use keysweep_model::messages::{Group, ReapBatch};

/// Script calls per write. Each write is a round trip; a server reads 16 KiB from a client at a time and then serves
/// other clients.
const CALLS_MAX: usize = 64;

/// Bytes of keys in one write, unless it is a single group.
const BYTES_MAX: usize = 128 << 10;

/// Groups with their numbers, for one write to one node.
pub(crate) type Chunk<'a> = Vec<(usize, &'a Group)>;

/// How many of `groups` form one piece of at most `keys_max` keys; at least one.
pub(crate) fn piece(groups: &[(usize, &Group)], keys_max: Option<u64>) -> usize {
    let Some(keys_max) = keys_max else { return groups.len() };
    let mut keys = 0;
    let fitting = groups.iter().take_while(|(_, group)| {
        keys += group.keys.len() as u64;
        keys <= keys_max
    });
    fitting.count().max(1).min(groups.len())
}

/// Where the groups of a batch are sent.
pub(crate) struct Routes<'a> {
    /// By node, in writes of bounded size.
    pub(crate) nodes: BTreeMap<NodeId, Vec<Chunk<'a>>>,
    /// A slot of the batch that no node serves, if there is one: its groups are not sent.
    pub(crate) unserved: Option<u16>,
}

/// Distributes the groups of `batch` to the nodes that `owner` returns.
pub(crate) fn by_node<'a>(batch: &'a ReapBatch, owner: impl Fn(u16) -> Option<NodeId>) -> Routes<'a> {
    let mut nodes: BTreeMap<NodeId, Vec<Chunk<'a>>> = BTreeMap::new();
    let (mut bytes, mut unserved) = (0, None);
    for (number, group) in batch.groups.iter().enumerate() {
        let Some(owner) = owner(group.slot) else {
            unserved = Some(group.slot);
            continue;
        };
        let chunks = nodes.entry(owner).or_default();
        let cost: usize = group.keys.iter().map(|key| key.len()).sum();
        match chunks.last_mut() {
            Some(chunk) if chunk.len() < CALLS_MAX && bytes + cost <= BYTES_MAX => {
                bytes += cost;
                chunk.push((number, group));
            }
            _ => {
                bytes = cost;
                chunks.push(vec![(number, group)]);
            }
        }
    }
    Routes { nodes, unserved }
}

#[cfg(test)]
mod tests {
    use keysweep_model::key::Key;
    use keysweep_model::messages::Reason;

    use super::*;

    #[test]
    fn a_piece_has_at_least_one_group_and_at_most_the_allowed_keys() {
        let group = |keys: usize| Group {
            slot: 0,
            reason: Reason::Stale,
            keys: vec![Key::new(*b"k"); keys],
            expires_at_ms: Vec::new(),
            fingerprints: Vec::new(),
        };
        let groups = [group(100), group(30), group(100)];
        let all: Vec<(usize, &Group)> = groups.iter().enumerate().collect();
        let check = |groups: &[(usize, &Group)], keys_max, expected| {
            assert_eq!(piece(groups, keys_max), expected, "{keys_max:?}");
        };
        check(&all, None, 3);
        check(&all, Some(1_000), 3);
        check(&all, Some(229), 2);
        check(&all, Some(130), 2);
        check(&all, Some(1), 1);
        check(&[], Some(1), 0);
    }
}
