//! A quiet deployment: a run deletes every stale key and nothing else, and its numbers are exact. CI runs this with
//! 50,000 keys; the `soak_` tests with `KEYSWEEP_SOAK_KEYS` (a million).

use coordinator::options::Options;
use keysweep_model::glob::Pattern;
use keysweep_model::limits::KEY_BYTES_MAX;
use keysweep_model::result::{CleanupResult, Status};
use keysweep_runtime::limits::BATCHES_QUEUE_BYTES_MAX;
use keysweep_testkit::kit;
use keysweep_testkit::kit::ground_truth::{Class, GroundTruth};
use scanner::limits::SLOT_KEYS_MAX;

/// Matching keys of a test in CI.
const KEYS: u64 = 50_000;

/// Seeds, runs, and holds the run against the truth.
async fn check(options: &Options, truth: &GroundTruth) -> CleanupResult {
    truth.seed(&options.access).await;
    let result = kit::run(options).await;
    truth.check(&options.access, &result).await;
    println!("{} keys in {} ms", result.scanned_keys, result.duration_ms);
    result
}

/// The mixture with the names that are easy to get wrong: binary ones, one that is as long as a name may be.
fn mixture(keys: u64) -> GroundTruth {
    let mut truth = GroundTruth::mixture(keys, "");
    truth.add_binary();
    truth.add(Class::Stale, long_name(b'x', KEY_BYTES_MAX));
    truth.add(Class::Fresh, long_name(b'y', KEY_BYTES_MAX));
    truth
}

fn long_name(fill: u8, bytes: usize) -> Vec<u8> {
    let mut name = b"permissions:".to_vec();
    name.resize(bytes, fill);
    name
}

async fn on_a_cluster(keys: u64) {
    let cluster = kit::cluster().await;
    let options = kit::options(cluster.urls());
    let result = check(&options, &mixture(keys)).await;
    assert_eq!((result.status, result.coverage.slots_covered), (Status::Completed, Some(16_384)));
    assert_eq!(result.nodes.len(), 3);
}

async fn on_a_standalone_server(keys: u64, db: u32) {
    let server = kit::standalone().await;
    let mut options = kit::options(vec![server.url()]);
    options.access.db = db;
    let result = check(&options, &mixture(keys)).await;
    assert_eq!((result.status, result.coverage.slots_covered), (Status::Completed, None));
}

/// One slot with `giant` keys, and a few in all others.
async fn with_a_giant_slot(giant: u64) {
    assert!(giant > SLOT_KEYS_MAX, "only then it is giant");
    let cluster = kit::cluster().await;
    let options = kit::options(cluster.urls());
    let mut truth = GroundTruth::mixture(giant, "{x}");
    let others = GroundTruth::mixture(giant / 4, "");
    for (class, keys) in [(Class::Stale, others.stale), (Class::Fresh, others.fresh)] {
        keys.into_iter().for_each(|key| truth.add(class, key));
    }
    check(&options, &truth).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quiet_cluster() {
    on_a_cluster(KEYS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quiet_standalone_server() {
    on_a_standalone_server(KEYS, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_database_of_a_standalone_server() {
    let server = kit::standalone().await;
    let mut options = kit::options(vec![server.url()]);
    // The same names in database 0 are not ours to touch.
    let elsewhere = GroundTruth::mixture(3_000, "");
    elsewhere.seed(&options.access).await;
    let first = options.access.clone();
    options.access.db = 3;
    check(&options, &mixture(10_000)).await;
    elsewhere.check_keys(&first, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_giant_slot() {
    with_a_giant_slot(20_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_empty_name_is_a_name_like_any_other() {
    let (server, cluster) = (kit::standalone().await, kit::cluster().await);
    for urls in [vec![server.url()], cluster.urls()] {
        let mut options = kit::options(urls);
        options.rules.patterns = vec![Pattern::new("*").unwrap()];
        let mut truth = GroundTruth::default();
        truth.add(Class::Stale, "");
        for n in 0..2_000 {
            truth.add(if n % 3 == 0 { Class::Stale } else { Class::Fresh }, format!("{n}"));
            truth.add(Class::Protected, format!("permissions:system:{n}"));
        }
        check(&options, &truth).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_is_too_long_is_counted_named_and_left_alone() {
    let (server, cluster) = (kit::standalone().await, kit::cluster().await);
    for urls in [vec![server.url()], cluster.urls()] {
        let options = kit::options(urls);
        let mut truth = GroundTruth::mixture(1_000, "");
        truth.add(Class::Stale, long_name(b'l', KEY_BYTES_MAX));
        truth.add(Class::TooLong, long_name(b'm', KEY_BYTES_MAX + 1));
        truth.add(Class::TooLong, long_name(b'n', KEY_BYTES_MAX + 500));
        let result = check(&options, &truth).await;
        assert_eq!(result.status, Status::Partial);
        let issue =
            result.issues.iter().find(|issue| issue.contains("key_too_long")).expect("an issue names them");
        assert!(issue.contains("permissions:mmm") && issue.contains("(1000001 bytes)"), "{issue}");
        assert!(issue.contains("permissions:nnn") && issue.contains("(1000500 bytes)"), "{issue}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_long_names_than_the_queue_of_batches_holds() {
    let names = BATCHES_QUEUE_BYTES_MAX / KEY_BYTES_MAX * 2;
    let (server, cluster) = (kit::standalone().await, kit::cluster().await);
    for (urls, tag) in [(vec![server.url()], ""), (cluster.urls(), ""), (cluster.urls(), "{x}")] {
        let mut options = kit::options(urls);
        options.max_delete_percent = 100;
        let mut truth = GroundTruth::default();
        for n in 0..names {
            let mut name = format!("permissions:{tag}{n}:").into_bytes();
            name.resize(KEY_BYTES_MAX, b'x');
            truth.add(Class::Stale, name);
        }
        check(&options, &truth).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_there_and_nothing_that_matches() {
    let (server, cluster) = (kit::standalone().await, kit::cluster().await);
    for urls in [vec![server.url()], cluster.urls()] {
        let options = kit::options(urls);
        check(&options, &GroundTruth::default()).await;
        let mut truth = GroundTruth::default();
        (0..20_000).for_each(|n| truth.add(Class::Other, format!("product:{n}")));
        check(&options, &truth).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_stale_goes_if_that_is_allowed() {
    let (server, cluster) = (kit::standalone().await, kit::cluster().await);
    for urls in [vec![server.url()], cluster.urls()] {
        let mut options = kit::options(urls);
        options.max_delete_percent = 100;
        let mut truth = GroundTruth::default();
        (0..20_000).for_each(|n| truth.add(Class::Stale, format!("permissions:{n}")));
        check(&options, &truth).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes KEYSWEEP_SOAK_KEYS keys"]
async fn soak_a_quiet_cluster() {
    on_a_cluster(kit::soak_keys()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes KEYSWEEP_SOAK_KEYS keys"]
async fn soak_a_quiet_standalone_server() {
    on_a_standalone_server(kit::soak_keys(), 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a fifth of KEYSWEEP_SOAK_KEYS keys in one slot"]
async fn soak_a_giant_slot() {
    with_a_giant_slot((kit::soak_keys() / 5).max(SLOT_KEYS_MAX + 1)).await;
}
