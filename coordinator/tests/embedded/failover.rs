//! Primaries that fail during a run: deletions that no replica had received are found again, replicated ones are not
//! scanned twice, and the new primary is detected.

use std::collections::BTreeSet;
use std::time::Duration;

use coordinator::drive::Progress;
use coordinator::options::Options;
use coordinator::preflight::Preflight;
use keysweep_model::messages::Action;
use keysweep_model::result::{Accounting, CleanupResult, Status};
use keysweep_model::slot::slot_of;
use keysweep_runtime::context::Timing;
use keysweep_servers::{ClusterServers, Server};
use keysweep_storage::queue::Topic;
use keysweep_testkit::kit;
use keysweep_testkit::kit::gate::Gate;
use keysweep_testkit::kit::ground_truth::GroundTruth;

/// Matching keys.
const KEYS: u64 = 6_000;

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
    conn.info_text("ACL SETUSER default -psync -sync -replconf").await.unwrap();
    conn.info_text("CLIENT KILL TYPE replica").await.unwrap();
}

/// Waits until `server` is a primary.
pub async fn takes_over(server: &Server) {
    loop {
        // A new connection each time: Sentinels close those of a server that they promote, even one being made.
        let role = async { server.conn().await.ok()?.info_text("ROLE").await.ok() }.await;
        if role.is_some_and(|role| format!("{role:?}").contains("master")) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A run whose first task is done, and those of the other nodes held back, when something happens.
struct Held<'a> {
    cluster: &'a ClusterServers,
    options: Options,
    truth: GroundTruth,
    planned: Preflight,
    /// The node, by its index, that has deleted what it had to.
    done: usize,
}

impl<'a> Held<'a> {
    /// A mixture in `cluster`, and the plan of a run whose lock is elsewhere than its first task.
    async fn new(cluster: &'a ClusterServers) -> Self {
        let truth = GroundTruth::mixture(KEYS, "");
        truth.seed(&kit::options(cluster.urls()).access).await;
        loop {
            let mut options = kit::options(cluster.urls());
            options.rules.delete_batch_keys = 10;
            let planned = kit::preflight_of(&options).await;
            let first =
                planned.tasks.iter().map(|task| &task.node).min().expect("there are tasks").to_string();
            let done = (0..PRIMARIES).find(|index| cluster.id(*index) == first).expect("a primary");
            let lock = slot_of(format!("keysweep:lock:{}", options.job).as_bytes());
            if usize::from(lock) * PRIMARIES / 16_384 != done {
                return Self { cluster, options, truth, planned, done };
            }
        }
    }

    /// Whether the first task's node owned `slot`.
    fn is_here(&self, slot: u16) -> bool {
        usize::from(slot) * PRIMARIES / 16_384 == self.done
    }

    fn primary(&self) -> &Server {
        &self.cluster.nodes()[self.done]
    }

    /// The run, in which `blow` comes once the first task's keys have been deleted.
    async fn run(&self, timing: Timing, blow: impl AsyncFnOnce()) -> CleanupResult {
        let mut env = kit::env(&self.options, timing);
        let gate = Gate::install(&mut env.queue, Topic::Tasks);
        let (progress, mut seen) = kit::progress(&self.planned);
        let running = Box::pin(coordinator::embedded::run(&env, &self.options, &self.planned, progress));
        let here = |key: &&Vec<u8>| self.is_here(slot_of(key));
        let stale = self.truth.stale.iter().filter(here).count() as u64;
        let blowing = async {
            gate.allow(1);
            let all = |progress: &Progress| progress.totals.accounting.deleted >= stale;
            seen.wait_for(all).await.expect("the run is at work");
            let first = self.planned.tasks.iter().find(|task| task.task == gate.published()[0]);
            assert_eq!(first.map(|task| task.node.to_string()).as_deref(), Some(self.cluster.id(self.done)));
            blow().await;
            gate.open();
        };
        let (result, ()) = kit::in_time(async { tokio::join!(running, blowing) }).await;
        result.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_a_failover_restores_are_deleted_again_and_counted_separately() {
    let cluster = cluster().await;
    let held = Held::new(&cluster).await;
    cut_off(held.primary()).await;
    let result = held.run(Timing::default(), async || held.primary().kill().unwrap()).await;
    held.truth.check_numbers(&result, Action::Delete);
    held.truth.check_keys(&held.options.access, true).await;
    let again = &result.failover;
    let stale = held.truth.stale.iter().filter(|key| held.is_here(slot_of(key))).count() as u64;
    assert_eq!((again.redeleted, again.accounting.is_balanced()), (stale, true), "{again:?}");
    assert_eq!(again.replaced.iter().map(ToString::to_string).collect::<Vec<_>>(), [cluster.id(held.done)]);
    assert!(result.issues.iter().any(|issue| issue.contains("were deleted again")), "{:?}", result.issues);
}

/// On a busy machine a replica may take longer to have a deletion than is waited for; what it has then is read again, and
/// nothing of it is back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicated_deletions_are_not_read_again() {
    for _ in 0..3 {
        let cluster = cluster().await;
        let held = Held::new(&cluster).await;
        let result = held
            .run(Timing::default(), async || {
                let other = replica(&cluster, held.done);
                other.conn().await.unwrap().info_text("CLUSTER FAILOVER").await.unwrap();
                takes_over(other).await;
            })
            .await;
        held.truth.check_numbers(&result, Action::Delete);
        held.truth.check_keys(&held.options.access, true).await;
        let again = result.failover;
        assert_eq!((again.redeleted, again.accounting), (0, balanced()), "{:?}", again.rescanned);
        if again.rescanned.is_none() {
            assert_eq!(again.replaced, []);
            return;
        }
    }
    panic!("the replica never had it in time");
}

fn balanced() -> Accounting {
    Accounting { balanced: true, ..Accounting::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_primary_may_be_replaced() {
    let cluster = cluster().await;
    let held = Held::new(&cluster).await;
    cut_off(held.primary()).await;
    let result = held
        .run(Timing::default(), async || {
            for index in 0..PRIMARIES {
                let other = replica(&cluster, index);
                other.conn().await.unwrap().info_text("CLUSTER FAILOVER TAKEOVER").await.unwrap();
                takes_over(other).await;
            }
        })
        .await;
    held.truth.check_numbers(&result, Action::Delete);
    held.truth.check_keys(&held.options.access, true).await;
    assert!(result.failover.redeleted > 0, "{:?}", result.failover);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_another_primary_the_slots_whose_deletions_are_in_doubt_are_named() {
    let part = ["--cluster-require-full-coverage", "no"];
    let cluster =
        ClusterServers::start_with(PRIMARIES, 0, &part, None).await.expect("a cluster can be started");
    let held = Held::new(&cluster).await;
    let result = held.run(kit::hasty(), async || held.primary().kill().unwrap()).await;
    assert_eq!(result.status, Status::Partial, "{result:#?}");
    let named: Vec<u16> = result.coverage.missing.as_deref().into_iter().flat_map(slots).collect();
    // A node that is restored from a copy may have all deleted keys again.
    let touched: BTreeSet<u16> = held.truth.stale.iter().map(|key| slot_of(key)).collect();
    let expected: Vec<u16> = touched.into_iter().filter(|slot| held.is_here(*slot)).collect();
    assert_eq!(named, expected, "{:?}", result.coverage);
    assert_eq!((result.coverage.unresolved, result.accounting.balanced), (None, true));
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
