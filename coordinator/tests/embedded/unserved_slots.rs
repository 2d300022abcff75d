//! A slot that no node serves, in a cluster that continues without it: the keys of that slot are not covered or not
//! confirmed, and nothing else is affected.

use coordinator::options::Options;
use keysweep_model::result::{CleanupResult, Status};
use keysweep_model::slot::{slot_of, tag_for};
use keysweep_runtime::context::Timing;
use keysweep_servers::{ClusterServers, Seeder};
use keysweep_testkit::kit;
use keysweep_testkit::kit::backup::{self, Folder};

use crate::reshard::run_and_change;

/// Stale keys all over the cluster, and in the slot that goes.
const KEYS: u64 = 3_000;
const LOST: u64 = 5;

/// Its node has more slots before and behind it.
const SLOT: u16 = 7_000;

async fn cluster() -> ClusterServers {
    ClusterServers::start_with(3, 0, &["--cluster-require-full-coverage", "no"], None).await.unwrap()
}

/// Options of a run over the keys of a cluster that is filled.
async fn filled(cluster: &ClusterServers) -> Options {
    let mut seeder = Seeder::connect(&cluster.urls()).await.unwrap();
    let others = (0..).map(|n| format!("permissions:{n}")).filter(|key| slot_of(key.as_bytes()) != SLOT);
    let lost = (0..LOST).map(|n| format!("permissions:{{{}}}:{n}", tag_for(SLOT)));
    for key in others.take(KEYS as usize).chain(lost) {
        seeder.set(key.as_bytes(), b"x", None).await.unwrap();
    }
    seeder.finish().await.unwrap();
    Options { max_delete_percent: 100, ..kit::options(cluster.urls()) }
}

/// No node serves the slot any more, but its own still has the keys.
async fn drop_slot(cluster: &ClusterServers) {
    for node in cluster.nodes() {
        node.conn().await.unwrap().info_text(&format!("CLUSTER DELSLOTS {SLOT}")).await.unwrap();
    }
}

fn check(result: &CleanupResult) {
    assert_eq!((result.status, result.cleaned_keys), (Status::Partial, KEYS), "{:?}", result.issues);
    assert!(result.accounting.balanced, "{:?}", result.accounting);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_goes_before_it_is_read_is_the_only_one_that_is_not_covered() {
    let cluster = cluster().await;
    let options = filled(&cluster).await;
    let preflight = kit::preflight_of(&options).await;
    drop_slot(&cluster).await;
    let result = kit::run_in(&kit::env(&options, Timing::default()), &options, &preflight).await.unwrap();
    check(&result);
    assert_eq!(result.coverage.slots_covered, Some(16_383));
    assert_eq!(result.coverage.missing, Some(SLOT.to_string()), "{:?}", result.coverage.causes);
    assert_eq!((result.scanned_keys, result.accounting.candidates), (KEYS, KEYS));
}

/// `folder` is where what is deleted is saved before, if it is.
async fn lost_before_its_deletions(folder: Option<&Folder>) {
    let cluster = cluster().await;
    let mut options = filled(&cluster).await;
    if let Some(folder) = folder {
        options = backup::saving(options, folder);
    }
    options.rules.grace_ms = 2_500;
    let env = kit::env(&options, kit::hasty());
    let result = run_and_change(&env, &options, async |scanned| {
        scanned.await;
        drop_slot(&cluster).await;
    })
    .await;
    check(&result);
    assert!(result.coverage.complete, "{:?}", result.coverage.causes);
    let undone = result.accounting.unreached + result.accounting.unconfirmed;
    assert_eq!((undone, result.accounting.failed), (LOST, 0), "{:?}", result.accounting);
    assert_eq!(result.coverage.unresolved, Some(SLOT.to_string()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_goes_before_its_deletions_keeps_no_others_from_theirs() {
    lost_before_its_deletions(None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_goes_before_its_keys_are_saved_keeps_no_others_from_their_deletion() {
    lost_before_its_deletions(Some(&Folder::new())).await;
}
