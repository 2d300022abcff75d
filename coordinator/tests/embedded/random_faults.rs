//! Runs with random faults: primaries fail, slots move under write load, connections are cut. In all cases only stale
//! keys are touched, each stale key is counted once, and keys left behind are named; a second run finds them.

use std::time::Duration;

use coordinator::limits::LOCK_LEASE;
use coordinator::options::Options;
use fastrand::Rng;
use keysweep_model::messages::{PacingLimits, ReadFrom};
use keysweep_model::result::{CleanupResult, Status};
use keysweep_model::slot::slot_of;
use keysweep_redis::{ConnectOptions, RedisClient};
use keysweep_runtime::context::Timing;
use keysweep_servers::{ClusterServers, ServersError};
use keysweep_storage::queue::Topic;
use keysweep_testkit::kit::gate::Gate;
use keysweep_testkit::kit::ground_truth::GroundTruth;
use keysweep_testkit::kit::{self, keys};
use keysweep_testkit::reshard::Reshard;
use tokio::time::sleep;

use super::failover::{PRIMARIES, cluster, cut_off, replica, slots, takes_over};
use super::network::{cluster_network_scenario, server_network_scenario};

/// Matching keys.
pub const KEYS: u64 = 6_000;

/// Keys that are listed per second: some seconds of work.
const PER_SECOND: u64 = 3_000;

/// Slots that move at a time.
const MOVES: usize = 12;

/// How long nodes are left to tell their replicas what they own by now.
const GOSSIP: Duration = Duration::from_millis(1_500);

/// How many scenarios of a kind a soak goes through.
const SOAK_SCENARIOS: u64 = 30;

/// Options for a run of some seconds.
pub fn slow(urls: Vec<String>) -> Options {
    let mut options = kit::options(urls);
    options.rules.delete_batch_keys = 10;
    options.pacing = PacingLimits { keys_per_s_max: Some(PER_SECOND), latency_budget_ms: None };
    options
}

/// What happens to a cluster.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Failover,
    Resharding,
    Both,
}

/// A cluster with random faults.
struct ClusterFaults<'a> {
    cluster: &'a ClusterServers,
    rng: Rng,
    /// The node, by its index, that leads each shard.
    leaders: Vec<usize>,
    /// Slots that have moved, with their shards.
    moved: Vec<(u16, usize)>,
}

impl ClusterFaults<'_> {
    async fn pause(&mut self, ms_max: u64) {
        sleep(Duration::from_millis(self.rng.u64(0..ms_max))).await;
    }

    fn shard(&self, slot: u16) -> usize {
        let moved = self.moved.iter().rev().find(|(moved, _)| *moved == slot);
        moved.map_or(usize::from(slot) * PRIMARIES / 16_384, |(_, shard)| *shard)
    }

    /// Moves some slots to one of the shards. Were they several, each might take an epoch that another one has, and
    /// what a former owner said late would count.
    async fn reshard(&mut self) {
        let to = self.rng.usize(..PRIMARIES);
        for _ in 0..MOVES {
            let slot = self.rng.u16(..16_384);
            let from = self.shard(slot);
            if from == to {
                continue;
            }
            self.move_slot(slot, self.leaders[from], self.leaders[to]).await.unwrap();
            self.moved.push((slot, to));
        }
    }

    async fn move_slot(&self, slot: u16, from: usize, to: usize) -> Result<(), ServersError> {
        self.cluster.open_slot(slot, from, to).await?;
        self.cluster.move_keys(slot, from, to, usize::MAX).await?;
        let owner = format!("CLUSTER SETSLOT {slot} NODE {}", self.cluster.id(to));
        // All primaries are notified: one that learns of it late may trust the former owner's older state.
        let others = self.leaders.iter().copied().filter(|leader| ![to, from].contains(leader));
        for index in [to, from].into_iter().chain(others) {
            self.cluster.nodes()[index].conn().await?.info_text(&owner).await?;
        }
        Ok(())
    }

    /// Replaces the primary of a shard that was not replaced before, one way or another.
    async fn fail(&mut self) {
        let first: Vec<usize> = (0..PRIMARIES).filter(|shard| self.leaders[*shard] == *shard).collect();
        let Some(shard) = self.rng.choice(first) else { return };
        let (primary, other) = (&self.cluster.nodes()[shard], replica(self.cluster, shard));
        let lossy = self.rng.bool();
        if lossy {
            cut_off(primary).await;
            self.pause(800).await;
        }
        let other_conn = other.conn().await.unwrap();
        let way = self.rng.u8(0..4);
        println!("shard {shard}: way {way}, lossy {lossy}");
        match way {
            0 if !lossy => drop(other_conn.info_text("CLUSTER FAILOVER").await.unwrap()),
            1 => drop(other_conn.info_text("CLUSTER FAILOVER TAKEOVER").await.unwrap()),
            2 => primary.pause().unwrap(),
            _ => primary.kill().unwrap(),
        }
        takes_over(other).await;
        if way == 2 {
            self.pause(500).await;
            primary.resume().unwrap();
        }
        self.leaders[shard] = PRIMARIES + shard;
    }

    /// Waits until all leaders agree that the cluster works, and their replicas know what they own.
    async fn settled(&self) {
        sleep(GOSSIP).await;
        for leader in &self.leaders {
            let conn = self.cluster.nodes()[*leader].conn().await.unwrap();
            while !format!("{:?}", conn.info_text("CLUSTER INFO").await.unwrap()).contains("cluster_state:ok")
            {
                sleep(Duration::from_millis(100)).await;
            }
        }
    }

    async fn go(&mut self, kind: Kind) {
        self.pause(1_500).await;
        for _ in 0..2 {
            match kind {
                Kind::Failover => self.fail().await,
                Kind::Resharding => {
                    self.reshard().await;
                    self.settled().await;
                }
                Kind::Both => {
                    self.reshard().await;
                    self.settled().await;
                    self.fail().await;
                    self.settled().await;
                }
            }
            self.pause(500).await;
        }
    }
}

/// An application that goes on writing keys of its own, and renews fresh ones, wherever they are by now.
async fn write(access: &ConnectOptions, truth: &GroundTruth, mut rng: Rng) {
    let client = RedisClient::discover(access.clone()).await.unwrap();
    for n in 0_u64.. {
        let fresh = rng.choice(&truth.fresh).unwrap().clone();
        for key in [format!("load:{}", n % 500).into_bytes(), fresh] {
            let topology = client.topology();
            let Some(owner) = topology.owner(slot_of(&key)) else { continue };
            let set: [&[u8]; 5] = [b"SET", &key, b"x", b"PX", b"3600000"];
            let wrote = match client.conn(&owner.node).await {
                Ok(conn) => conn.command_within(&set, Duration::from_secs(1)).await.map(|_| ()),
                Err(fault) => Err(fault),
            };
            if let Err(fault) = wrote {
                client.refresh_and_classify(&owner.node, fault).await;
                sleep(Duration::from_millis(50)).await;
            }
        }
        sleep(Duration::from_millis(3)).await;
    }
}

/// A run of `options` while `trouble` goes on, and an application that does not meet it. The run has some tasks at once,
/// and the others when the trouble is over: what happens after its end is not its business.
pub async fn run_in(
    options: &Options,
    (direct, truth): (&ConnectOptions, &GroundTruth),
    mut rng: Rng,
    trouble: impl Future<Output = ()>,
) -> CleanupResult {
    let mut env = kit::env(options, Timing::default());
    let gate = Gate::install(&mut env.queue, Topic::Tasks);
    gate.allow(rng.usize(1..=4));
    let preflight = kit::preflight_of(options).await;
    let (progress, _seen) = kit::progress(&preflight);
    let trouble = async {
        trouble.await;
        gate.open();
    };
    let running = async {
        let ran = Box::pin(coordinator::embedded::run(&env, options, &preflight, progress));
        tokio::join!(ran, trouble).0
    };
    tokio::select! {
        result = kit::in_time(running) => result.unwrap(),
        () = write(direct, truth, rng) => unreachable!("the application goes on"),
    }
}

/// Holds `result` against the truth, and finishes the work with a second run.
pub async fn check(
    options: &Options,
    (access, truth): (&ConnectOptions, &GroundTruth),
    result: &CleanupResult,
) {
    for (class, kept) in [("fresh", &truth.fresh), ("protected", &truth.protected), ("other", &truth.other)] {
        assert_eq!(keys::existing(access, kept).await.len(), kept.len(), "{class} keys are gone");
    }
    let left = keys::existing(access, &truth.stale).await;
    let (account, again) = (&result.accounting, &result.failover);
    assert!(account.balanced && again.accounting.is_balanced(), "{result:#?}");
    let named = result.coverage.missing.as_deref().into_iter().chain(result.coverage.unresolved.as_deref());
    let excused: Vec<u16> = named.flat_map(slots).collect();
    println!(
        "{:?}: {} deleted, {} redeleted, {} stale keys left, {} slots named, read again {:?}",
        result.status,
        account.deleted,
        again.redeleted,
        left.len(),
        excused.len(),
        again.rescanned.as_ref().map(String::len)
    );
    match result.status {
        Status::Completed => {
            assert_eq!(left.len(), 0, "stale keys are left: {result:#?}");
            assert_eq!(account.deleted, truth.stale.len() as u64, "{result:#?}");
            assert_eq!(result.scanned_keys, truth.scanned(), "{result:#?}");
        }
        Status::Partial => {
            let strange = left
                .iter()
                .find(|key| !excused.contains(&slot_of(key)) && result.coverage.slots_covered.is_some());
            assert_eq!(strange.map(|key| key.escape_ascii().to_string()), None, "{result:#?}");
            assert!(
                account.deleted + account.unconfirmed + left.len() as u64 >= truth.stale.len() as u64,
                "{result:#?}"
            );
        }
        Status::Failed | Status::Cancelled => panic!("{result:#?}"),
    }
    // A failover may bring back the lock of the first run, like anything that was removed, until its lease ends.
    let options = Options { pacing: PacingLimits::default(), lock_wait: 2 * LOCK_LEASE, ..options.clone() };
    let second = kit::run(&options).await;
    assert_eq!(second.status, Status::Completed, "the second run finishes the work: {second:#?}");
    assert_eq!(keys::existing(access, &truth.stale).await.len(), 0);
}

async fn cluster_scenario(kind: Kind, seed: u64) {
    let mut rng = kit::seeded(seed);
    let cluster = match kind {
        Kind::Resharding => ClusterServers::start(PRIMARIES, 0).await.expect("a cluster can be started"),
        _ => cluster().await,
    };
    let direct = ConnectOptions::open(cluster.urls());
    let mut options = slow(cluster.urls());
    // As little as it may have, and in half of the scenarios replicas are read, where there are some.
    kit::rights::least(&mut options.access, cluster.nodes()).await;
    if rng.bool() {
        options.read_from = ReadFrom::Replica { lag_max_ms: 5_000 };
    }
    println!("{kind:?}, {:?}", options.read_from);
    let truth = GroundTruth::mixture(KEYS, "");
    truth.seed(&direct).await;
    let load = rng.fork();
    let leaders = (0..PRIMARIES).collect();
    let mut faults = ClusterFaults { cluster: &cluster, rng, leaders, moved: Vec::new() };
    let result = Box::pin(run_in(&options, (&direct, &truth), load, faults.go(kind))).await;
    check(&options, (&direct, &truth), &result).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn primaries_fail() {
    Box::pin(cluster_scenario(Kind::Failover, 1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_move() {
    Box::pin(cluster_scenario(Kind::Resharding, 2)).await;
}

/// Random scenarios of each kind, by seed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes half an hour; cargo xtask soak runs it"]
async fn soak_random_faults() {
    let first = kit::number("KEYSWEEP_CHAOS_SEED").unwrap_or(1_000);
    for seed in first..first + kit::number("KEYSWEEP_SOAK_SEEDS").unwrap_or(SOAK_SCENARIOS) {
        for kind in [Kind::Failover, Kind::Resharding, Kind::Both] {
            Box::pin(cluster_scenario(kind, seed)).await;
        }
        Box::pin(server_network_scenario(seed)).await;
        Box::pin(cluster_network_scenario(seed)).await;
    }
}
