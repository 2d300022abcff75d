//! Primaries that fail while a run is at work: what they had deleted and no replica had is found again, what was read
//! is not read twice, and whoever takes their place is noticed.

use std::time::Duration;

use crate::kit;
use crate::kit::truth::Truth;
use coordinator::options::Options;
use shared::env::Timing;
use shared::messages::{Action, Pace};
use shared::result::{CleanupResult, Status};
use shared::servers::{ClusterServers, Server};
use tokio::sync::watch;

/// Matching keys.
const KEYS: u64 = 12_000;

/// Primaries, of which each has one replica.
pub const PRIMARIES: usize = 3;

/// A cluster whose replicas take over soon, however old their data are.
pub async fn cluster() -> ClusterServers {
    let args = ["--cluster-node-timeout", "1500", "--cluster-replica-validity-factor", "0"];
    ClusterServers::start_with(PRIMARIES, 1, &args, None).await.expect("a cluster can be started")
}

/// The replica of primary `index`.
pub fn replica(cluster: &ClusterServers, index: usize) -> &Server {
    &cluster.nodes()[PRIMARIES + index]
}

/// Cuts the replicas of `primary` off: it refuses them when they come back.
pub async fn cut_off(primary: &Server) {
    let conn = primary.conn().await.unwrap();
    conn.words("ACL SETUSER default -psync -sync -replconf").await.unwrap();
    conn.words("CLIENT KILL TYPE replica").await.unwrap();
}

/// Waits until `server` is a primary.
pub async fn takes_over(server: &Server) {
    let conn = server.conn().await.unwrap();
    while !conn.words("ROLE").await.is_ok_and(|role| format!("{role:?}").contains("master")) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Options for a run of some seconds.
pub fn slow(cluster: &ClusterServers, keys_per_s: u64) -> Options {
    let mut options = kit::options(cluster.urls());
    options.rules.delete_batch_keys = 10;
    options.pace = Pace { keys_per_s_max: Some(keys_per_s), latency_budget_ms: None };
    options
}

/// A run, and `blow` beside it once `deleted` keys have been deleted.
async fn run_and_blow(options: &Options, deleted: u64, blow: impl AsyncFnOnce()) -> CleanupResult {
    let env = kit::env(options, Timing::default());
    let survey = kit::look(options).await;
    let (progress, mut seen) = kit::progress(&survey);
    let running = kit::in_time(coordinator::embedded::run(&env, options, &survey, progress));
    let blowing = async {
        wait_for(&mut seen, deleted).await;
        blow().await;
    };
    let (result, ()) = tokio::join!(running, kit::in_time(blowing));
    result.unwrap()
}

async fn wait_for(seen: &mut watch::Receiver<coordinator::drive::Progress>, deleted: u64) {
    let enough = |progress: &coordinator::drive::Progress| progress.totals.accounting.deleted >= deleted;
    seen.wait_for(enough).await.expect("the run is at work");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_failover_brings_back_is_deleted_again_and_counted_apart() {
    let cluster = cluster().await;
    let options = slow(&cluster, 4_000);
    let truth = Truth::mixture(KEYS, "");
    truth.seed(&options.access).await;
    cut_off(&cluster.nodes()[0]).await;
    let result = run_and_blow(&options, KEYS / 20, async || cluster.nodes()[0].kill().unwrap()).await;
    assert_eq!(result.status, Status::Completed, "{:#?}", result);
    truth.check_numbers(&result, Action::Delete);
    truth.check_keys(&options.access, true).await;
    let again = &result.read_again;
    assert!(again.redeleted > 0 && again.accounting.is_balanced(), "{again:?}");
    assert_eq!(again.replaced.iter().map(ToString::to_string).collect::<Vec<_>>(), [cluster.id(0)]);
    assert!(result.issues.iter().any(|issue| issue.contains("deleted there again")), "{:?}", result.issues);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_replica_had_is_not_read_again() {
    let cluster = cluster().await;
    let options = slow(&cluster, 4_000);
    let truth = Truth::mixture(KEYS, "");
    truth.seed(&options.access).await;
    let result = run_and_blow(&options, KEYS / 20, async || {
        replica(&cluster, 0).conn().await.unwrap().words("CLUSTER FAILOVER").await.unwrap();
        takes_over(replica(&cluster, 0)).await;
    })
    .await;
    assert_eq!(result.status, Status::Completed, "{:#?}", result);
    truth.check_numbers(&result, Action::Delete);
    truth.check_keys(&options.access, true).await;
    assert_eq!(result.read_again.redeleted, 0, "{:?}", result.read_again);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_primary_may_be_replaced() {
    let cluster = cluster().await;
    let options = slow(&cluster, 3_000);
    let truth = Truth::mixture(KEYS, "");
    truth.seed(&options.access).await;
    cut_off(&cluster.nodes()[2]).await;
    let result = run_and_blow(&options, KEYS / 30, async || {
        for index in 0..PRIMARIES {
            cluster.nodes()[index].kill().unwrap();
            takes_over(replica(&cluster, index)).await;
        }
    })
    .await;
    assert_eq!(result.status, Status::Completed, "{:#?}", result);
    truth.check_numbers(&result, Action::Delete);
    truth.check_keys(&options.access, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_another_primary_the_slots_whose_deletions_are_in_doubt_are_named() {
    let part = ["--cluster-require-full-coverage", "no"];
    let cluster =
        ClusterServers::start_with(PRIMARIES, 0, &part, None).await.expect("a cluster can be started");
    let options = slow(&cluster, 6_000);
    let truth = Truth::mixture(KEYS, "");
    truth.seed(&options.access).await;
    let env = kit::env(&options, kit::hasty());
    let survey = kit::look(&options).await;
    let (progress, mut seen) = kit::progress(&survey);
    let running = kit::in_time(coordinator::embedded::run(&env, &options, &survey, progress));
    let blowing = async {
        wait_for(&mut seen, KEYS / 20).await;
        // The one that does not hold the lock.
        let lock = shared::slot::slot_of(format!("keysweep:lock:{}", options.job).as_bytes());
        let spared = usize::from(lock >= 5_461);
        let victim = if spared == 0 { 2 } else { 0 };
        cluster.nodes()[victim].kill().unwrap();
        victim
    };
    let (result, victim) = tokio::join!(running, kit::in_time(blowing));
    let result = result.unwrap();
    assert_eq!(result.status, Status::Partial, "{result:#?}");
    let (first, last) = [(0, 5_460), (5_461, 10_921), (10_922, 16_383)][victim];
    let missing = result.coverage.missing.expect("slots are missing");
    for range in missing.split([',', '-']) {
        let slot: u16 = range.trim().parse().unwrap();
        assert!((first..=last).contains(&slot), "{missing}");
    }
}
