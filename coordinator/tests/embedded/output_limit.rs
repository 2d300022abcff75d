//! Servers that close connections with too many buffered bytes (`client-output-buffer-limit`): requests become
//! smaller, the run is exact, and the limit is learned once.

use coordinator::embedded::{self, RunError};
use coordinator::options::Options;
use coordinator::preflight::PreflightError;
use keysweep_model::messages::Action;
use keysweep_model::result::Status;
use keysweep_redis::{Conn, RedisErrorKind, Reply};
use keysweep_servers::Seeder;
use keysweep_testkit::kit;
use keysweep_testkit::kit::backup::{self, Folder, contents, differences, restore};
use keysweep_testkit::kit::ground_truth::{Class, GroundTruth};
use keysweep_testkit::kit::population::{self, Population};

const KB: u64 = 1 << 10;

/// Limits for clients: hard and soft, in bytes, and seconds.
const LIMITS: [(u64, u64, u64); 3] = [(256 * KB, 64 * KB, 0), (64 * KB, 0, 0), (256 * KB, 64 * KB, 1)];

/// Connections that learning the limit of one server may cost, about: halving 8,000 keys down to 16.
const LEARNING: u64 = 20;

/// Those of a run whose pages ask for many keys.
fn options(urls: Vec<String>) -> Options {
    let mut options = kit::options(urls);
    options.rules.scan_batch_keys = 1_000;
    options
}

async fn limit(nodes: &[Conn], (hard, soft, seconds): (u64, u64, u64)) {
    for node in nodes {
        let limit = format!("normal {hard} {soft} {seconds}");
        node.command(&[b"CONFIG", b"SET", b"client-output-buffer-limit", limit.as_bytes()]).await.unwrap();
    }
}

/// Connections that each server has closed for its limit; `None` if it does not tell.
async fn closed(nodes: &[Conn]) -> Option<Vec<u64>> {
    let mut closed = Vec::new();
    for node in nodes {
        let Reply::BulkString(reported) = node.info_text("INFO stats").await.unwrap() else {
            panic!("no text")
        };
        let reported = String::from_utf8(reported).unwrap();
        let name = "client_output_buffer_limit_disconnections:";
        closed.push(reported.lines().find_map(|line| line.strip_prefix(name))?.trim().parse().unwrap());
    }
    Some(closed)
}

/// Seeds `truth`, runs under `limits`, and holds the run against the truth. Connections that each server closed.
async fn check(
    nodes: &[Conn],
    options: &Options,
    truth: &GroundTruth,
    limits: (u64, u64, u64),
) -> Option<Vec<u64>> {
    truth.seed(&options.access).await;
    let before = closed(nodes).await;
    limit(nodes, limits).await;
    let result = kit::run(options).await;
    let after = closed(nodes).await;
    limit(nodes, (0, 0, 0)).await;
    truth.check(&options.access, &result).await;
    assert_eq!(result.status, Status::Completed, "{:?}", result.issues);
    let closed =
        before.zip(after).map(|(before, after)| after.iter().zip(before).map(|(a, b)| a - b).collect());
    println!("{limits:?}: {closed:?} closed, {} ms", result.duration_ms);
    closed
}

async fn at_a_standalone_server(truth: &GroundTruth, limits: (u64, u64, u64)) -> Option<Vec<u64>> {
    let server = kit::standalone().await;
    check(&[server.conn().await.unwrap()], &options(vec![server.url()]), truth, limits).await
}

async fn in_a_cluster(truth: &GroundTruth, limits: (u64, u64, u64)) -> Option<Vec<u64>> {
    let cluster = kit::cluster().await;
    let mut nodes = Vec::new();
    for node in cluster.nodes() {
        nodes.push(node.conn().await.unwrap());
    }
    check(&nodes, &options(cluster.urls()), truth, limits).await
}

/// It was met, and not once per window or task.
fn learned_once(closed: Option<Vec<u64>>) {
    for closed in closed.into_iter().flatten() {
        assert!((1..=LEARNING).contains(&closed), "{closed} connections were closed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_under_any_limit_is_exact() {
    let truth = GroundTruth::mixture(40_000, "");
    for limits in LIMITS {
        at_a_standalone_server(&truth, limits).await;
        in_a_cluster(&truth, limits).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_limit_is_learned_once_and_not_in_each_task() {
    let truth = GroundTruth::mixture(400_000, "");
    learned_once(at_a_standalone_server(&truth, (64 * KB, 0, 0)).await);
    learned_once(in_a_cluster(&truth, (64 * KB, 0, 0)).await);
}

/// A slot is read in one answer where servers have one table for all; one that is larger than the limit is read otherwise.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_whose_keys_exceed_the_limit_are_read_by_cursors() {
    let mut truth = GroundTruth::mixture(6_000, "{x}");
    let others = GroundTruth::mixture(10_000, "");
    for (class, keys) in [(Class::Stale, others.stale), (Class::Fresh, others.fresh)] {
        keys.into_iter().for_each(|key| truth.add(class, key));
    }
    in_a_cluster(&truth, (64 * KB, 0, 0)).await;
}

fn name(n: u64, bytes: usize) -> Vec<u8> {
    let mut name = format!("permissions:{n}:").into_bytes();
    name.resize(bytes.max(name.len()), b'x');
    name
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_names_among_short_ones() {
    let mut truth = GroundTruth::default();
    for n in 0..20_000 {
        // All of one length; and a few that nearly fill the limit.
        let bytes = if n % 4_000 == 7 { 200 * 1024 } else { 20 };
        truth.add(if n % 5 == 2 { Class::Stale } else { Class::Fresh }, name(n, bytes));
    }
    at_a_standalone_server(&truth, LIMITS[0]).await;
    in_a_cluster(&truth, LIMITS[0]).await;
    let mut long = GroundTruth::default();
    (0..1_000)
        .for_each(|n| long.add(if n % 5 == 2 { Class::Stale } else { Class::Fresh }, name(n, 20 * 1024)));
    at_a_standalone_server(&long, LIMITS[0]).await;
    in_a_cluster(&long, LIMITS[0]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_beyond_the_limit_is_a_fault_that_names_it() {
    let server = kit::standalone().await;
    let nodes = [server.conn().await.unwrap()];
    let options = options(vec![server.url()]);
    let mut truth = GroundTruth::mixture(1_000, "");
    truth.add(Class::Stale, name(7, 300 * 1024));
    truth.seed(&options.access).await;
    limit(&nodes, LIMITS[0]).await;
    let failed = kit::in_time(embedded::run_cleanup_now(&options)).await.map(|result| result.status);
    let Err(RunError::Preflight(PreflightError::Redis(fault))) = &failed else { panic!("{failed:?}") };
    assert_eq!(fault.kind, RedisErrorKind::ReplyTooLarge);
    assert!(fault.detail.contains("`client-output-buffer-limit`"), "{fault}");
    if closed(&nodes).await.is_some() {
        assert!(fault.detail.contains("rose"), "{fault}");
    }
    limit(&nodes, (0, 0, 0)).await;
    truth.check_keys(&options.access, false).await;
}

/// Pages of 1,000 members, and answers about many values, are larger than this.
const SMALL: (u64, u64, u64) = (32 * KB, 0, 0);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sets_of_active_users_are_read_under_a_limit() {
    let (server, cluster) = (kit::standalone().await, kit::cluster().await);
    for urls in [vec![server.url()], cluster.urls()] {
        let options = population::options(urls, population::zset());
        let population = Population::of(5_000);
        population.seed(&options.access).await;
        let mut nodes = vec![server.conn().await.unwrap()];
        for node in cluster.nodes() {
            nodes.push(node.conn().await.unwrap());
        }
        limit(&nodes, SMALL).await;
        let result = kit::run(&options).await;
        limit(&nodes, (0, 0, 0)).await;
        assert_eq!(result.inactive.active_users, Some(population.active_users()), "{:?}", result.issues);
        population.check_numbers(&result, Action::Delete);
        population.check_keys(&options.access, (true, true)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_are_saved_under_a_limit_and_one_beyond_it_stays() {
    let (server, folder) = (kit::standalone().await, Folder::new());
    let mut options = backup::saving(options(vec![server.url()]), &folder);
    options.max_delete_percent = 100;
    let mut seeder = Seeder::open(&options.access).await.unwrap();
    let (keys, beyond) = (1_000_u64, 3_u64);
    for n in 0..keys {
        // Small ones, read at first sight, and larger ones.
        let bytes = if n % 20 == 0 { 20_000 } else { 3_000 };
        seeder.set(&name(n, 20), &vec![b'v'; bytes], None).await.unwrap();
    }
    for n in 0..beyond {
        let value = vec![b'v'; 100_000 * (n as usize + 1)];
        seeder.set(format!("permissions:beyond:{n}").as_bytes(), &value, None).await.unwrap();
    }
    seeder.finish().await.unwrap();
    let before = contents(&options.access).await;
    let nodes = [server.conn().await.unwrap()];
    limit(&nodes, (64 * KB, 0, 0)).await;
    let result = kit::run(&options).await;
    limit(&nodes, (0, 0, 0)).await;
    let accounting = result.accounting;
    assert_eq!((accounting.deleted, accounting.failed), (keys, beyond), "{:?}", result.issues);
    assert!(accounting.balanced && result.status == Status::Partial);
    assert!(
        result.issues.iter().any(|issue| issue.contains("client-output-buffer-limit")),
        "{:?}",
        result.issues
    );
    assert_eq!(contents(&options.access).await.len() as u64, beyond);
    let account = restore(&backup::order(&options, &folder)).await;
    assert_eq!((account.read, account.restored), (keys, keys), "{account:?}");
    assert_eq!(differences(&before, &contents(&options.access).await), Vec::<String>::new());
}
