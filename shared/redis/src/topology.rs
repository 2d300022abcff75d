//! The topology: primaries, replicas and slots, as reported by a cluster node or for a standalone server.

use std::collections::{BTreeSet, HashMap};

use keysweep_model::ids::NodeId;
use keysweep_model::slot::SlotSet;
use redis::Value;

use super::conn::{Batch, Conn};
use super::error::{RedisError, RedisErrorKind};
use super::reply_size::ReplyUnit;
use super::shards::{self, Shard, ShardNode};
use crate::limits::REPLICAS_MAX;

/// The node name of a standalone deployment.
const STANDALONE: &str = "standalone";

/// The node of a standalone deployment.
pub(super) fn standalone_node() -> NodeId {
    NodeId::new(STANDALONE)
}

/// A primary in the topology of a deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Primary {
    /// Its node id.
    pub node: NodeId,
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// The slots it serves; empty on a standalone server.
    pub slots: SlotSet,
    /// Host and port of its replicas; only in a cluster, because a standalone server reports them itself.
    pub replicas: Vec<(String, u16)>,
}

/// The primaries and replicas of a deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    /// Whether it is a cluster.
    pub cluster: bool,
    /// The primaries.
    pub primaries: Vec<Primary>,
    /// The replicas: one of them may become a primary.
    pub replicas: BTreeSet<NodeId>,
}

impl Topology {
    /// Whether `node` belongs to it, as a primary or a replica.
    #[must_use]
    pub fn has(&self, node: &NodeId) -> bool {
        self.replicas.contains(node) || self.primaries.iter().any(|primary| primary.node == *node)
    }

    /// The primary that serves `slot`.
    #[must_use]
    pub fn owner(&self, slot: u16) -> Option<&Primary> {
        if self.cluster {
            self.primaries.iter().find(|primary| primary.slots.contains(slot))
        } else {
            self.primaries.first()
        }
    }
}

/// Host and port of the server behind `conn`.
pub(super) fn host_and_port(conn: &Conn) -> (&str, u16) {
    let (host, port) = conn.address().rsplit_once(':').unwrap_or((conn.address(), "0"));
    (host, port.parse().unwrap_or_default())
}

/// The topology of the one server behind `conn`.
pub(super) fn standalone(conn: &Conn) -> Topology {
    let (host, port) = host_and_port(conn);
    let primary = Primary {
        node: standalone_node(),
        host: host.to_owned(),
        port,
        slots: SlotSet::new(),
        replicas: Vec::new(),
    };
    Topology { cluster: false, primaries: vec![primary], replicas: BTreeSet::new() }
}

/// The topology as reported by the node behind `conn`, which was reached as `host`.
pub(super) async fn cluster_topology(conn: &Conn, host: &str) -> Result<Topology, RedisError> {
    let shards = ask_shards(conn).await?;
    topology_of(shards, host, conn.encrypted())
        .map_err(|twice| RedisError::new(RedisErrorKind::Unavailable, conn.address(), twice))
}

/// The topology of `shards`, as reported by a node that was reached as `host`.
///
/// # Errors
/// Names the slots that two primaries claim: keys there would be read, counted and acted on at both.
fn topology_of(shards: Vec<Shard>, host: &str, tls: bool) -> Result<Topology, String> {
    let replicas = shards.iter().flat_map(|shard| &shard.nodes).filter(|node| !node.primary);
    let replicas = replicas.map(|node| node.id.clone()).collect();
    let mut primaries: Vec<Primary> = Vec::new();
    let (mut taken, mut places) = (SlotSet::new(), HashMap::new());
    for primary in shards.into_iter().filter_map(|shard| primary_of(shard, host, tls)) {
        let at = *places.entry(primary.node.clone()).or_insert(primaries.len());
        let own = primaries.get(at).map(|known| known.slots.clone()).unwrap_or_default();
        if !taken.difference(&own).intersection(&primary.slots).is_empty() {
            return Err(claimed_twice(&primaries, &primary));
        }
        taken.extend(&primary.slots);
        match primaries.get_mut(at) {
            // A primary that is listed twice is one.
            Some(known) => known.slots.extend(&primary.slots),
            None => primaries.push(primary),
        }
    }
    Ok(Topology { cluster: true, primaries, replicas })
}

/// The error for slots that `late` claims although one of `primaries` has them.
fn claimed_twice(primaries: &[Primary], late: &Primary) -> String {
    let both =
        |primary: &&Primary| primary.node != late.node && !primary.slots.intersection(&late.slots).is_empty();
    let name = |primary: &Primary| format!("`{}` at `{}:{}`", primary.node, primary.host, primary.port);
    let first = primaries.iter().find(both);
    let slots = first.map(|first| first.slots.intersection(&late.slots)).unwrap_or_default();
    format!(
        "the nodes {} and {} both claim the slots {slots}, so the owner of their keys is unknown; see \
         `redis-cli --cluster check`",
        first.map(name).unwrap_or_default(),
        name(late)
    )
}

/// The reply of `CLUSTER` to the subcommand `about`: it grows with the cluster.
async fn description(seed: &Conn, about: &[u8]) -> Result<Value, RedisError> {
    let mut batch = Batch::new();
    batch.add(&[b"CLUSTER", about]);
    let reply = seed.sized((ReplyUnit::Topology, 1), batch).await?.pop().unwrap_or(Value::Nil);
    seed.fault(&reply).map_or(Ok(reply), Err)
}

/// `CLUSTER SHARDS`, or `CLUSTER SLOTS` on servers older than 7.0.
async fn ask_shards(seed: &Conn) -> Result<Vec<Shard>, RedisError> {
    let bad = |e: super::ParseError| RedisError::new(RedisErrorKind::Protocol, seed.address(), e.to_string());
    match description(seed, b"SHARDS").await {
        Ok(reply) => shards::parse_shards(&reply).map_err(bad),
        Err(fault)
            if matches!(fault.kind, RedisErrorKind::CommandError | RedisErrorKind::PermissionDenied) =>
        {
            let reply = description(seed, b"SLOTS").await?;
            shards::parse_slots(&reply).map_err(bad)
        }
        Err(fault) => Err(fault),
    }
}

/// The primary of a shard that serves slots. `queried` is the host that was queried, for servers that do not know
/// their own address.
fn primary_of(shard: Shard, queried: &str, tls: bool) -> Option<Primary> {
    if shard.slots.is_empty() {
        return None;
    }
    let (mut primaries, replicas): (Vec<_>, Vec<_>) = shard.nodes.into_iter().partition(|node| node.primary);
    primaries.sort_by_key(|node| !node.online);
    let node = primaries.into_iter().next()?;
    let at = |node: &ShardNode| {
        let host = if node.host.is_empty() { queried } else { &node.host };
        (host.to_owned(), node.port_for(tls))
    };
    let (host, port) = at(&node);
    // The replicas' health is read from themselves: what other nodes report of a new one is outdated.
    let replicas = replicas.iter().take(REPLICAS_MAX).map(at).collect();
    Some(Primary { node: node.id, host, port, slots: shard.slots, replicas })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(id: &str, port: u16, first: u16, last: u16) -> Shard {
        let node = |id: &str, primary| ShardNode {
            id: NodeId::new(id),
            host: "10.0.0.1".to_owned(),
            port,
            tls_port: None,
            primary,
            online: true,
        };
        let slots = SlotSet::from_ranges([(first, last)]).unwrap();
        Shard { slots, nodes: vec![node(id, true), node(&format!("{id}-replica"), false)] }
    }

    #[test]
    fn topology_is_refused_if_two_primaries_claim_slots() {
        let shards = vec![shard("a", 1, 0, 100), shard("b", 2, 101, 200), shard("c", 3, 90, 150)];
        let error = topology_of(shards, "queried", false).unwrap_err();
        assert_eq!(
            error,
            "the nodes `a` at `10.0.0.1:1` and `c` at `10.0.0.1:3` both claim the slots 90-100, so the owner of their \
             keys is unknown; see `redis-cli --cluster check`"
        );
    }

    #[test]
    fn primary_listed_twice_counts_once() {
        let shards = vec![
            shard("a", 1, 0, 100),
            shard("b", 2, 101, 200),
            shard("a", 1, 50, 100),
            shard("a", 1, 300, 300),
        ];
        let topology = topology_of(shards, "queried", false).unwrap();
        let slots: Vec<String> = topology.primaries.iter().map(|primary| primary.slots.to_string()).collect();
        assert_eq!(slots, ["0-100, 300", "101-200"]);
    }

    #[test]
    fn primary_listed_twice_cannot_claim_slots_of_others() {
        let shards = vec![shard("a", 1, 0, 100), shard("b", 2, 101, 200), shard("a", 1, 150, 160)];
        let error = topology_of(shards, "queried", false).unwrap_err();
        assert!(error.contains("`b` at `10.0.0.1:2` and `a`") && error.contains("150-160"), "{error}");
    }
}
