//! Nodes without a stale key are skipped, and their figures come from a sample. As soon as such a key exists, they are
//! read.

use coordinator::inactive_policy::ActivitySource;
use coordinator::options::Options;
use keysweep_model::result::{CleanupResult, Status};
use keysweep_model::slot::slot_of;
use keysweep_runtime::context::Timing;
use keysweep_servers::{ClusterServers, Seeder, Server};
use keysweep_testkit::kit::{self, population};

const KEYS: u64 = 9_000;

const TTL_MS: u64 = 400_000;

fn name(n: u64) -> String {
    format!("permissions:{n}:documents")
}

/// Keys with a TTL, non-matching keys, and one without TTL where `stale` returns true.
async fn fill(urls: &[String], stale: impl Fn(&str) -> bool) -> u64 {
    let (mut seeder, mut staled) = (Seeder::connect(urls).await.unwrap(), 0);
    for n in 0..KEYS {
        let key = name(n);
        let is_stale = stale(&key);
        staled += u64::from(is_stale);
        seeder.set(key.as_bytes(), b"x", (!is_stale).then_some(TTL_MS)).await.unwrap();
        if n % 3 == 0 {
            seeder.set(format!("other:{n}").as_bytes(), b"x", Some(TTL_MS)).await.unwrap();
        }
    }
    seeder.finish().await.unwrap();
    staled
}

/// That `result` skipped all keys, and tells of them what is true.
fn check_skipped(result: &CleanupResult) {
    assert_eq!((result.status, result.scanned_keys), (Status::Completed, 0), "{:?}", result.issues);
    assert_eq!((result.skipped_keys, result.cleaned_keys), (KEYS + KEYS / 3, 0));
    assert_eq!(result.nodes.iter().map(|node| node.skipped_keys).sum::<u64>(), result.skipped_keys);
    let (skipped, nodes) = (&result.skipped, result.nodes.len() as u64);
    assert!((1_000 * nodes..=3_000 * nodes).contains(&skipped.sampled_keys), "{}", skipped.sampled_keys);
    assert!(skipped.reason.is_some() && skipped.sample_error_percent.unwrap() < 3.2, "{skipped:?}");
    let near = |reported: u64| reported.abs_diff(KEYS) < KEYS / 12;
    assert!(
        near(skipped.matching_keys) && result.current_metrics.total_keys.is_some_and(near),
        "{skipped:?}"
    );
    let ttl = result.current_metrics.avg_ttl.unwrap();
    assert!((390.0..=400.0).contains(&ttl), "{ttl}");
    let p50 = result.metrics.ttl.p50.unwrap();
    assert!((385.0..=405.0).contains(&p50), "{p50}");
    let heaviest = &result.metrics.prefixes.by_keys.rows[0];
    assert!(heaviest.prefix == "permissions:" && near(heaviest.weight), "{heaviest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_healthy_cluster_is_skipped_and_a_switch_reads_it() {
    let servers = ClusterServers::start(3, 0).await.unwrap();
    fill(&servers.urls(), |_| false).await;
    let options = kit::options(servers.urls());
    check_skipped(&kit::run(&options).await);
    let full_scan = Options { full_scan: true, ..options };
    let all = kit::run(&full_scan).await;
    assert_eq!((all.status, all.scanned_keys, all.skipped_keys), (Status::Completed, KEYS, 0));
    assert_eq!(all.skipped, keysweep_model::result::Skipped::default());
    let aggressive = population::options(servers.urls(), ActivitySource::IdleTime);
    let all = kit::run(&aggressive).await;
    assert_eq!((all.scanned_keys, all.skipped_keys), (KEYS, 0), "{:?}", all.issues);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_healthy_server_is_skipped() {
    let server = Server::start(&[]).await.unwrap();
    fill(&[server.url()], |_| false).await;
    check_skipped(&kit::run(&kit::options(vec![server.url()])).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_nodes_without_stale_keys_are_skipped() {
    let servers = ClusterServers::start(3, 0).await.unwrap();
    let stale = fill(&servers.urls(), |key| slot_of(key.as_bytes()) < 400).await;
    assert!(stale > 0);
    let result = kit::run(&kit::options(servers.urls())).await;
    assert_eq!((result.status, result.cleaned_keys), (Status::Completed, stale), "{:?}", result.issues);
    let read: Vec<bool> = result.nodes.iter().map(|node| node.skipped_keys == 0).collect();
    assert_eq!(read.iter().filter(|read| **read).count(), 1, "{:?}", result.nodes);
    assert_eq!(result.scanned_keys, result.nodes.iter().map(|node| node.scanned_keys).sum::<u64>());
    assert!(result.accounting.balanced && result.coverage.complete);
}

/// A key without TTL is written after the plan said that there is none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_planned_as_skipped_is_read_if_a_stale_key_appears() {
    let servers = ClusterServers::start(3, 0).await.unwrap();
    let server = Server::start(&[]).await.unwrap();
    for urls in [servers.urls(), vec![server.url()]] {
        fill(&urls, |_| false).await;
        let options = kit::options(urls.clone());
        let preflight = kit::preflight_of(&options).await;
        assert!(preflight.tasks.iter().all(|task| task.skip));
        let mut seeder = Seeder::connect(&urls).await.unwrap();
        seeder.set(name(7).as_bytes(), b"x", None).await.unwrap();
        seeder.finish().await.unwrap();
        let env = kit::env(&options, Timing::default());
        let result = kit::run_in(&env, &options, &preflight).await.unwrap();
        assert_eq!((result.status, result.cleaned_keys), (Status::Completed, 1), "{:?}", result.issues);
        assert!(result.coverage.complete && result.scanned_keys > 0);
    }
}

/// Where hardly any key matches, a skipped node is not read for the sake of its statistics.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_searched_for_on_a_node_that_is_skipped() {
    let server = Server::start(&[]).await.unwrap();
    let mut seeder = Seeder::connect(&[server.url()]).await.unwrap();
    for n in 0..40_000 {
        seeder.set(format!("other:{n}").as_bytes(), b"x", Some(TTL_MS)).await.unwrap();
    }
    seeder.finish().await.unwrap();
    let result = kit::run(&kit::options(vec![server.url()])).await;
    assert_eq!((result.status, result.skipped_keys), (Status::Completed, 40_000), "{:?}", result.issues);
    // None in a sample is not none.
    let now = result.current_metrics;
    assert_eq!((result.skipped.matching_keys, now.total_keys, now.avg_ttl), (0, None, None));
    let conn = seeder.conns().next().unwrap();
    let stats = format!("{:?}", conn.info_text("INFO commandstats").await.unwrap());
    let (_, scans) = stats.split_once("cmdstat_scan:calls=").unwrap();
    let scans: u64 = scans.split(',').next().unwrap().parse().unwrap();
    // 64 random pages of the plan and of the task, and the check of rights; all of the node would be 80 more for each.
    assert!((64..=140).contains(&scans), "{scans}");
}
