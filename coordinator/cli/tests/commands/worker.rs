//! `keysweep worker`: several roles in one process.

use std::collections::BTreeSet;
use std::time::Duration;

use keysweep_testkit::nats_server::NatsServer;

use crate::cli::broker::{Broker, KEYS, file};
use crate::cli::fake::unused_port;
use crate::cli::{Running, keysweep};

fn worker(broker: &Broker, roles: &str) -> Running {
    let mut worker = broker.command(&["worker"], &["--roles", roles]).start();
    worker.wait_for("worker is ready");
    worker
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_and_one_worker_complete_a_run() {
    let server = NatsServer::start("").await.unwrap();
    let broker = Broker::start(&["--nats", &server.url()]).await;
    let mut processes = ["serve", "worker"].map(|name| broker.command(&[name], &[]).start());
    for process in &mut processes {
        process.wait_for(" is ready");
    }
    let ended = broker.run(&[]);
    let result = ended.exits(0).result("completed");
    let run = result["runId"].as_str().expect("an id");
    assert_eq!(result["cleanedKeys"], broker.stale, "{ended}");
    assert_eq!(broker.place.keys("permissions:*").await as u64, KEYS - broker.stale);
    let audit = broker.command(&["runs", "audit", run], &[]).run();
    let named: BTreeSet<&str> = audit.exits(0).stdout.lines().collect();
    assert_eq!(named.len() as u64, broker.stale, "{audit}");
    assert_eq!(audit.stdout.lines().count(), named.len(), "a key is named twice: {audit}");
    for process in processes {
        process.signal("TERM");
        process.end().exits(0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_has_the_roles_that_are_named() {
    let server = NatsServer::start("").await.unwrap();
    let broker = Broker::start(&["--nats", &server.url()]).await;
    let mut run = broker.command(&["run"], &["--yes", "--json", "--grace", "0s"]).start();
    let first = worker(&broker, "reporter,scanner,reporter");
    std::thread::sleep(Duration::from_secs(2));
    assert!(!run.has_ended(), "without a reaper, it cannot end: {}", run.so_far());
    assert_eq!(broker.place.keys("permissions:*").await as u64, KEYS);
    let second = worker(&broker, "reaper");
    assert_eq!(run.end().exits(0).result("completed")["cleanedKeys"], broker.stale);
    for worker in [first, second] {
        worker.signal("TERM");
        let ended = worker.end();
        ended.exits(0).log_contains(&["worker finishes the work in progress", "worker ends"]);
    }
}

/// The others have no work in progress, or finish it; then the process ends with the error of that role.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_ends_is_the_end_of_the_worker() {
    let server = NatsServer::start("").await.unwrap();
    let broker = Broker::start(&["--nats", &server.url()]).await;
    let no_directory = file("no-directory", "");
    let alone = broker.command(&["reaper"], &["--backup", &no_directory, "--json"]).run();
    let ended = broker.command(&["worker"], &["--backup", &no_directory, "--json"]).run();
    let code = alone.code.expect("it was not killed");
    assert_ne!(code, 0, "{alone}");
    ended.fails(code, &[alone.json()["error"].as_str().expect("an error")]);
    ended.log_contains(&["reaper has failed"]);
    assert!(ended.took < Duration::from_secs(15), "{ended}");
    // The directory is the reaper's.
    let flags = ["--backup", &no_directory, "--roles", "scanner"];
    let mut without = broker.command(&["worker"], &flags).start();
    without.wait_for("worker is ready");
    without.signal("TERM");
    without.end().exits(0);
}

/// The address in the job file is that of the coordinator; a worker with the same file does not take its port.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_beside_a_coordinator_has_no_address_from_the_job_file() {
    let server = NatsServer::start("").await.unwrap();
    let broker = Broker::start(&["--nats", &server.url()]).await;
    let job_file = file("beside.toml", &format!("[serve]\nadmin_addr = \"{}\"\n", unused_port()));
    let mut service = broker.command(&["serve"], &["--config", &job_file]).start();
    service.admin_address();
    let taken = broker.command(&["serve"], &["--config", &job_file, "--json"]).run();
    taken.fails(2, &["failed to listen on", "beside.toml:2", "in use"]);
    let mut beside = broker.command(&["worker"], &["--config", &job_file]).start();
    beside.wait_for("worker is ready");
    assert!(!beside.so_far().contains("/livez"), "{}", beside.so_far());
    let mut other = broker
        .command(&["worker"], &["--config", &job_file])
        .env("KEYSWEEP_ADMIN_ADDR", "127.0.0.1:0")
        .start();
    other.admin_address();
}

#[test]
fn unknown_roles_are_refused() {
    for roles in ["coordinator", "scanner,", ""] {
        let ended = keysweep(&["worker", "--nats", "nats://127.0.0.1:1", "--json", "--roles", roles]).run();
        ended.fails(2, &["--roles"]);
    }
    keysweep(&["worker", "--json"]).run().fails(2, &["`keysweep worker` works over NATS"]);
}
