//! Reading from replicas: primaries list nothing, every key is found however late it was replicated, and a replica
//! that lags too far, or does not respond, is not read.

use std::time::Duration;

use coordinator::options::Options;
use keysweep_model::messages::ReadFrom;
use keysweep_model::result::{CleanupResult, ReadNode};
use keysweep_redis::{Conn, ConnectOptions};
use keysweep_servers::{ClusterServers, Server};
use keysweep_testkit::kit;
use keysweep_testkit::kit::ground_truth::GroundTruth;
use keysweep_testkit::kit::pausable_proxy::PausableProxy;
use tokio::time::{Instant, sleep};

const KEYS: u64 = 6_000;

/// Listings of one key by which the rights are checked before a run; in a cluster there is one more.
const RIGHTS_ASKED: u64 = 1;

/// Longer than a replica here is ever behind.
const PATIENT: ReadFrom = ReadFrom::Replica { lag_max_ms: 60_000 };

fn options(urls: Vec<String>, read_from: ReadFrom) -> Options {
    Options { read_from, ..kit::options(urls) }
}

fn read(result: &CleanupResult) -> &[ReadNode] {
    &result.read_from.as_ref().expect("replicas were asked for").nodes
}

/// How many listing commands a server has received.
async fn listings(conn: &Conn) -> u64 {
    let said = conn.info_text("INFO commandstats").await.unwrap();
    let text = format!("{said:?}");
    let calls = |command: &str| {
        let (_, rest) = text.split_once(&format!("cmdstat_{command}:calls="))?;
        rest.split(',').next()?.parse::<u64>().ok()
    };
    ["scan", "cluster|getkeysinslot"].into_iter().filter_map(calls).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_of_a_cluster_are_read_and_primaries_delete() {
    let cluster = ClusterServers::start(2, 1).await.unwrap();
    let options = options(cluster.primaries().iter().map(Server::url).collect(), PATIENT);
    // One slot is giant: it is read in ranges.
    let mut truth = GroundTruth::mixture(KEYS, "");
    let giant = GroundTruth::mixture(11_000, "{x}");
    truth.stale.extend(giant.stale);
    truth.fresh.extend(giant.fresh);
    truth.seed(&options.access).await;
    // A run looks as a plan does, and asks primaries for no keys beyond that.
    kit::preflight_of(&options).await;
    let mut planned = Vec::new();
    for node in cluster.primaries() {
        planned.push(listings(&node.conn().await.unwrap()).await);
    }
    let result = kit::run(&options).await;
    assert_eq!(read(&result).len(), 2, "{:?}", result.read_from);
    for node in read(&result) {
        assert_eq!((node.primary_tasks, node.replicas.len()), (0, 1), "{node:?}");
        assert!(node.replicas[0].tasks > 0 && node.primary_reasons.is_empty(), "{node:?}");
    }
    let mut listed = Vec::new();
    for node in cluster.nodes() {
        listed.push(listings(&node.conn().await.unwrap()).await);
    }
    assert_eq!(listed[..2], [2 * planned[0], 2 * planned[1]], "{listed:?}");
    assert!(listed[2..].iter().all(|listings| *listings > 0), "{listed:?}");
    // Our look-ups at replicas are no traffic at primaries.
    assert_eq!((result.current_metrics.hits, result.current_metrics.misses), (Some(0), Some(0)));
    truth.check(&options.access, &result).await;

    // A replica that does not respond delays nothing, and hides no key.
    cluster.nodes()[2].pause().unwrap();
    let truth = GroundTruth { stale: truth.stale, ..GroundTruth::default() };
    cluster.primaries()[0].conn().await.unwrap().info_text("FLUSHALL").await.unwrap();
    cluster.primaries()[1].conn().await.unwrap().info_text("FLUSHALL").await.unwrap();
    truth.seed(&options.access).await;
    let options = Options { max_delete_percent: 100, ..options };
    let result = kit::run(&options).await;
    let silent =
        read(&result).iter().find(|node| node.primary_tasks > 0).expect("one primary is read itself");
    let (why, tasks) = silent.primary_reasons.first_key_value().expect("it is said why");
    assert!(why.contains("does not answer") && *tasks == silent.primary_tasks, "{silent:?}");
    let reported = |issue: &String| issue.contains("instead of a replica") && issue.contains(&silent.address);
    assert!(result.issues.iter().any(reported), "{:?}", result.issues);
    cluster.nodes()[2].resume().unwrap();
    truth.check(&options.access, &result).await;
}

/// A primary, and a replica behind a valve.
async fn pair() -> (Server, PausableProxy, Server) {
    let primary = kit::standalone().await;
    primary.conn().await.unwrap().info_text("CONFIG SET repl-diskless-sync-delay 0").await.unwrap();
    let proxy = PausableProxy::before(primary.port()).await;
    let follows = ["--replicaof", "127.0.0.1", &proxy.port().to_string()];
    let replica = Server::start(&follows).await.unwrap();
    let (of_primary, of_replica) = (primary.conn().await.unwrap(), replica.conn().await.unwrap());
    until(&of_replica, "master_link_status:up").await;
    until(&of_primary, "state=online").await;
    (primary, proxy, replica)
}

async fn until(conn: &Conn, said: &str) {
    let limit = Instant::now() + kit::HANG;
    while !format!("{:?}", conn.info_text("INFO replication").await.unwrap()).contains(said) {
        assert!(Instant::now() < limit, "`{said}` is never said");
        sleep(Duration::from_millis(10)).await;
    }
}

async fn keys_of(server: &Server) -> u64 {
    kit::keys::count(&ConnectOptions::open(vec![server.url()])).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_waits_until_a_replica_has_what_was_there_when_it_began() {
    let (primary, proxy, replica) = pair().await;
    let options = options(vec![primary.url()], PATIENT);
    proxy.pause();
    let truth = GroundTruth::mixture(KEYS, "");
    truth.seed(&options.access).await;
    // A reader would find almost nothing now, and report success.
    assert!(keys_of(&replica).await < KEYS / 2, "the replica is behind");
    let late = async {
        sleep(Duration::from_millis(500)).await;
        proxy.resume();
    };
    let (result, ()) = tokio::join!(kit::run(&options), late);
    let [node] = read(&result) else { panic!("{:?}", result.read_from) };
    assert!(node.primary_tasks == 0 && node.replicas[0].tasks > 0, "{node:?}");
    assert_eq!(listings(&primary.conn().await.unwrap()).await, RIGHTS_ASKED);
    truth.check(&options.access, &result).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_stays_behind_or_is_cut_off_is_not_read() {
    let (primary, proxy, replica) = pair().await;
    let options = options(vec![primary.url()], ReadFrom::Replica { lag_max_ms: 200 });
    proxy.pause();
    let truth = GroundTruth::mixture(KEYS, "");
    truth.seed(&options.access).await;
    let planned = kit::preflight_of(&options).await;
    let source = planned.nodes[0].read_from.as_ref().expect("it is said").sentence();
    assert!(source.contains("bytes behind after 200ms"), "{source}");
    let result = kit::run(&options).await;
    let [node] = read(&result) else { panic!("{:?}", result.read_from) };
    assert!(node.replicas.is_empty() && node.primary_tasks > 0, "{node:?}");
    truth.check(&options.access, &result).await;

    // Cut off: its data is as old as the cut.
    drop(proxy);
    replica.conn().await.unwrap().info_text("REPLICAOF 127.0.0.1 1").await.unwrap();
    let truth = GroundTruth::mixture(KEYS, "again");
    primary.conn().await.unwrap().info_text("FLUSHALL").await.unwrap();
    truth.seed(&options.access).await;
    let result = kit::run(&options).await;
    assert!(read(&result)[0].replicas.is_empty(), "{:?}", result.read_from);
    truth.check(&options.access, &result).await;
}
