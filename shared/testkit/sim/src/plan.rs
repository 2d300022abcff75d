//! What happens in a world: drawn from its seed before it begins, so that parts of it can be left out.

use std::fmt;

use fastrand::Rng;
use strum::{Display, EnumString, VariantArray};

use crate::rates::{BrokerRates, NetRates};
use crate::redis::deployment::MoveStep;

/// The processes, by number. The first one asks for the run.
pub(crate) const PROCESSES: [&str; 8] =
    ["cli", "coordinator 0", "coordinator 1", "scanner 0", "scanner 1", "reaper 0", "reaper 1", "reporter"];

/// Those that take messages.
pub(crate) const WORKERS: std::ops::RangeInclusive<usize> = 3..=6;

/// All faults begin within one of these times, in milliseconds: a run without faults takes a second and its grace.
const FAULTS_MS: [u64; 4] = [1_000, 2_000, 15_000, 60_000];

/// How far clocks of servers jump at most, in milliseconds.
pub(crate) const CLOCK_MS: i64 = 20_000;

/// Keys of one scan task: in some worlds, a node has one; in others, more than may be in flight at a time.
const TASK_KEYS: [u64; 3] = [10_000, 50, 10];

/// What the run of a world is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Display, EnumString, VariantArray)]
#[strum(serialize_all = "lowercase")]
pub enum Profile {
    /// Keys without TTL are deleted, by processes that share a broker.
    Plain,
    /// They are given a TTL.
    Expire,
    /// Scripts may use the keys of one slot only.
    Slots,
    /// Servers run no scripts.
    Transactions,
    /// Two rules with conditions: one deletes, one gives TTLs and shortens them.
    Rules,
    /// Keys that were not used for a day are deleted, too.
    Inactive,
    /// Keys are read from replicas.
    Replicas,
    /// Keys are saved in a bucket before they are deleted.
    Backup,
    /// One process, without a broker.
    Embedded,
    /// One process, with a state file.
    State,
}

impl Profile {
    /// Whether one process does everything.
    pub(crate) fn is_one_process(self) -> bool {
        matches!(self, Self::Embedded | Self::State)
    }
}

/// What other clients and operators do.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// A process dies, and starts again after so many milliseconds.
    Kill { process: usize, back_ms: u64 },
    /// A process dies right after so many more of its requests were carried out, before it gets the answer.
    KillAfter { process: usize, requests: u64, back_ms: u64 },
    /// A process stands still for so many milliseconds.
    Freeze { process: usize, for_ms: u64 },
    /// A server starts again.
    Restart { node: usize },
    /// A server is away for so many milliseconds.
    Away { node: usize, for_ms: u64 },
    /// A primary is lost, and its replica takes its place.
    FailOver { node: usize },
    /// A replica gets what its primary has.
    Replicate { node: usize },
    /// A replica gets nothing for so many milliseconds.
    Behind { node: usize, for_ms: u64 },
    /// A server cannot save, and refuses writes for so many milliseconds.
    RefuseWrites { node: usize, for_ms: u64 },
    /// The connections of a server are cut.
    Cut { node: usize },
    /// The clock of a server jumps.
    Clock { node: usize, ahead_ms: i64 },
    /// A process and a server do not reach each other.
    PartServer { process: usize, node: usize, for_ms: u64 },
    /// A process does not reach the broker.
    PartBroker { process: usize, for_ms: u64 },
    /// A slot of a key is moved.
    Move { key: usize, to: usize, step: MoveStep },
    /// A client writes a key.
    Write { key: usize, ttl_ms: Option<u64> },
    /// A client writes so many keys without TTL, from this one on.
    Burst { key: usize, count: usize },
    /// A client gives a key a TTL.
    Expire { key: usize, ttl_ms: u64 },
    /// A client deletes a key.
    Delete { key: usize },
    /// A person deletes the lock of the job.
    Unlock,
    /// A person deletes the ledgers of all runs.
    DropLedgers,
    /// A person deletes the scripts of a server (SCRIPT FLUSH).
    DropScripts { node: usize },
    /// A client deletes all keys of a server.
    Flush { node: usize },
    /// A person cancels the run.
    Cancel,
}

/// An act, and when it happens.
#[derive(Clone, Debug)]
pub(crate) struct Timed {
    pub(crate) at_ms: u64,
    pub(crate) act: Act,
}

impl fmt::Display for Timed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>8} ms  {:?}", self.at_ms, self.act)
    }
}

/// The world before it begins.
#[derive(Clone, Debug)]
pub(crate) struct WorldPlan {
    pub(crate) profile: Profile,
    /// Primaries; one is a standalone server.
    pub(crate) primaries: usize,
    pub(crate) has_replicas: bool,
    pub(crate) keys: usize,
    /// Keys of one scan task, at least.
    pub(crate) task_keys: u64,
    pub(crate) grace_ms: u64,
    /// The largest share of keys that may be deleted.
    pub(crate) max_delete_percent: u8,
    /// How far a clock of a server may be from itself between two readings, in milliseconds.
    pub(crate) wobble_ms: u64,
    pub(crate) net: NetRates,
    pub(crate) broker: BrokerRates,
    pub(crate) acts: Vec<Timed>,
}

impl WorldPlan {
    /// The world of a seed, with a profile of its own or this one. One world in ten has no faults; in half of those, the run is
    /// cancelled, or a server loses its scripts.
    pub(crate) fn of(seed: u64, profile: Option<Profile>) -> Self {
        let mut rng = Rng::with_seed(seed);
        let drawn = Profile::VARIANTS[rng.usize(..Profile::VARIANTS.len())];
        let profile = profile.unwrap_or(drawn);
        let (primaries, has_replicas, keys) = ([1, 3][rng.usize(..2)], rng.bool(), rng.usize(50..600));
        let has_replicas = has_replicas || profile == Profile::Replicas;
        let grace_ms = [0, 500, 5_000, 30_000][rng.usize(..4)];
        // Drawn with a seed of its own: all acts of seeds that were wrong once stay as they are.
        let task_keys = TASK_KEYS[Rng::with_seed(seed.rotate_left(32)).usize(..TASK_KEYS.len())];
        let quiet = Self {
            profile,
            primaries,
            has_replicas,
            keys,
            task_keys,
            grace_ms,
            max_delete_percent: 100,
            wobble_ms: 0,
            net: NetRates::default(),
            broker: BrokerRates::default(),
            acts: Vec::new(),
        };
        let mut apart = Rng::with_seed(!seed);
        if rng.u8(..10) == 0 {
            // Nothing fails, but the run may be cancelled, or a server may lose its scripts.
            let (at_ms, is_calm) = (grace_ms + apart.u64(..2_000), !apart.bool());
            let act = if apart.u8(..4) == 0 { drop_scripts(&mut apart, primaries) } else { Act::Cancel };
            let acts = if is_calm { Vec::new() } else { vec![Timed { at_ms, act }] };
            return Self { acts, ..quiet };
        }
        let mut rate = |most: u32| if rng.u8(..3) == 0 { rng.u32(1..most) } else { 0 };
        let net = NetRates { cut: rate(2_000), slow: rate(2_000) };
        let broker = BrokerRates {
            refused: rate(200),
            unanswered: rate(200),
            doubled: rate(10_000),
            full: rate(10_000),
            lost: if rate(2) > 0 { rate(4_000) } else { 0 },
            garbled: if rate(2) > 0 { rate(4_000) } else { 0 },
            unsaved: rate(5_000),
        };
        let broker = if profile.is_one_process() { BrokerRates::default() } else { broker };
        let wobble_ms = if rng.u8(..6) == 0 { rng.u64(1..300) } else { 0 };
        let faults_ms = FAULTS_MS[rng.usize(..FAULTS_MS.len())];
        let draw = |rng: &mut Rng| {
            // Most of what matters happens while keys are read, and when their grace is over.
            let at_ms = if rng.bool() { rng.u64(..faults_ms) } else { grace_ms + rng.u64(..2_000) };
            Timed { at_ms, act: act(rng, &quiet) }
        };
        let mut acts: Vec<Timed> = (0..rng.usize(1..25)).map(|_| draw(&mut rng)).collect();
        let more: Vec<Timed> = acts.iter().flat_map(|timed| with_it(timed, &mut rng)).collect();
        acts.extend(more);
        // Drawn with a seed of their own, too.
        let (drawn, at_ms) = (apart.u8(..8), grace_ms + apart.u64(..3_000));
        let more = match drawn {
            0 => Some(Act::DropLedgers),
            1 => Some(Act::RefuseWrites { node: apart.usize(..primaries), for_ms: apart.u64(100..60_000) }),
            2 => Some(drop_scripts(&mut apart, primaries)),
            _ => None,
        };
        acts.extend(more.map(|act| Timed { at_ms, act }));
        acts.sort_by_key(|timed| timed.at_ms);
        // About two thirds of the keys have no TTL: some worlds stop at the limit.
        let max_delete_percent = if rng.u8(..8) == 0 { 75 } else { 100 };
        Self { max_delete_percent, wobble_ms, net, broker, acts, ..quiet }
    }

    /// Whether the clocks of all servers are right, so that what they say about times can be judged.
    pub(crate) fn keeps_time(&self) -> bool {
        self.wobble_ms == 0 && self.acts.iter().all(|timed| !matches!(timed.act, Act::Clock { .. }))
    }

    /// Whether nothing fails, and no other client does anything.
    pub(crate) fn is_calm(&self) -> bool {
        self.acts.is_empty() && self.is_healthy()
    }

    /// Whether nothing fails, and nothing happens but a cancel, or the loss of scripts, which are loaded again.
    pub(crate) fn is_healthy(&self) -> bool {
        let is_harmless = |act: &Act| matches!(act, Act::Cancel | Act::DropScripts { .. });
        self.acts.iter().all(|timed| is_harmless(&timed.act))
            && self.wobble_ms == 0
            && self.net == NetRates::default()
            && self.broker == BrokerRates::default()
    }
}

fn drop_scripts(rng: &mut Rng, primaries: usize) -> Act {
    Act::DropScripts { node: rng.usize(..primaries) }
}

/// Something that happens. The asking process is left alone, unless it is the only one.
fn act(rng: &mut Rng, world: &WorldPlan) -> Act {
    let WorldPlan { primaries, has_replicas, keys, profile, .. } = *world;
    let is_one = profile.is_one_process();
    let process = if is_one { 0 } else { rng.usize(1..PROCESSES.len()) };
    let (node, key) = (rng.usize(..primaries), rng.usize(..keys));
    match rng.u8(..28) {
        0..=2 => Act::Kill { process, back_ms: rng.u64(100..40_000) },
        3..=5 => Act::KillAfter { process, requests: rng.u64(1..60), back_ms: rng.u64(100..40_000) },
        6 | 7 => Act::Freeze { process, for_ms: rng.u64(1_000..60_000) },
        8 => Act::Restart { node },
        9 => Act::Away { node, for_ms: rng.u64(100..10_000) },
        10 if has_replicas => Act::FailOver { node },
        11 if has_replicas => Act::Replicate { node },
        12 if has_replicas => Act::Behind { node, for_ms: rng.u64(1_000..60_000) },
        13 => Act::Cut { node },
        14 => Act::Clock { node, ahead_ms: rng.i64(-CLOCK_MS..CLOCK_MS) },
        15 => Act::PartServer { process, node, for_ms: rng.u64(100..30_000) },
        16 if !is_one => Act::PartBroker { process, for_ms: rng.u64(100..40_000) },
        17..=19 if primaries > 1 => Act::Move { key, to: node, step: MoveStep::Begin },
        20 => Act::Expire { key, ttl_ms: rng.u64(1_000..100_000) },
        21 => Act::Delete { key },
        22 if rng.u8(..4) == 0 => Act::Flush { node },
        22 if rng.u8(..4) == 0 => Act::Cancel,
        23 if rng.u8(..3) == 0 => Act::Burst { key, count: rng.usize(10..200) },
        24 if rng.u8(..3) == 0 => Act::Unlock,
        _ => Act::Write { key, ttl_ms: rng.bool().then(|| rng.u64(1_000..1_000_000)) },
    }
}

/// What belongs to an act: the other steps of a move; before a failover, often a replica that gets nothing any more.
fn with_it(begun: &Timed, rng: &mut Rng) -> Vec<Timed> {
    let last_ms = if rng.bool() { 300 } else { 3_000 };
    match begun.act {
        Act::Move { key, to, .. } => {
            let some = begun.at_ms + rng.u64(10..last_ms);
            let end = some + rng.u64(10..last_ms);
            let step = |at_ms, step| Timed { at_ms, act: Act::Move { key, to, step } };
            vec![step(some, MoveStep::Some(rng.u8(..100))), step(end, MoveStep::End)]
        }
        Act::FailOver { node } if rng.bool() => {
            let for_ms = rng.u64(10..last_ms);
            vec![Timed { at_ms: begun.at_ms.saturating_sub(for_ms), act: Act::Behind { node, for_ms } }]
        }
        _ => Vec::new(),
    }
}
