//! Slots that move, or stay half-moved, and nodes that fail during a run: no key is missed that existed throughout,
//! and what could not be read is named.

use std::time::Duration;

use coordinator::options::Options;
use coordinator::run_phase::RunPhase;
use keysweep_model::messages::Action;
use keysweep_model::result::{CleanupResult, Status};
use keysweep_model::slot::slot_of;
use keysweep_runtime::context::{Context, Timing};
use keysweep_servers::{ClusterServers, Server};
use keysweep_testkit::kit::ground_truth::{Class, GroundTruth};
use keysweep_testkit::kit::{self, keys};
use keysweep_testkit::reshard::Reshard;

/// Keys in the slot that moves: more than one MIGRATE takes along.
const TAGGED: u64 = 600;

/// The slot of `{x}`, the node that owns it at first, and the node that it moves to.
struct Move {
    slot: u16,
    from: usize,
    to: usize,
}

impl Move {
    fn of(cluster: &ClusterServers) -> Self {
        let slot = slot_of(b"{x}");
        let from = owner(cluster, slot);
        Self { slot, from, to: (from + 1) % 3 }
    }
}

/// The primary, by its index, that owned `slot` when the cluster was made.
fn owner(cluster: &ClusterServers, slot: u16) -> usize {
    let primaries = cluster.primaries().len();
    (0..primaries).rfind(|index| usize::from(slot) >= 16_384 * index / primaries).unwrap()
}

/// A mixture all over the cluster, with [`TAGGED`] more keys in the slot of `{x}`.
fn truth() -> GroundTruth {
    let mut truth = GroundTruth::mixture(6_000, "");
    for n in 0..TAGGED {
        truth.add(if n % 2 == 0 { Class::Stale } else { Class::Fresh }, format!("permissions:{{x}}:{n}"));
    }
    truth
}

/// A run in `env`, with `change` in parallel, which is notified when everything has been scanned.
pub async fn run_and_change(
    context: &Context,
    options: &Options,
    change: impl AsyncFnOnce(std::pin::Pin<Box<dyn Future<Output = ()> + '_>>),
) -> CleanupResult {
    let preflight = kit::preflight_of(options).await;
    let (progress, mut seen) = kit::progress(&preflight);
    let running = kit::in_time(coordinator::embedded::run(context, options, &preflight, progress));
    let scanned = Box::pin(async move {
        seen.wait_for(|progress| progress.phase == RunPhase::Reaping).await.unwrap();
    });
    let changing = kit::in_time(change(scanned));
    let (result, ()) = tokio::join!(running, changing);
    result.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_is_half_moved_when_the_run_begins_is_read_when_it_has_settled() {
    let cluster = kit::cluster().await;
    let options = kit::options(cluster.urls());
    let (truth, Move { slot, from, to }) = (truth(), Move::of(&cluster));
    truth.seed(&options.access).await;
    cluster.open_slot(slot, from, to).await.unwrap();
    assert_eq!(cluster.move_keys(slot, from, to, 250).await.unwrap(), 250);
    let env = kit::env(&options, Timing::default());
    let result = run_and_change(&env, &options, async |_| {
        tokio::time::sleep(Duration::from_millis(700)).await;
        cluster.move_keys(slot, from, to, usize::MAX).await.unwrap();
        cluster.close_slot(slot, from, to).await.unwrap();
    })
    .await;
    assert_eq!(result.status, Status::Completed, "{:?}", result.issues);
    truth.check(&options.access, &result).await;
    cluster.move_slot(slot, to, from).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_moves_between_scan_and_deletion_is_followed() {
    Box::pin(moves_before_deletion(&*kit::cluster().await)).await;
}

pub async fn moves_before_deletion(cluster: &ClusterServers) {
    let mut options = kit::options(cluster.urls());
    options.rules.grace_ms = 700;
    let (truth, Move { slot, from, to }) = (truth(), Move::of(cluster));
    truth.seed(&options.access).await;
    let env = kit::env(&options, Timing::default());
    let result = run_and_change(&env, &options, async |scanned| {
        scanned.await;
        cluster.open_slot(slot, from, to).await.unwrap();
        cluster.move_keys(slot, from, to, 250).await.unwrap();
        // The grace ends meanwhile, and the reapers meet a slot of which neither node has all keys.
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        cluster.move_keys(slot, from, to, usize::MAX).await.unwrap();
        cluster.close_slot(slot, from, to).await.unwrap();
    })
    .await;
    assert_eq!(result.status, Status::Completed, "{:?}", result.issues);
    truth.check_numbers(&result, Action::Delete);
    truth.check_keys(&options.access, true).await;
    cluster.move_slot(slot, to, from).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_that_move_all_the_time_miss_no_key() {
    let cluster = kit::cluster().await;
    let options = kit::options(cluster.urls());
    let truth = GroundTruth::mixture(40_000, "");
    truth.seed(&options.access).await;
    let mut rng = kit::seeded(11);
    // To one node: were there several, each might take an epoch that another one has, and what a former owner said
    // late would count.
    let slots: Vec<u16> = (0..40).map(|_| rng.u16(..5_461)).collect();
    let env = kit::env(&options, Timing::default());
    let result = run_and_change(&env, &options, async |_| {
        for slot in &slots {
            let from = owner(&cluster, *slot);
            cluster.move_slot(*slot, from, (from + 1) % 3).await.unwrap();
        }
    })
    .await;
    assert_eq!(result.status, Status::Completed, "{:?}", result.issues);
    let moved: std::collections::BTreeSet<u16> = slots.into_iter().collect();
    for slot in &moved {
        // Said once more: after so many moves a node may have fallen back to what it heard before.
        let from = owner(&cluster, *slot);
        cluster.close_slot(*slot, from, (from + 1) % 3).await.unwrap();
    }
    truth.check(&options.access, &result).await;
    for slot in moved {
        let from = owner(&cluster, slot);
        cluster.move_slot(slot, (from + 1) % 3, from).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_stays_open_is_named_as_missing() {
    let cluster = kit::cluster().await;
    let options = kit::options(cluster.urls());
    let (mut truth, Move { slot, from, to }) = (truth(), Move::of(&cluster));
    truth.seed(&options.access).await;
    cluster.open_slot(slot, from, to).await.unwrap();
    let env = kit::env(&options, kit::hasty());
    let result = run_and_change(&env, &options, async |_| {}).await;
    cluster.calm_slot(slot, from, to).await.unwrap();
    assert_eq!(result.status, Status::Partial, "{:?}", result.issues);
    assert_eq!(result.coverage.missing, Some(slot.to_string()));
    assert_eq!(result.coverage.slots_covered, Some(16_383));
    assert!(
        result.coverage.causes.keys().any(|cause| cause.contains("kept moving")),
        "{:?}",
        result.coverage
    );
    // What is in the slot was neither counted nor touched.
    let here: Vec<Vec<u8>> = truth.stale.extract_if(.., |key| slot_of(key) == slot).collect();
    assert_eq!(keys::existing(&options.access, &here).await.len(), here.len());
    let expected = truth.accounting(Action::Delete);
    assert_eq!(result.accounting, expected);
    assert_eq!(keys::existing(&options.access, &truth.stale).await.len(), 0);
    assert_eq!(keys::existing(&options.access, &truth.fresh).await.len(), truth.fresh.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_giant_slot_that_stays_open_is_abandoned_as_one() {
    let cluster = kit::cluster().await;
    let mut options = kit::options(cluster.urls());
    options.rules.action = Action::Report;
    let Move { slot, from, to } = Move::of(&cluster);
    let tag = keysweep_model::slot::tag_for(slot);
    let mut truth = GroundTruth::default();
    for n in 0..40_000 {
        truth.add(Class::Stale, format!("permissions:{{{tag}}}:{n}"));
    }
    truth.seed(&options.access).await;
    cluster.open_slot(slot, from, to).await.unwrap();
    let env = kit::env(&options, kit::hasty());
    let preflight = kit::preflight_of(&options).await;
    let (progress, seen) = kit::progress(&preflight);
    let running = coordinator::embedded::run(&env, &options, &preflight, progress);
    let result = kit::in_time(running).await.unwrap();
    cluster.calm_slot(slot, from, to).await.unwrap();
    assert_eq!((result.status, result.coverage.missing), (Status::Partial, Some(slot.to_string())));
    assert_eq!((result.scanned_keys, result.stale_ttl_keys), (0, 0), "none of its keys counts");
    // Every part of a pass hands the slot back, and only one of them starts the next pass.
    let passes = u64::from(coordinator::limits::RESCHEDULES_MAX) + 2;
    let tasks = seen.borrow().totals.tasks;
    let planned = preflight.tasks.len() as u64;
    assert!(tasks <= planned * passes, "{tasks} tasks from {planned}");
}

/// A cluster of its own that goes on in part, options for a job whose lock is not on its last node, and a
/// truth that is seeded.
async fn mortal() -> (ClusterServers, Options, GroundTruth) {
    let part = ["--cluster-require-full-coverage", "no"];
    let cluster = ClusterServers::start_with(3, 0, &part, None).await.expect("a cluster can be started");
    let options = loop {
        let options = kit::options(cluster.urls());
        if owner(&cluster, slot_of(format!("keysweep:lock:{}", options.job).as_bytes())) != 2 {
            break options;
        }
    };
    let truth = GroundTruth::mixture(30_000, "");
    truth.seed(&options.access).await;
    (cluster, options, truth)
}

/// Nothing of ours is left on the living nodes.
async fn nothing_is_left(living: &[Server]) {
    for node in living {
        let own = node.conn().await.unwrap().info_text("KEYS keysweep:*").await.unwrap();
        assert_eq!(own, keysweep_redis::Reply::Array(Vec::new()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_goes_away_before_it_is_read_leaves_its_slots_uncovered() {
    let (cluster, options, truth) = mortal().await;
    let preflight = kit::preflight_of(&options).await;
    cluster.nodes()[2].kill().unwrap();
    let env = kit::env(&options, kit::hasty());
    let result = kit::run_in(&env, &options, &preflight).await.unwrap();
    assert_eq!(result.status, Status::Partial, "{:?}", result.issues);
    assert_eq!(result.coverage.missing.as_deref(), Some("10922-16383"));
    assert!(
        result.coverage.causes.keys().any(|cause| cause.contains("cannot be reached")),
        "{:?}",
        result.coverage
    );
    let living = truth.stale.iter().filter(|key| owner(&cluster, slot_of(key)) != 2).count() as u64;
    assert_eq!((result.cleaned_keys, result.accounting.balanced), (living, true), "{:?}", result.accounting);
    nothing_is_left(&cluster.nodes()[..2]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_goes_away_before_its_keys_are_deleted_leaves_them_unreached() {
    let (cluster, mut options, truth) = mortal().await;
    // Longer than the scan takes on a busy machine: no batch may act before the node goes away.
    options.rules.grace_ms = 10_000;
    let env = kit::env(&options, kit::hasty());
    let result = run_and_change(&env, &options, async |scanned| {
        scanned.await;
        cluster.nodes()[2].kill().unwrap();
    })
    .await;
    assert_eq!(result.status, Status::Partial, "{:?}", result.issues);
    assert_eq!(
        (result.coverage.complete, result.scanned_keys),
        (true, truth.scanned()),
        "{:?} {:?}",
        result.coverage,
        result.issues
    );
    let living = truth.stale.iter().filter(|key| owner(&cluster, slot_of(key)) != 2).count() as u64;
    let mut expected = truth.accounting(Action::Delete);
    // It was down before any deletion there was tried, so none can have happened.
    (expected.deleted, expected.unreached) = (living, truth.stale.len() as u64 - living);
    assert_eq!(result.accounting, expected, "{:?}", result.issues);
    // The other nodes may have noticed by then, and name no owner of its slots.
    let causes = ["cannot be reached", "no node serves slot"];
    let is_named = |issue: &String| causes.iter().any(|cause| issue.contains(cause));
    assert!(result.issues.iter().any(is_named), "{:?}", result.issues);
    nothing_is_left(&cluster.nodes()[..2]).await;
}
