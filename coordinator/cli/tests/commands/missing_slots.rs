//! Deployments with missing slots or nodes, from the start or during a run: the rest is cleaned, the missing slots are
//! named, and the run ends.

use std::time::Duration;

use keysweep_servers::{ClusterServers, Server};

use crate::cli::deployment::{DIGEST, TestDeployment};
use crate::cli::{Ended, Keysweep, keysweep};

fn run(urls: &[String], grace: &str) -> Keysweep {
    let mut args = vec!["run", "--yes", "--json", "--log-format", "text", "--grace", grace];
    urls.iter().for_each(|url| args.extend(["--redis", url]));
    keysweep(&args)
}

/// A run that covered all but `missing` and deleted `stale` keys.
fn partial(ended: &Ended, missing: &str, stale: u64) {
    let result = ended.exits(3).result("partial");
    assert_eq!(result["coverage"]["missing"], missing, "{ended}");
    assert_eq!(result["coverage"]["complete"], false, "{ended}");
    assert_eq!(result["cleanedKeys"], stale, "{ended}");
    assert!(result["issues"].to_string().contains(missing), "no issue names it\n{ended}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unserved_slots_and_lost_primaries() {
    let args = [DIGEST[0], DIGEST[1], "--cluster-require-full-coverage", "no"];
    let cluster = ClusterServers::start_with(3, 0, &args, Some((100, 200))).await.unwrap();
    let mut place = TestDeployment::cluster(&cluster).await;
    let urls = cluster.urls();
    let stale = place.seed(2_000).await;
    partial(&run(&urls, "0s").run(), "100-200", stale);
    let plan = keysweep(&["plan", "--redis", &urls[0]]).run();
    assert!(
        plan.exits(3).stdout.contains("NOT COVERED, because no node serves them: slots 100-200"),
        "{plan}"
    );
    // A primary is lost during the run; not the one that has the lock.
    let stale = place.seed(2_000).await;
    let mut running = run(&urls, "4s").start();
    running.wait_for("Deleting ");
    cluster.nodes()[1].kill().unwrap();
    place.leave_out(1);
    let ended = running.end();
    println!("a primary lost half-way: {:?}", ended.took);
    let result = ended.exits(3).result("partial");
    let accounting = |name: &str| result["accounting"][name].as_u64().unwrap_or_default();
    let (deleted, lost) = (accounting("deleted"), accounting("unreached") + accounting("unconfirmed"));
    assert!(deleted > 0 && lost > 0 && deleted + lost == stale, "{ended}");
    assert!(result["issues"].to_string().contains(&urls[1][8..]), "no issue names the server\n{ended}");
    assert!(ended.took < Duration::from_secs(60), "{ended}");
    // It is gone before the next one.
    let left = place.keys("permissions:*").await;
    let ended = run(&urls, "0s").run();
    partial(&ended, "100-200, 5461-10921", 0);
    let without = format!("Node excluded from the run: redis at `{}` cannot be reached", &urls[1][8..]);
    assert!(ended.stdout.contains(&without), "{ended}");
    let plan = keysweep(&["plan", "--json", "--redis", &urls[0]]).run();
    let left_out = plan.exits(3).json()["unreachableNodes"][0].clone();
    assert!(left_out["cause"].as_str().is_some_and(|cause| cause.contains(&urls[1][8..])), "{plan}");
    assert_eq!(left_out["slots"], "5461-10921", "{plan}");
    let keys = |name: &str| ended.json()[name].as_u64().unwrap() as usize;
    assert_eq!(keys("scannedKeys") + keys("skippedKeys"), left, "{ended}");
    assert_eq!(place.keys("keysweep:*").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_is_down_because_slots_are_missing() {
    let cluster = ClusterServers::start_with(3, 0, &[], Some((100, 200))).await.unwrap();
    let ended = run(&cluster.urls(), "0s").run();
    ended.fails(5, &["127.0.0.1:", "is not ready", "CLUSTERDOWN", "CLUSTER INFO"]);
    assert!(ended.took < Duration::from_secs(20), "{ended}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standalone_server_that_is_killed_half_way() {
    let server = Server::start(&[]).await.unwrap();
    let place = TestDeployment::standalone(&server).await;
    let stale = place.seed(2_000).await;
    let mut running = run(&[server.url()], "4s").start();
    running.wait_for("Deleting ");
    server.kill().unwrap();
    let ended = running.end();
    println!("the server lost half-way: {:?}", ended.took);
    assert!([Some(1), Some(3)].contains(&ended.code), "{ended}");
    let result = ended.json();
    assert_eq!(result["accounting"]["balanced"], true, "{ended}");
    let lost = |name: &str| result["accounting"][name].as_u64().unwrap_or_default();
    assert_eq!(lost("unreached") + lost("unconfirmed"), stale, "{ended}");
    assert!(result["issues"].to_string().contains(&server.url()[8..]), "no issue names the server\n{ended}");
    assert!(ended.took < Duration::from_secs(60), "{ended}");
}
