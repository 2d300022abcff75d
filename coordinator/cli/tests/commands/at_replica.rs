//! Plans and dry runs at the address of a replica: the output names it and the age of its data, and an old or empty
//! copy is never reported as a clean deployment.

use std::time::Duration;

use keysweep_servers::Server;
use serde_json::Value;

use crate::cli::deployment::{DIGEST, TestDeployment};
use crate::cli::keysweep;
use crate::guards::{run, until};

fn plan(url: &str) -> crate::cli::Ended {
    keysweep(&["plan", "--json", "--redis", url]).run()
}

fn sentences(of: &Value) -> String {
    of["issues"].to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_step_and_after_its_primary_has_gone() {
    let primary = Server::start(&["--repl-diskless-sync-delay", "0"]).await.unwrap();
    let follows = ["--replicaof", "127.0.0.1", &primary.port().to_string()];
    let replica = Server::start(&[&follows[..], &DIGEST].concat()).await.unwrap();
    let (url, address) = (replica.url(), format!("127.0.0.1:{}", primary.port()));
    let stale = TestDeployment::standalone(&primary).await.seed(300).await;
    until(&replica, "master_link_status:up").await;
    until(&replica, "db0:keys=300").await;
    let before = TestDeployment::standalone(&replica).await.digest().await;
    let named = format!("is a replica of `{address}`, and last heard of it");

    let planned = plan(&url);
    let plan_of = planned.exits(0).json();
    assert!(
        sentences(&plan_of).contains(&named) && plan_of["nodes"][0]["replica"]["link"] == "up",
        "{planned}"
    );
    assert_eq!(plan_of["staleTTLKeys"], stale, "{planned}");
    let page = keysweep(&["plan", "--redis", &url]).run();
    assert!(page.exits(0).stdout.contains("is a replica of"), "{page}");
    let looked = run(&url, &["--dry-run"]);
    let result = looked.exits(0).result("completed");
    assert_eq!(
        (&result["accounting"]["reported"], &result["nodes"][0]["replica"]["link"]),
        (&stale.into(), &"up".into())
    );
    assert!(sentences(&result).contains(&named), "{looked}");

    drop(primary);
    until(&replica, "master_link_status:down").await;
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let lost = format!("is a replica that lost its primary `{address}`");
    let planned = plan(&url);
    assert!(sentences(&planned.exits(3).json()).contains(&lost), "{planned}");
    let looked = run(&url, &["--dry-run"]);
    let result = looked.exits(3).result("partial");
    assert_eq!(result["accounting"]["reported"], stale, "its keys are reported all the same: {looked}");
    let row = &result["nodes"][0]["replica"];
    assert!(row["link"] == "lost" && row["ageSeconds"].as_u64().is_some_and(|age| age >= 1), "{looked}");
    assert!(sentences(&result).contains(&lost), "{looked}");
    run(&url, &[]).fails(1, &["is a replica and accepts no writes", &address]);
    let stats = keysweep(&["stats", "--json", "--redis", &url]).run();
    assert_eq!(stats.json()["redisHealth"]["status"], "degraded", "{stats}");
    assert_eq!(TestDeployment::standalone(&replica).await.digest().await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_never_synchronised_is_refused() {
    let unused_port = crate::cli::fake::unused_port();
    let port = unused_port.rsplit_once(':').expect("a port").1;
    let replica = Server::start(&["--replicaof", "127.0.0.1", port]).await.unwrap();
    let said = ["has not been synchronised", &unused_port, "try again"];
    run(&replica.url(), &["--dry-run"]).fails(5, &said);
    plan(&replica.url()).fails(5, &said);
    run(&replica.url(), &[]).fails(1, &["is a replica and accepts no writes"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_is_lost_while_the_run_goes_on() {
    let primary = Server::start(&["--repl-diskless-sync-delay", "0"]).await.unwrap();
    let follows = ["--replicaof", "127.0.0.1", &primary.port().to_string()];
    let replica = Server::start(&follows).await.unwrap();
    TestDeployment::standalone(&primary).await.seed(3_000).await;
    until(&replica, "db0:keys=3000").await;
    // Six seconds of reading.
    let args = [
        "run",
        "--json",
        "--dry-run",
        "--rate-limit",
        "500",
        "--log-format",
        "text",
        "--redis",
        &replica.url(),
    ];
    let mut running = keysweep(&args).start();
    running.wait_for("Starting cleanup process");
    drop(primary);
    let ended = running.end();
    let result = ended.exits(3).result("partial");
    assert!(sentences(&result).contains("lost its primary"), "{ended}");
}
