//! Primaries that fail while a run is at work: what they had deleted and no replica had is found again, what was read
//! is not read twice, and whoever takes their place is noticed.

use std::time::Duration;

use crate::kit;
use crate::kit::truth::{Class, Truth};
use coordinator::options::Options;
use shared::cluster::Reply;
use shared::env::Timing;
use shared::messages::{Action, Pace};
use shared::result::{CleanupResult, Status};
use shared::servers::{ClusterServers, Server};
use shared::slot::slot_of;

/// Matching keys of a mixture, and more that are fresh on all primaries but the first: there a run is done early.
const KEYS: u64 = 6_000;
const MORE: u64 = 12_000;

/// Primaries, of which each has one replica.
pub const PRIMARIES: usize = 3;

/// A cluster whose replicas take over soon, however old their data are.
pub async fn cluster() -> ClusterServers {
    let args = ["--cluster-node-timeout", "3000", "--cluster-replica-validity-factor", "0"];
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

/// A mixture of which the first primary has least.
fn truth() -> Truth {
    let mut truth = Truth::mixture(KEYS, "");
    let names = (0..MORE).map(|n| format!("permissions:more:{n}"));
    for name in names.filter(|name| usize::from(slot_of(name.as_bytes())) * PRIMARIES >= 16_384) {
        truth.add(Class::Fresh, name);
    }
    truth
}

/// A run, and `blow` beside it once the first primary has deleted some keys.
async fn run_and_blow(
    options: &Options,
    cluster: &ClusterServers,
    blow: impl AsyncFnOnce(),
) -> CleanupResult {
    let env = kit::env(options, Timing::default());
    let survey = kit::look(options).await;
    let (progress, _seen) = kit::progress(&survey);
    let running = kit::in_time(coordinator::embedded::run(&env, options, &survey, progress));
    let blowing = async {
        deletes(&cluster.nodes()[0]).await;
        blow().await;
    };
    let (result, ()) = tokio::join!(running, kit::in_time(blowing));
    result.unwrap()
}

/// Waits until `server` has fewer keys than now.
async fn deletes(server: &Server) {
    let conn = server.conn().await.unwrap();
    let size = async || match conn.words("DBSIZE").await.unwrap() {
        Reply::Int(size) => size,
        other => panic!("DBSIZE answered {other:?}"),
    };
    let before = size().await;
    while size().await + 20 > before {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_failover_brings_back_is_deleted_again_and_counted_apart() {
    let cluster = cluster().await;
    let options = slow(&cluster, 4_000);
    let truth = truth();
    truth.seed(&options.access).await;
    cut_off(&cluster.nodes()[0]).await;
    let result = run_and_blow(&options, &cluster, async || cluster.nodes()[0].kill().unwrap()).await;
    assert_eq!(result.status, Status::Completed, "{result:#?}");
    truth.check_numbers(&result, Action::Delete);
    truth.check_keys(&options.access, true).await;
    let again = &result.read_again;
    assert!(again.redeleted > 0 && again.accounting.is_balanced(), "{again:?}");
    assert_eq!(again.replaced.iter().map(ToString::to_string).collect::<Vec<_>>(), [cluster.id(0)]);
    assert!(result.issues.iter().any(|issue| issue.contains("deleted there again")), "{:?}", result.issues);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_replica_had_is_not_deleted_again() {
    let cluster = cluster().await;
    let options = slow(&cluster, 4_000);
    let truth = truth();
    truth.seed(&options.access).await;
    let result = run_and_blow(&options, &cluster, async || {
        replica(&cluster, 0).conn().await.unwrap().words("CLUSTER FAILOVER").await.unwrap();
        takes_over(replica(&cluster, 0)).await;
    })
    .await;
    assert_eq!(result.status, Status::Completed, "{result:#?}");
    truth.check_numbers(&result, Action::Delete);
    truth.check_keys(&options.access, true).await;
    assert_eq!(result.read_again.redeleted, 0, "{:?}", result.read_again);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_primary_may_be_replaced() {
    let cluster = cluster().await;
    let options = slow(&cluster, 4_000);
    let truth = truth();
    truth.seed(&options.access).await;
    cut_off(&cluster.nodes()[0]).await;
    let result = run_and_blow(&options, &cluster, async || {
        for index in 0..PRIMARIES {
            let conn = replica(&cluster, index).conn().await.unwrap();
            conn.words("CLUSTER FAILOVER TAKEOVER").await.unwrap();
            takes_over(replica(&cluster, index)).await;
        }
    })
    .await;
    assert_eq!(result.status, Status::Completed, "{result:#?}");
    truth.check_numbers(&result, Action::Delete);
    truth.check_keys(&options.access, true).await;
    assert!(result.read_again.redeleted > 0, "{:?}", result.read_again);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_another_primary_the_slots_whose_deletions_are_in_doubt_are_named() {
    let part = ["--cluster-require-full-coverage", "no"];
    let cluster =
        ClusterServers::start_with(PRIMARIES, 0, &part, None).await.expect("a cluster can be started");
    let options = loop {
        let options = slow(&cluster, 6_000);
        let lock = slot_of(format!("keysweep:lock:{}", options.job).as_bytes());
        if usize::from(lock) * PRIMARIES >= 16_384 {
            break Options { max_delete_percent: 60, ..options };
        }
    };
    let truth = truth();
    truth.seed(&options.access).await;
    let env = kit::env(&options, kit::hasty());
    let survey = kit::look(&options).await;
    let (progress, _seen) = kit::progress(&survey);
    let running = kit::in_time(coordinator::embedded::run(&env, &options, &survey, progress));
    let killing = async {
        deletes(&cluster.nodes()[0]).await;
        cluster.nodes()[0].kill().unwrap();
    };
    let (result, ()) = tokio::join!(running, kit::in_time(killing));
    let result = result.unwrap();
    assert_eq!(result.status, Status::Partial, "{result:#?}");
    let named = result.coverage.missing.as_deref().into_iter().chain(result.coverage.undone.as_deref());
    let slots: Vec<u16> = named.flat_map(slots).collect();
    let here = |slot: u16| usize::from(slot) * PRIMARIES < 16_384;
    assert!(slots.iter().all(|slot| here(*slot)), "{:?}", result.coverage);
    // Whatever had been deleted there may be back, if anybody restores the node from a copy.
    let unnamed =
        truth.stale.iter().map(|key| slot_of(key)).find(|slot| here(*slot) && !slots.contains(slot));
    assert_eq!(unnamed, None, "{:?}", result.coverage);
}

/// The slots of `ranges`, such as `1-3, 7`.
pub fn slots(ranges: &str) -> Vec<u16> {
    let parse = |text: &str| text.trim().parse::<u16>().expect("a slot");
    let range = |range: &str| match range.split_once('-') {
        Some((first, last)) => parse(first)..=parse(last),
        None => parse(range)..=parse(range),
    };
    ranges.split(',').flat_map(range).collect()
}
