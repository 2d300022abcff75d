//! A standalone server or a cluster: its nodes, who serves which slot, and what happened to keys.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Range;

use keysweep_model::slot::{SLOTS, slot_of};
use mlua::Lua;

use super::keyspace::{KeyEntry, Keyspace, Value};
use super::node::{Node, random_id};

/// The first port.
const PORT: u16 = 7_000;

/// The ground truth: what one command of a client did to one key.
#[derive(Clone, Debug)]
pub(crate) struct Effect {
    pub(crate) key: Vec<u8>,
    /// The key before.
    pub(crate) before: KeyEntry,
    pub(crate) kind: EffectKind,
    /// The node's clock.
    pub(crate) at_ms: u64,
    /// Since the world began.
    pub(crate) after_ms: u64,
    /// Whether a failover has undone it.
    pub(crate) is_lost: bool,
    node: String,
}

/// What was done to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EffectKind {
    /// It was removed.
    Removed,
    /// It was given another expiry.
    Expires(u64),
}

/// A deployment.
pub(crate) struct Deployment {
    pub(crate) nodes: Vec<Node>,
    pub(crate) is_cluster: bool,
    /// The node of each slot.
    pub(crate) owners: Vec<usize>,
    /// The slots that are being moved, and where to.
    pub(crate) moving: BTreeMap<u16, usize>,
    pub(crate) epoch: u64,
    /// What keysweep did to keys of others.
    pub(crate) effects: Vec<Effect>,
    version: u64,
    ports: Range<u16>,
    pub(crate) lua: Lua,
}

impl Deployment {
    /// So many empty primaries; one is a standalone server.
    pub(crate) fn new(primaries: usize, with_replicas: bool, now_ms: u64) -> Self {
        let mut ports = PORT..u16::MAX;
        let mut node = || Node::new(address(&mut ports), with_replicas, now_ms);
        let nodes: Vec<Node> = (0..primaries).map(|_| node()).collect();
        let owners = (0..usize::from(SLOTS)).map(|slot| slot * primaries / usize::from(SLOTS)).collect();
        Self {
            nodes,
            is_cluster: primaries > 1,
            owners,
            moving: BTreeMap::new(),
            epoch: 1,
            effects: Vec::new(),
            version: 0,
            ports,
            lua: Lua::new(),
        }
    }

    /// The node that answers at an address.
    pub(crate) fn serving(&self, address: SocketAddr) -> Option<usize> {
        self.nodes.iter().position(|node| node.address == address && node.is_up)
    }

    /// A number that no write had before.
    pub(crate) fn next_version(&mut self) -> u64 {
        self.version += 1;
        self.version
    }

    /// The node that serves a key.
    pub(crate) fn owner(&self, key: &[u8]) -> usize {
        if self.is_cluster { self.owners[usize::from(slot_of(key))] } else { 0 }
    }

    /// Another client writes a key.
    pub(crate) fn write(&mut self, key: &[u8], value: Value, ttl_ms: Option<u64>, now_ms: u64) {
        let (at, version) = (self.holder(key), self.next_version());
        let node = &mut self.nodes[at];
        let clock = node.clock_ms(now_ms);
        let expires_ms = ttl_ms.map(|ttl| clock + ttl);
        node.offset += 100;
        node.keys.insert(key.to_vec(), KeyEntry { value, expires_ms, used_ms: clock, version });
    }

    /// Where a key is, or would be written: at the old owner of a slot that is being moved as long as it has the key.
    fn holder(&self, key: &[u8]) -> usize {
        let owner = self.owner(key);
        let moved = self.moving.get(&slot_of(key));
        match moved {
            Some(to) if !self.nodes[owner].keys.has(key) => *to,
            _ => owner,
        }
    }

    /// Another client gives a key a TTL, or removes it.
    pub(crate) fn touch(&mut self, key: &[u8], ttl_ms: Option<u64>, now_ms: u64) {
        let at = self.holder(key);
        let node = &mut self.nodes[at];
        let clock = node.clock_ms(now_ms);
        node.offset += 50;
        match ttl_ms {
            None => drop(node.keys.remove(key)),
            Some(ttl) => {
                if let Some(entry) = node.keys.live_mut(key, clock) {
                    entry.expires_ms = Some(clock + ttl);
                }
            }
        }
    }

    /// Records what keysweep did at a node.
    pub(crate) fn record(&mut self, at: usize, key: &[u8], before: KeyEntry, kind: EffectKind, at_ms: u64) {
        if !key.starts_with(b"keysweep:") {
            let node = self.nodes[at].id.clone();
            let after_ms = crate::clock::elapsed_ms();
            self.effects.push(Effect {
                key: key.to_vec(),
                before,
                kind,
                at_ms,
                after_ms,
                is_lost: false,
                node,
            });
        }
    }

    /// The replica of a node has what the node has.
    pub(crate) fn replicate(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        if node.replica.is_some() {
            node.replica = Some(node.keys.clone());
        }
    }

    /// A node dies, and its replica becomes the primary, without what it did not get.
    pub(crate) fn fail_over(&mut self, at: usize, now_ms: u64) {
        let Some(replica) = self.nodes[at].replica.clone() else { return };
        let address = if self.is_cluster { address(&mut self.ports) } else { self.nodes[at].address };
        let (old, cut) = (self.nodes[at].clone(), self.nodes[at].cut + 1);
        for effect in &mut self.effects {
            let is_undone = |keys: &Keyspace| {
                keys.iter().any(|(key, entry)| {
                    *key == effect.key
                        && entry.version == effect.before.version
                        && entry.expires_ms == effect.before.expires_ms
                })
            };
            if effect.node == old.id && is_undone(&replica) {
                effect.is_lost = true;
            }
        }
        self.nodes[at] = Node {
            keys: replica.clone(),
            replica: Some(replica),
            replication_id: random_id(),
            ahead_ms: old.ahead_ms,
            cut,
            ..Node::new(address, true, now_ms)
        };
        self.moving.retain(|_, to| *to != at);
        self.epoch += 1;
    }

    /// Begins to move a slot, moves its keys one by one, or ends the move.
    pub(crate) fn move_slot(&mut self, slot: u16, to: usize, step: MoveStep) {
        let from = self.owners[usize::from(slot)];
        if from == to {
            return;
        }
        match step {
            MoveStep::Begin => drop(self.moving.insert(slot, to)),
            MoveStep::Some(part) if self.moving.get(&slot) == Some(&to) => {
                let keys: Vec<Vec<u8>> = self.nodes[from].keys.in_slot(slot).cloned().collect();
                self.migrate(from, to, &keys[..keys.len() * usize::from(part) / 100]);
            }
            MoveStep::End if self.moving.get(&slot) == Some(&to) => {
                let keys: Vec<Vec<u8>> = self.nodes[from].keys.in_slot(slot).cloned().collect();
                self.migrate(from, to, &keys);
                self.moving.remove(&slot);
                self.owners[usize::from(slot)] = to;
                self.epoch += 1;
            }
            MoveStep::Some(_) | MoveStep::End => {}
        }
    }

    fn migrate(&mut self, from: usize, to: usize, keys: &[Vec<u8>]) {
        for key in keys {
            if let Some(entry) = self.nodes[from].keys.remove(key) {
                self.nodes[to].keys.insert(key.clone(), entry);
            }
        }
        (self.nodes[from].offset, self.nodes[to].offset) =
            (self.nodes[from].offset + 1, self.nodes[to].offset + 1);
    }

    /// All keys of others that clients can read at `now_ms`. A node may have keys of slots that it no longer serves: those
    /// that its replica had when they were moved.
    pub(crate) fn live(&self, now_ms: u64) -> BTreeMap<Vec<u8>, KeyEntry> {
        let of_node = |(at, node): (usize, &Node)| {
            let clock = node.clock_ms(now_ms);
            let is_live = |(key, entry): &(&Vec<u8>, &KeyEntry)| {
                !key.starts_with(b"keysweep:")
                    && entry.expires_ms.is_none_or(|expires| expires > clock)
                    && (self.owner(key) == at || self.moving.get(&slot_of(key)) == Some(&at))
            };
            let live = node.keys.iter().filter(is_live);
            live.map(|(key, entry)| (key.clone(), entry.clone())).collect::<Vec<_>>()
        };
        self.nodes.iter().enumerate().flat_map(of_node).collect()
    }
}

/// A step of moving a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MoveStep {
    /// The slot is open.
    Begin,
    /// This share of its keys is moved, in percent.
    Some(u8),
    /// All keys are moved, and the owner changes.
    End,
}

fn address(ports: &mut Range<u16>) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), ports.next().unwrap_or(PORT))
}
