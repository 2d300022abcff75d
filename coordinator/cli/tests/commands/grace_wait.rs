//! The wait for the grace is logged with its reason, and shown on a terminal.

use keysweep_servers::Server;
use keysweep_testkit::nats_server::NatsServer;
use serde_json::Value;

use crate::cli::broker::Broker;
use crate::cli::deployment::{DIGEST, TestDeployment};
use crate::cli::{Ended, keysweep, on_terminal};

fn times(ended: &Ended, grace: &str) -> usize {
    let sentence = format!(
        "All keys are read. Waiting until the grace of {grace} is over for the last candidates (10 in batches: 1), which are \
         then looked at again"
    );
    ended.exits(0).stderr.matches(&sentence).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_wait_for_the_grace_is_logged_once_with_its_reason() {
    let server = Server::start(&DIGEST).await.unwrap();
    let place = TestDeployment::standalone(&server).await;
    let run = |more: &[&str]| {
        let args = ["run", "--yes", "--redis", place.url()];
        keysweep(&args.iter().chain(more).copied().collect::<Vec<_>>()).run()
    };
    place.seed(100).await;
    assert_eq!(times(&run(&["--grace", "0s", "--log-format", "text"]), "0s"), 0);
    place.seed(100).await;
    assert_eq!(times(&run(&["--grace", "2s", "--log-format", "text"]), "2s"), 1);
    place.seed(100).await;
    let logged = run(&["--grace", "2s", "--log-format", "json"]);
    assert_eq!(times(&logged, "2s"), 1);
    let lines = logged.stderr.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let fields: Vec<Value> =
        lines.map(|line| line["fields"].clone()).filter(|fields| fields["graceMs"].is_number()).collect();
    assert_eq!(
        (&fields[0]["graceMs"], &fields[0]["keys"], &fields[0]["batches"]),
        (&2_000.into(), &10.into(), &1.into())
    );
    place.seed(100).await;
    let shown = on_terminal(&["run", "--yes", "--grace", "2s", "--redis", place.url()]).run_open();
    let shown = &shown.exits(0).stdout;
    assert!(shown.contains("waiting") && shown.contains(", 10 wait (grace 2s)"), "{shown}");
    // A run that is about to stop does not wait.
    place.seed(100).await;
    let stopped = keysweep(&[
        "run",
        "--yes",
        "--grace",
        "2s",
        "--log-format",
        "text",
        "--max-delete-percent",
        "5",
        "--redis",
        place.url(),
    ]);
    let stopped = stopped.run();
    assert!(!stopped.stderr.contains("Waiting until"), "{stopped}");
}

/// Longer than the time without progress after which a missing worker is suspected.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn following_a_waiting_run_reports_no_missing_worker() {
    let server = NatsServer::start("").await.expect("a nats-server can be started");
    let broker = Broker::start(&["--nats", &server.url()]).await;
    broker.place.all("FLUSHALL").await;
    broker.place.seed(100).await;
    broker.command(&["nats", "setup"], &["--apply"]).run().exits(0);
    let _workers = broker.workers();
    let mut service = broker.command(&["serve"], &[]).start();
    service.wait_for(" is ready");
    let ended = broker.command(&["run"], &["--yes", "--json", "--grace", "12s"]).run();
    assert_eq!(ended.exits(0).result("completed")["cleanedKeys"], 10, "{ended}");
    assert_eq!(times(&ended, "12s"), 1, "{ended}");
    assert!(!ended.stderr.contains("no progress"), "{ended}");
    service.signal("TERM");
    let ended = service.end();
    assert_eq!(times(&ended, "12s"), 1, "{ended}");
}
