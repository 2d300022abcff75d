//! A network that delays, stalls and cuts, between a run and its servers.

use std::time::Duration;

use fastrand::Rng;
use keysweep_model::address_map::AddressMapping;
use keysweep_model::result::Status;
use keysweep_redis::{ConnectOptions, RedisErrorKind};
use keysweep_servers::{ClusterServers, Server};
use keysweep_testkit::kit;
use keysweep_testkit::kit::ground_truth::GroundTruth;
use keysweep_testkit::kit::proxy::Proxy;
use tokio::time::sleep;

use super::failover::PRIMARIES;
use super::random_faults::{KEYS, check, run_in, slow};

/// One fault after another, each at one of the nodes.
async fn storm(nodes: &[Proxy], mut rng: Rng) {
    for _ in 0..8 {
        sleep(Duration::from_millis(rng.u64(0..400))).await;
        let Some(Proxy { faults, .. }) = rng.choice(nodes) else { return };
        match rng.u8(0..4) {
            0 => faults.delay(rng.u64(0..20)),
            1 => {
                faults.stall(true);
                sleep(Duration::from_millis(rng.u64(0..700))).await;
                faults.stall(false);
            }
            // Both in the middle of a reply, and at once.
            2 => faults.cut_after(rng.i64(1..40_000)),
            _ => faults.cut_after(0),
        }
    }
    for Proxy { faults, .. } in nodes {
        faults.delay(0);
        faults.cut_after(-1);
    }
}

/// A bad network between a run and `servers`, whose deployment is reached directly at `urls`.
async fn network_scenario(servers: &[Server], urls: Vec<String>, seed: u64) {
    println!("network before {} servers", servers.len());
    let mut rng = kit::seeded(seed);
    let (mut proxies, mut address_map) = (Vec::new(), Vec::new());
    for server in servers {
        let proxy = Proxy::before(server.port()).await;
        let there = proxy.url().replace("redis://", "");
        address_map.extend(AddressMapping::parse(&format!("127.0.0.1:{}={there}", server.port())));
        proxies.push(proxy);
    }
    let direct = ConnectOptions::open(urls);
    let mut options = slow(proxies.iter().map(Proxy::url).collect());
    options.access.address_map = address_map;
    kit::rights::least(&mut options.access, servers).await;
    let truth = GroundTruth::mixture(KEYS, "");
    truth.seed(&direct).await;
    let (load, bad) = (rng.fork(), rng.fork());
    let result = Box::pin(run_in(&options, (&direct, &truth), load, storm(&proxies, bad))).await;
    check(&options, (&direct, &truth), &result).await;
}

pub async fn cluster_network_scenario(seed: u64) {
    let cluster = ClusterServers::start(PRIMARIES, 0).await.expect("a cluster can be started");
    Box::pin(network_scenario(cluster.nodes(), cluster.urls(), seed)).await;
}

pub async fn server_network_scenario(seed: u64) {
    let server = kit::standalone().await;
    let urls = vec![server.url()];
    Box::pin(network_scenario(&[server], urls, seed)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_that_is_cut_anywhere_is_a_lost_connection() {
    let server = kit::standalone().await;
    let proxy = Proxy::before(server.port()).await;
    let access = ConnectOptions::open(vec![proxy.url()]);
    let nested: &[&[u8]] = &[b"EVAL", b"return {12345, 'text of some length', {'a', 'b'}}", b"0"];
    for question in [nested, &[b"INFO"]] {
        for bytes in 0..125 {
            let conn = access.connect_dedicated(&access.urls[0]).await.unwrap();
            proxy.faults.cut_after(bytes);
            let fault = conn.command(question).await.expect_err("it is cut");
            assert_eq!(fault.kind, RedisErrorKind::ConnectionLost, "after {bytes} bytes: {fault}");
            proxy.faults.cut_after(-1);
        }
    }
}

/// The lock is taken among the first bytes, and known as ours if the answer is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_at_the_beginning_ends_no_run() {
    let server = kit::standalone().await;
    let proxy = Proxy::before(server.port()).await;
    let options = kit::options(vec![proxy.url()]);
    let truth = GroundTruth::mixture(200, "");
    for bytes in (0..6_000).step_by(300) {
        truth.seed(&ConnectOptions::open(vec![server.url()])).await;
        let preflight = kit::preflight_of(&options).await;
        proxy.faults.cut_after(bytes);
        let result = kit::run_in(&kit::env(&options, kit::hasty()), &options, &preflight).await.unwrap();
        assert_eq!(result.status, Status::Completed, "after {bytes} bytes: {result:#?}");
        truth.check_keys(&options.access, true).await;
        proxy.faults.cut_after(-1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_network_cuts() {
    Box::pin(server_network_scenario(4)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_network_of_a_cluster_cuts() {
    Box::pin(cluster_network_scenario(5)).await;
}
