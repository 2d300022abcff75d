//! What happens in a world: drawn from its seed before it begins, so that parts of it can be left out.

use std::fmt;

use crate::broker::BrokerRates;
use crate::network::NetRates;
use crate::redis::deployment::MoveStep;

/// The processes, by number. The first one asks for the run.
pub(crate) const PROCESSES: [&str; 8] =
    ["cli", "coordinator 0", "coordinator 1", "scanner 0", "scanner 1", "reaper 0", "reaper 1", "reporter"];

/// All faults begin within one of these times, in milliseconds: a run without faults takes a second and its grace.
const FAULTS_MS: [u64; 3] = [2_000, 15_000, 60_000];

/// What other clients and operators do.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// A process dies, and starts again after so many milliseconds.
    Kill { process: usize, back_ms: u64 },
    /// A server starts again.
    Restart { node: usize },
    /// A server is away for so many milliseconds.
    Away { node: usize, for_ms: u64 },
    /// A primary is lost, and its replica takes its place.
    FailOver { node: usize },
    /// A replica gets what its primary has.
    Replicate { node: usize },
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
    /// A client gives a key a TTL.
    Expire { key: usize, ttl_ms: u64 },
    /// A client deletes a key.
    Delete { key: usize },
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
    /// Primaries; one is a standalone server.
    pub(crate) primaries: usize,
    pub(crate) has_replicas: bool,
    pub(crate) keys: usize,
    pub(crate) grace_ms: u64,
    /// What is done with stale keys: deleted, or given this TTL.
    pub(crate) ttl_ms: Option<u64>,
    pub(crate) net: NetRates,
    pub(crate) broker: BrokerRates,
    pub(crate) acts: Vec<Timed>,
}

impl WorldPlan {
    /// The world of a seed; with so few faults that some worlds have none.
    pub(crate) fn of(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let primaries = [1, 3][rng.usize(..2)];
        let has_replicas = rng.bool();
        let keys = rng.usize(50..600);
        let rate = |rng: &mut fastrand::Rng, most: u32| if rng.u8(..3) == 0 { rng.u32(..most) } else { 0 };
        let net = NetRates { cut: rate(&mut rng, 300), slow: rate(&mut rng, 2_000) };
        let broker = BrokerRates {
            refused: rate(&mut rng, 200),
            unanswered: rate(&mut rng, 200),
            doubled: rate(&mut rng, 10_000),
            full: rate(&mut rng, 10_000),
        };
        let count = if rng.u8(..8) == 0 { 0 } else { rng.usize(1..25) };
        let faults_ms = FAULTS_MS[rng.usize(..FAULTS_MS.len())];
        let mut acts: Vec<Timed> = (0..count)
            .map(|_| Timed { at_ms: rng.u64(..faults_ms), act: act(&mut rng, primaries, has_replicas, keys) })
            .collect();
        let moves: Vec<Timed> =
            acts.iter().filter_map(|timed| rest_of_move(timed, &mut rng)).flatten().collect();
        acts.extend(moves);
        acts.sort_by_key(|timed| timed.at_ms);
        Self {
            primaries,
            has_replicas,
            keys,
            grace_ms: [0, 500, 5_000, 30_000][rng.usize(..4)],
            ttl_ms: (rng.u8(..4) == 0).then_some(86_400_000),
            net,
            broker,
            acts,
        }
    }
}

impl WorldPlan {
    /// Whether the clocks of all servers are right, so that what they say about times can be judged.
    pub(crate) fn keeps_time(&self) -> bool {
        self.acts.iter().all(|timed| !matches!(timed.act, Act::Clock { .. }))
    }
}

fn act(rng: &mut fastrand::Rng, primaries: usize, has_replicas: bool, keys: usize) -> Act {
    let (node, process, key) = (rng.usize(..primaries), rng.usize(1..PROCESSES.len()), rng.usize(..keys));
    match rng.u8(..22) {
        0..=4 => Act::Kill { process, back_ms: rng.u64(100..40_000) },
        5 => Act::Restart { node },
        6 => Act::Away { node, for_ms: rng.u64(100..10_000) },
        7 if has_replicas => Act::FailOver { node },
        8 | 9 if has_replicas => Act::Replicate { node },
        10 => Act::Cut { node },
        11 => Act::Clock { node, ahead_ms: rng.i64(-20_000..20_000) },
        12 => Act::PartServer { process, node, for_ms: rng.u64(100..30_000) },
        13 => Act::PartBroker { process, for_ms: rng.u64(100..40_000) },
        14 | 15 if primaries > 1 => Act::Move { key, to: node, step: MoveStep::Begin },
        16 => Act::Expire { key, ttl_ms: rng.u64(1_000..100_000) },
        17 => Act::Delete { key },
        18 if rng.u8(..6) == 0 => Act::Flush { node },
        18 if rng.u8(..4) == 0 => Act::Cancel,
        _ => Act::Write { key, ttl_ms: rng.bool().then(|| rng.u64(1_000..1_000_000)) },
    }
}

/// The other steps of a move.
fn rest_of_move(begun: &Timed, rng: &mut fastrand::Rng) -> Option<[Timed; 2]> {
    let Act::Move { key, to, .. } = begun.act else { return None };
    let some = begun.at_ms + rng.u64(10..3_000);
    let end = some + rng.u64(10..3_000);
    let step = |at_ms, step| Timed { at_ms, act: Act::Move { key, to, step } };
    Some([step(some, MoveStep::Some(rng.u8(..100))), step(end, MoveStep::End)])
}
