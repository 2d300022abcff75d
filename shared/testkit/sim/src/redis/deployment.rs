//! A standalone server or a cluster: its nodes, who serves which slot, and what happened to keys.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::sync::Arc;

use keysweep_model::slot::{SLOTS, slot_of};
use mlua::{Function, Lua};

use super::keyspace::{KeyEntry, Keyspace, Value};
use super::node::{Node, Replica, random_id};

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
    /// The ledger that was written in the same step.
    pub(crate) ledger: Option<LedgerOf>,
    node: String,
    /// How many bytes of its history the node had after it.
    offset: u64,
}

/// What a ledger belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LedgerOf {
    pub(crate) run: String,
    pub(crate) batch: String,
}

impl LedgerOf {
    /// By the name of the key: its parts follow a tag.
    pub(super) fn named(key: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(key.strip_prefix(b"keysweep:ledger:{")?).into_owned();
        let mut parts = text.split(':').skip(1).map(str::to_owned);
        Some(Self { run: parts.next()?, batch: parts.next()? })
    }
}

/// What was done to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EffectKind {
    /// It was removed.
    Removed,
    /// It was given another expiry.
    Expires(u64),
}

/// What is carried out without anything in between: a command, a transaction, a script.
#[derive(Clone, Debug, Default)]
pub(crate) struct Step {
    /// The clock of its server.
    pub(super) clock_ms: u64,
    /// The ledger that it writes.
    pub(super) ledger: Option<LedgerOf>,
    /// The slot of its first key.
    pub(super) slot: Option<u16>,
}

/// A deployment.
pub(crate) struct Deployment {
    pub(crate) nodes: Vec<Node>,
    pub(crate) is_cluster: bool,
    /// The node of each slot.
    owners: Vec<usize>,
    /// The slots of each node, as ranges: they are asked for often.
    ranges: Vec<Vec<(u16, u16)>>,
    /// The slots that are being moved, and where to.
    pub(crate) moving: BTreeMap<u16, usize>,
    pub(crate) epoch: u64,
    /// What keysweep did to keys of others.
    pub(crate) effects: Vec<Effect>,
    /// Whether servers run scripts, and whether these may use keys of several slots.
    pub(crate) runs_scripts: bool,
    pub(crate) crosses_slots: bool,
    /// How far a clock may be from itself between two steps, in milliseconds.
    pub(crate) wobble_ms: u64,
    pub(super) step: Step,
    version: u64,
    ports: Range<u16>,
    pub(crate) lua: Lua,
    /// Scripts that were compiled, by their texts.
    pub(super) compiled: BTreeMap<Arc<str>, Function>,
}

impl Deployment {
    /// So many empty primaries; one is a standalone server.
    pub(crate) fn new(primaries: usize, with_replicas: bool, now_ms: u64) -> Self {
        let mut ports = PORT..u16::MAX;
        let mut nodes: Vec<Node> = (0..primaries).map(|_| Node::new(address(&mut ports), now_ms)).collect();
        if with_replicas {
            let mut replica = || Replica::new(address(&mut ports), Keyspace::default(), 1);
            nodes.iter_mut().for_each(|node| node.replica = Some(replica()));
        }
        let owners: Vec<usize> =
            (0..usize::from(SLOTS)).map(|slot| slot * primaries / usize::from(SLOTS)).collect();
        Self {
            nodes,
            is_cluster: primaries > 1,
            ranges: ranges(&owners, primaries),
            owners,
            moving: BTreeMap::new(),
            epoch: 1,
            effects: Vec::new(),
            runs_scripts: true,
            crosses_slots: true,
            wobble_ms: 0,
            step: Step::default(),
            version: 0,
            ports,
            lua: Lua::new(),
            compiled: BTreeMap::new(),
        }
    }

    /// The node that answers at an address.
    pub(crate) fn serving(&self, address: SocketAddr) -> Option<usize> {
        self.nodes.iter().position(|node| node.address == address && node.is_up)
    }

    /// The node whose replica answers at an address.
    pub(crate) fn of_replica(&self, address: SocketAddr) -> Option<usize> {
        let is_there = |node: &Node| node.replica.as_ref().is_some_and(|replica| replica.address == address);
        self.nodes.iter().position(is_there)
    }

    /// A number that no write had before.
    pub(crate) fn next_version(&mut self) -> u64 {
        self.version += 1;
        self.version
    }

    /// The slots of a node, as ranges.
    pub(super) fn ranges(&self, at: usize) -> &[(u16, u16)] {
        &self.ranges[at]
    }

    /// The node that serves a slot.
    pub(super) fn owner_of_slot(&self, slot: u16) -> usize {
        self.owners[usize::from(slot)]
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

    /// A key was last used then.
    pub(crate) fn unused_since(&mut self, key: &[u8], at_ms: u64) {
        let at = self.holder(key);
        if let Some(entry) = self.nodes[at].keys.live_mut(key, at_ms) {
            entry.used_ms = at_ms;
        }
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

    /// A person deletes all keys whose names begin so.
    pub(crate) fn remove_all(&mut self, prefix: &[u8]) {
        for node in &mut self.nodes {
            let named = node.keys.iter().map(|(key, _)| key).filter(|key| key.starts_with(prefix));
            for key in named.cloned().collect::<Vec<_>>() {
                node.keys.remove(&key);
                node.offset += 50;
            }
        }
    }

    /// Another client deletes all keys of a node.
    pub(crate) fn flush(&mut self, at: usize) {
        self.nodes[at].keys.clear();
        self.nodes[at].offset += 20;
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
                ledger: self.step.ledger.clone(),
                node,
                offset: self.nodes[at].offset,
            });
        }
    }

    /// The replica of a node has what the node has, if there is one, and nothing is between them.
    pub(crate) fn replicate(&mut self, at: usize) -> bool {
        let node = &mut self.nodes[at];
        let (keys, offset) = (&node.keys, node.offset);
        let Some(replica) = node.replica.as_mut().filter(|_| !node.is_behind) else { return false };
        // Copying all keys is dear, and often nothing was written since.
        if replica.offset != offset {
            (replica.keys, replica.offset) = (keys.clone(), offset);
        }
        true
    }

    /// A node dies, and its replica becomes the primary, without what it did not get.
    pub(crate) fn fail_over(&mut self, at: usize, now_ms: u64) {
        let Some(replica) = self.nodes[at].replica.clone() else { return };
        // A standalone server has an address that moves with it.
        let address = if self.is_cluster { replica.address } else { self.nodes[at].address };
        let (old, cut) = (self.nodes[at].clone(), self.nodes[at].cut + 1);
        for effect in &mut self.effects {
            effect.is_lost |= effect.node == old.id && effect.offset > replica.offset;
        }
        let mut keys = replica.keys;
        self.note_undone(&old, &mut keys);
        let next = Replica::new(self::address(&mut self.ports), keys.clone(), replica.offset);
        self.nodes[at] = Node {
            id: replica.id,
            run_id: replica.run_id,
            keys,
            replica: Some(next),
            replication_id: random_id(),
            offset: replica.offset,
            ahead_ms: old.ahead_ms,
            cut,
            ..Node::new(address, now_ms)
        };
        self.moving.retain(|_, to| *to != at);
        self.epoch += 1;
    }

    /// What other clients did at a node and its replica did not get is undone by the failover: those keys were not there, or
    /// were others, and are as if written now. What keysweep did stays undone.
    fn note_undone(&mut self, old: &Node, keys: &mut Keyspace) {
        let lost = self.effects.iter().filter(|effect| effect.is_lost && effect.node == old.id);
        let by_keysweep: BTreeSet<&Vec<u8>> = lost.map(|effect| &effect.key).collect();
        let written = |entry: &KeyEntry| (entry.version, entry.expires_ms);
        let is_undone = |(key, entry): &(&Vec<u8>, &KeyEntry)| {
            !by_keysweep.contains(*key) && old.keys.live(key, 0).map(written) != Some(written(entry))
        };
        let undone: Vec<Vec<u8>> = keys.iter().filter(is_undone).map(|(key, _)| key.clone()).collect();
        for key in undone {
            let version = self.next_version();
            if let Some(entry) = keys.live_mut(&key, 0) {
                entry.version = version;
            }
        }
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
                self.ranges = ranges(&self.owners, self.nodes.len());
                self.epoch += 1;
            }
            MoveStep::Some(_) | MoveStep::End => {}
        }
    }

    /// Ends all moves.
    pub(crate) fn end_moves(&mut self) {
        for (slot, to) in self.moving.clone() {
            self.move_slot(slot, to, MoveStep::End);
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

/// The slots of so many nodes, as ranges.
fn ranges(owners: &[usize], nodes: usize) -> Vec<Vec<(u16, u16)>> {
    let mut ranges: Vec<Vec<(u16, u16)>> = vec![Vec::new(); nodes];
    for (slot, owner) in (0_u16..).zip(owners) {
        match ranges[*owner].last_mut() {
            Some((_, last)) if *last + 1 == slot => *last = slot,
            _ => ranges[*owner].push((slot, slot)),
        }
    }
    ranges
}

fn address(ports: &mut Range<u16>) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), ports.next().unwrap_or(PORT))
}
