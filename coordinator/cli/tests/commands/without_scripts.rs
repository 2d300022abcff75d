//! Servers and users without scripts: the run is the same with transactions, and reports this.

use keysweep_servers::{ClusterServers, Server};

use crate::cli::deployment::TestDeployment;
use crate::cli::{Ended, keysweep};
use crate::rights::rules;

/// A server without scripts and functions, as hosted ones are.
const RENAMED: [&str; 9] =
    ["--rename-command", "EVAL", "", "--rename-command", "EVALSHA", "", "--rename-command", "SCRIPT", ""];

fn run(url: &str, more: &[&str]) -> Ended {
    let args = ["run", "--yes", "--json", "--grace", "0s", "--redis", url];
    keysweep(&args.iter().chain(more).copied().collect::<Vec<_>>()).run()
}

/// What the run found and did, and its delete backend.
fn done(ended: &Ended) -> (u64, u64, String) {
    let result = ended.exits(0).result("completed");
    assert_eq!(result["accounting"]["balanced"], true, "{ended}");
    let number = |name: &str| result[name].as_u64().expect("a number");
    (
        number("staleTTLKeys"),
        number("cleanedKeys"),
        result["deleteBackend"].as_str().expect("a word").to_owned(),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_the_commands() {
    let server = Server::start(&RENAMED).await.unwrap();
    let place = TestDeployment::standalone(&server).await;
    let stale = place.seed(300).await;
    let plan = keysweep(&["plan", "--json", "--redis", place.url()]).run();
    let plan = plan.exits(0).json();
    let page = keysweep(&["plan", "--redis", place.url()]).run();
    // An older server does not report this without a write.
    if place.is_older().await {
        assert!(plan["deleteBackend"].is_null() && plan["rightsUnchecked"].is_string(), "{plan}");
    } else {
        assert_eq!(plan["deleteBackend"], "watch");
        assert!(plan["scriptsRefused"].as_str().expect("a reason").contains("unknown command"), "{plan}");
        assert!(page.exits(0).stdout.contains("runs no scripts"), "{page}");
    }
    let ended = run(place.url(), &[]);
    assert_eq!(done(&ended), (stale, stale, "watch".to_owned()));
    let issues = ended.result("completed")["issues"].to_string();
    assert!(issues.contains("runs no scripts") && issues.contains("in transactions instead"), "{issues}");
    assert_eq!(place.keys("keysweep:*").await, 0, "neither ledgers nor the lock are left");
    // Nothing is left to do, and repairing works, too.
    assert_eq!(done(&run(place.url(), &[])), (0, 0, "watch".to_owned()));
    let stale = place.seed(300).await;
    let repaired = run(place.url(), &["--action", "expire", "--expire-ttl", "1h"]);
    assert_eq!(repaired.exits(0).result("completed")["accounting"]["expired"], stale);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_without_the_commands() {
    let cluster = ClusterServers::start_with(3, 0, &RENAMED, None).await.unwrap();
    let place = TestDeployment::cluster(&cluster).await;
    let stale = place.seed(600).await;
    assert_eq!(done(&run(place.url(), &[])), (stale, stale, "watch".to_owned()));
    assert_eq!(place.keys("keysweep:*").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_who_may_run_no_scripts() {
    let server = Server::start(&[]).await.unwrap();
    let place = TestDeployment::standalone(&server).await;
    let stale = place.seed(300).await;
    let rules = rules("redis-without-scripts.acl");
    place.user("no-scripts", &rules).await;
    place.user("nothing", &format!("{rules} -exec")).await;
    // Neither backend works: the error asks for the better one.
    run(&place.url_of("nothing"), &[]).fails(4, &["+eval +evalsha +script|load"]);
    // A dry run needs neither.
    let looked = run(&place.url_of("nothing"), &["--dry-run"]);
    assert_eq!(looked.exits(0).result("completed")["staleTTLKeys"], stale);
    assert_eq!(done(&run(&place.url_of("no-scripts"), &[])), (stale, stale, "watch".to_owned()));
}
