//! Which groups of a batch go to which node in one write. Pure.

use std::collections::BTreeMap;

use shared::ids::NodeId;
use shared::messages::{Group, ReapBatch};

/// Script calls in one write: other clients of the node get their turn between writes.
const CALLS_MAX: usize = 16;

/// Bytes of keys in one write, unless it is a single group.
const BYTES_MAX: usize = 128 << 10;

/// Groups by number, for one write to one node.
pub(crate) type Chunk<'a> = Vec<(usize, &'a Group)>;

/// The groups of `batch` by the node that `owner` names, in writes of bounded size.
///
/// # Errors
/// The slot that nobody serves, if there is one.
pub(crate) fn by_node<'a>(
    batch: &'a ReapBatch,
    owner: impl Fn(u16) -> Option<NodeId>,
) -> Result<BTreeMap<NodeId, Vec<Chunk<'a>>>, u16> {
    let mut nodes: BTreeMap<NodeId, Vec<Chunk<'a>>> = BTreeMap::new();
    let mut bytes = 0;
    for (number, group) in batch.groups.iter().enumerate() {
        let chunks = nodes.entry(owner(group.slot).ok_or(group.slot)?).or_default();
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
    Ok(nodes)
}
