//! One simulated node: its replies, its service times, and its records.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use keysweep_model::slot::{SLOTS, SlotSet, slot_of};
use tokio::time::Instant;

use super::Service;
use super::keys::Keys;
use super::resp::Reply;

/// A node. It serves all clients sequentially, with the times in `service`.
pub struct Node {
    index: usize,
    /// The ports of all nodes, in the order of their slots.
    ports: Arc<[u16]>,
    /// The common part of each CLUSTER NODES reply, which is requested around each task: built once.
    lines: Arc<[String]>,
    keys: Keys,
    open: AtomicUsize,
    open_max: AtomicUsize,
    state: Mutex<State>,
}

struct State {
    service: Service,
    busy_until: Instant,
    busy: Duration,
    hits: u64,
    misses: u64,
    listed: u64,
    /// From the listing of a slot to the last lookup of a key in it.
    spans: BTreeMap<u16, (Instant, Instant)>,
    refused: BTreeSet<String>,
}

/// Commands that arrived together, and the replies to them.
pub struct Turn {
    pub replies: Vec<u8>,
    arrived: Instant,
    commands: u32,
    keys: u32,
    /// The slots of its listings and lookups.
    slots: BTreeSet<u16>,
}

impl Turn {
    /// An empty turn.
    pub fn new() -> Self {
        let (replies, slots) = (Vec::new(), BTreeSet::new());
        Self { replies, arrived: Instant::now(), commands: 0, keys: 0, slots }
    }
}

/// Counts a connection while it is open.
pub struct Open<'a>(&'a Node);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Node {
    /// Node `index` of those at `ports`, with `lines` from [`lines`].
    pub fn new(
        index: usize,
        (ports, lines): (Arc<[u16]>, Arc<[String]>),
        keys: Keys,
        service: Service,
    ) -> Self {
        let state = State {
            service,
            busy_until: Instant::now(),
            busy: Duration::ZERO,
            hits: 0,
            misses: 0,
            listed: 0,
            spans: BTreeMap::new(),
            refused: BTreeSet::new(),
        };
        let (open, open_max) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self { index, ports, lines, keys, open, open_max, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn port(&self) -> u16 {
        self.ports[self.index]
    }

    pub fn set_service(&self, service: Service) {
        self.state().service = service;
    }

    pub fn listed(&self) -> u64 {
        self.state().listed
    }

    pub fn busy(&self) -> Duration {
        self.state().busy
    }

    pub fn connections_at_once(&self) -> usize {
        self.open_max.load(Ordering::Relaxed)
    }

    pub fn refused(&self) -> BTreeSet<String> {
        self.state().refused.clone()
    }

    /// The time from the first to the last work on any of `slots`.
    pub fn span(&self, slots: &SlotSet) -> Option<(Instant, Instant)> {
        let state = self.state();
        let spans = state.spans.iter().filter(|(slot, _)| slots.contains(**slot)).map(|(_, span)| *span);
        spans.reduce(|(from, to), other| (from.min(other.0), to.max(other.1)))
    }

    /// Counts a connection until the guard is dropped.
    pub fn connected(&self) -> Open<'_> {
        let open = self.open.fetch_add(1, Ordering::Relaxed) + 1;
        self.open_max.fetch_max(open, Ordering::Relaxed);
        Open(self)
    }

    /// When the replies of `turn` are due: after all earlier requests of any client.
    pub fn finish(&self, turn: &Turn) -> Instant {
        let mut state = self.state();
        let takes = state.service.command * turn.commands + state.service.key * turn.keys;
        state.busy += takes;
        state.busy_until = state.busy_until.max(turn.arrived) + takes;
        let done = state.busy_until;
        for slot in &turn.slots {
            if let Some((_, to)) = state.spans.get_mut(slot) {
                *to = done;
            }
        }
        done
    }

    /// Replies to one command.
    pub fn answer(&self, command: &[Vec<u8>], turn: &mut Turn) {
        turn.commands += 1;
        let words: Vec<String> =
            command.iter().take(4).map(|word| String::from_utf8_lossy(word).into_owned()).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let replies = &mut turn.replies;
        match words[..] {
            ["PING"] => replies.status("PONG"),
            ["CLIENT", "SETNAME", _] => replies.status("OK"),
            ["INFO", ..] => replies.bulk(self.info()),
            ["TIME"] => time(replies),
            ["CLUSTER", "SHARDS"] => self.shards(replies),
            ["CLUSTER", "NODES"] => replies.bulk(self.nodes()),
            ["CLUSTER", "MYID"] => replies.bulk(id(self.index)),
            ["CLUSTER", "COUNTKEYSINSLOT", slot] => {
                let here = self.slots().contains(&number(slot));
                replies.number(if here { self.keys.per_slot().cast_signed() } else { 0 });
            }
            ["CLUSTER", "GETKEYSINSLOT", slot, max] => self.list(number(slot), number(max), turn),
            ["PTTL", _] => self.look_up(&command[1], turn),
            // As fast as other commands: it is sent for few keys.
            ["MEMORY", "USAGE", _] => replies.number(100),
            ["SCAN", cursor, "COUNT", count] => self.scan(number(cursor), number(count), turn),
            _ => {
                let name = words.first().copied().unwrap_or_default();
                replies.error(&format!("ERR unknown command '{name}', with args beginning with: "));
                self.state().refused.insert(words.join(" "));
            }
        }
    }

    /// The keys of a slot, at most `max`.
    fn list(&self, slot: u16, max: u64, turn: &mut Turn) {
        let here = if self.slots().contains(&slot) { self.keys.per_slot() } else { 0 };
        let count = here.min(max);
        turn.replies.array(number_of(count));
        for n in 0..count {
            turn.replies.bulk(Keys::name(slot, n));
        }
        turn.keys += u32::try_from(count).expect("few keys");
        if count < max {
            let mut state = self.state();
            state.listed += count;
            state.spans.entry(slot).or_insert((turn.arrived, turn.arrived));
            turn.slots.insert(slot);
        }
    }

    fn look_up(&self, key: &[u8], turn: &mut Turn) {
        let slot = slot_of(key);
        if !self.slots().contains(&slot) {
            let owner = (0..self.ports.len()).find(|index| slots(*index, self.ports.len()).contains(&slot));
            let port = self.ports[owner.expect("all slots are served")];
            turn.replies.error(&format!("MOVED {slot} 127.0.0.1:{port}"));
            return;
        }
        let pttl = self.keys.pttl(key);
        turn.replies.number(pttl);
        turn.keys += 1;
        turn.slots.insert(slot);
        let mut state = self.state();
        if pttl == -2 { state.misses += 1 } else { state.hits += 1 }
    }

    /// As in Redis, with at most one key per bucket.
    fn scan(&self, mut cursor: u64, count: u64, turn: &mut Turn) {
        let keys = self.keys.per_slot() * self.slots().len() as u64;
        let mask = keys.next_power_of_two() - 1;
        let mut names = Vec::new();
        cursor &= mask;
        for _ in 0..count {
            let place = scatter(cursor, mask);
            if place < keys {
                let (slot, n) = (place / self.keys.per_slot(), place % self.keys.per_slot());
                names.push(Keys::name(self.slots().start + u16::try_from(slot).expect("a slot"), n));
            }
            cursor = (cursor | !mask).reverse_bits().wrapping_add(1).reverse_bits();
            if cursor == 0 {
                break;
            }
        }
        turn.keys += u32::try_from(names.len()).expect("few keys");
        turn.replies.array(2);
        turn.replies.bulk(cursor.to_string());
        turn.replies.array(names.len());
        for name in names {
            turn.replies.bulk(name);
        }
    }

    fn slots(&self) -> Range<u16> {
        slots(self.index, self.ports.len())
    }

    fn info(&self) -> String {
        let (slots, state) = (self.slots(), self.state());
        let keys = self.keys.per_slot() * slots.len() as u64;
        let expires = keys - (self.keys.stale_before(slots.end) - self.keys.stale_before(slots.start));
        format!(
            "# Server\r\nredis_version:7.0.15\r\nredis_mode:cluster\r\nrun_id:{}\r\n\
             # Persistence\r\nloading:0\r\n# Memory\r\nmaxmemory:0\r\nmaxmemory_policy:noeviction\r\n\
             # Stats\r\nkeyspace_hits:{}\r\nkeyspace_misses:{}\r\ncmdstat_pttl:calls={}\r\n# Replication\r\nrole:master\r\n\
             # Cluster\r\ncluster_enabled:1\r\n# Keyspace\r\ndb0:keys={keys},expires={expires},avg_ttl=0\r\n",
            id(self.index),
            state.hits,
            state.misses,
            state.hits + state.misses,
        )
    }

    fn shards(&self, replies: &mut Vec<u8>) {
        replies.array(self.ports.len());
        for (index, port) in self.ports.iter().enumerate() {
            let slots = slots(index, self.ports.len());
            replies.array(4);
            replies.bulk("slots");
            replies.array(2);
            replies.number(slots.start.into());
            replies.number(i64::from(slots.end) - 1);
            replies.bulk("nodes");
            replies.array(1);
            replies.array(14);
            for (name, text) in [("id", id(index).as_str()), ("ip", "127.0.0.1"), ("endpoint", "127.0.0.1")] {
                replies.bulk(name);
                replies.bulk(text);
            }
            for (name, text) in [("role", "master"), ("health", "online")] {
                replies.bulk(name);
                replies.bulk(text);
            }
            for (name, number) in [("port", i64::from(*port)), ("replication-offset", 0)] {
                replies.bulk(name);
                replies.number(number);
            }
        }
    }

    fn nodes(&self) -> String {
        let own = self.lines[self.index].replacen(" master ", " myself,master ", 1);
        let line = |index: usize| if index == self.index { own.as_str() } else { self.lines[index].as_str() };
        (0..self.lines.len()).map(line).collect()
    }
}

/// See [`Node::new`].
pub fn lines(ports: &[u16]) -> Arc<[String]> {
    let line = |(index, port): (usize, &u16)| {
        let (slots, id, epoch) = (slots(index, ports.len()), id(index), index + 1);
        let (first, last) = (slots.start, slots.end - 1);
        format!("{id} 127.0.0.1:{port}@0 master - 0 0 {epoch} connected {first}-{last}\n")
    };
    ports.iter().enumerate().map(line).collect()
}

/// The slots of node `index` of `nodes`.
fn slots(index: usize, nodes: usize) -> Range<u16> {
    let first = |index: usize| u16::try_from(index * usize::from(SLOTS) / nodes).expect("a slot");
    first(index)..first(index + 1)
}

/// The id of node `index`, and of its process.
fn id(index: usize) -> String {
    format!("{:040x}", index + 1)
}

/// A permutation of the buckets, so that consecutive ones are a fair sample of the keys.
fn scatter(bucket: u64, mask: u64) -> u64 {
    let half = mask.count_ones() / 2 + 1;
    let mixed = (bucket ^ (bucket >> half)).wrapping_mul(0x9e37_79b9_7f4a_7c15) & mask;
    mixed ^ (mixed >> half)
}

fn time(replies: &mut Vec<u8>) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    replies.array(2);
    replies.bulk(now.as_secs().to_string());
    replies.bulk(now.subsec_micros().to_string());
}

fn number<T: std::str::FromStr>(text: &str) -> T {
    text.parse().unwrap_or_else(|_| panic!("`{text}` is no number"))
}

fn number_of(count: u64) -> usize {
    usize::try_from(count).expect("few keys")
}
