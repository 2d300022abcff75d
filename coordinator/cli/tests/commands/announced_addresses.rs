//! Clusters whose nodes announce hostnames, nothing, or addresses that are not reachable from here.

use std::time::Duration;

use keysweep_servers::{ClusterServers, Server};

use crate::cli::deployment::{DIGEST, TestDeployment};
use crate::cli::{Ended, keysweep};

fn plan(url: &str, nat: &[String]) -> Ended {
    let mut args = vec!["plan", "--json", "-vv", "--redis", url];
    args.extend(nat.iter().flat_map(|entry| ["--address-map", entry.as_str()]));
    keysweep(&args).run()
}

/// The addresses of the nodes that were planned for, in order.
fn addresses(ended: &Ended) -> Vec<String> {
    let json = ended.exits(0).json();
    let nodes = json["nodes"].as_array().expect("a list").iter();
    let mut all: Vec<String> =
        nodes.map(|node| node["address"].as_str().expect("an address").to_owned()).collect();
    all.sort_unstable();
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nodes_announce() {
    let cluster = ClusterServers::start_with(3, 0, &DIGEST, None).await.unwrap();
    let place = TestDeployment::cluster(&cluster).await;
    let stale = place.seed(900).await;
    let ports: Vec<u16> = cluster.nodes().iter().map(Server::port).collect();
    let at = |host: &str| {
        let mut all: Vec<String> = ports.iter().map(|port| format!("{host}:{port}")).collect();
        all.sort_unstable();
        all
    };
    let check = |ended: &Ended, host: &str| {
        assert_eq!(addresses(ended), at(host), "{ended}");
        assert_eq!(ended.json()["staleTTLKeys"], stale, "{ended}");
    };
    check(&plan(place.url(), &[]), "127.0.0.1");
    // Nothing: the host of the seed address is right for all nodes.
    place.all("CONFIG SET cluster-preferred-endpoint-type unknown-endpoint").await;
    check(&plan(place.url(), &[]), "127.0.0.1");
    // A hostname that is configured but not set: `?`. The address is known all the same.
    place.all("CONFIG SET cluster-preferred-endpoint-type hostname").await;
    check(&plan(place.url(), &[]), "127.0.0.1");
    place.all("CONFIG SET cluster-announce-hostname localhost").await;
    let reported = async |name: &str| {
        for node in cluster.nodes() {
            let conn = node.conn().await.unwrap();
            // The hostname and the endpoint of each node.
            while format!("{:?}", conn.info_text("CLUSTER SHARDS").await.unwrap()).matches(name).count() < 6 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    };
    reported("localhost").await;
    check(&plan(place.url(), &[]), "localhost");
    // A hostname that does not resolve here. Nodes are named by their announced names, on any route.
    place.all("CONFIG SET cluster-announce-hostname node.invalid").await;
    reported("node.invalid").await;
    plan(place.url(), &[]).fails(5, &["node.invalid:", "all 3 primaries", "`--address-map`"]);
    check(&plan(place.url(), &["node.invalid=127.0.0.1".to_owned()]), "node.invalid");
    let each: Vec<String> =
        ports.iter().map(|port| format!("node.invalid:{port}=127.0.0.1:{port}")).collect();
    check(&plan(place.url(), &each), "node.invalid");
    let wrong: Vec<String> = ports.iter().map(|port| format!("node.invalid:{port}=127.0.0.1:1")).collect();
    plan(place.url(), &wrong).fails(5, &["node.invalid:", "(reached at `127.0.0.1:1`)"]);
    plan(place.url(), &["node.invalid".to_owned()])
        .fails(2, &["`--address-map` is `node.invalid`", "10.0.0.1:6379="]);
    let run = [
        "run",
        "--yes",
        "--json",
        "--grace",
        "0s",
        "--address-map",
        "node.invalid=127.0.0.1",
        "--redis",
        place.url(),
    ];
    let ended = keysweep(&run).run();
    assert_eq!(ended.exits(0).result("completed")["cleanedKeys"], stale, "{ended}");
}
