//! SIGINT, SIGTERM and kill -9, and two runs at once: a cancelled run ends soon, with accounts that balance, and
//! leaves neither lock nor ledger behind.

use std::sync::Once;
use std::time::Duration;

use keysweep_servers::{ClusterServers, Server};

use crate::cli::deployment::{DIGEST, TestDeployment};
use crate::cli::{Ended, Running, keysweep};

/// A run of `job` that is in the middle of its grace, in which it deletes nothing for half a minute.
fn patient(place: &TestDeployment, job: &str) -> Running {
    let mut running = run(place, job, &["--grace", "30s", "--log-format", "text"]);
    running.wait_for("Deleting ");
    running
}

fn quick(place: &TestDeployment, job: &str, more: &[&str]) -> Running {
    let more: Vec<&str> = ["--grace", "0s"].iter().chain(more).copied().collect();
    run(place, job, &more)
}

/// A run of one of the jobs of a file.
fn run(place: &TestDeployment, job: &str, more: &[&str]) -> Running {
    let file = concat!(env!("CARGO_TARGET_TMPDIR"), "/jobs.toml");
    static WRITTEN: Once = Once::new();
    let jobs = "[[job]]\nname = \"nightly\"\n[[job]]\nname = \"hourly\"\n";
    WRITTEN.call_once(|| std::fs::write(file, jobs).expect("it is written"));
    let args = ["run", "--yes", "--json", "--config", file, "--job", job, "--redis", place.url()];
    keysweep(&args.iter().chain(more).copied().collect::<Vec<_>>()).start()
}

fn cancelled(ended: &Ended, code: i32, stale: u64) {
    let result = ended.exits(code).result("cancelled");
    assert_eq!(
        (&result["cleanedKeys"], &result["accounting"]["unreached"]),
        (&0.into(), &stale.into()),
        "{ended}"
    );
    assert!(ended.took < Duration::from_secs(15), "{ended}");
}

async fn stopped_by(place: &TestDeployment, signal: &str, code: i32) {
    let stale = place.seed(3_000).await;
    let before = place.digest().await;
    let running = patient(place, "nightly");
    running.signal(signal);
    let ended = running.end();
    cancelled(&ended, code, stale);
    ended.log_contains(&[&format!("SIG{signal}: stopping at a safe point"), "Cleanup ended: {"]);
    assert_eq!(place.digest().await, before, "neither keys nor lock nor ledgers");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_on_a_standalone_server_is_interrupted() {
    let server = Server::start(&DIGEST).await.unwrap();
    let place = TestDeployment::standalone(&server).await;
    stopped_by(&place, "INT", 130).await;
    // Twice: it exits at once, although the server does not respond.
    let mut running = patient(&place, "nightly");
    server.pause().unwrap();
    running.signal("INT");
    running.wait_for("repeat the signal to exit at once").signal("INT");
    let ended = running.end();
    server.resume().unwrap();
    ended.fails(130, &["stopped before a safe point", "expire automatically"]);
    assert!(ended.took < Duration::from_secs(8), "{ended}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_on_a_cluster_is_terminated() {
    let cluster = ClusterServers::start_with(3, 0, &DIGEST, None).await.unwrap();
    let place = TestDeployment::cluster(&cluster).await;
    stopped_by(&place, "TERM", 143).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_run_of_a_job_at_a_time() {
    let server = Server::start(&DIGEST).await.unwrap();
    let place = TestDeployment::standalone(&server).await;
    let stale = place.seed(1_000).await;
    let first = patient(&place, "nightly");
    let pid = format!("process {}", first.pid());
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let held = ["job `nightly` is being run", &pid, &format!("`{}`", host.trim()), "since 20", "--lock-wait"];
    quick(&place, "nightly", &[]).end().fails(4, &held);
    // Waiting can be interrupted.
    let waiting = quick(&place, "nightly", &["--lock-wait", "10m"]);
    std::thread::sleep(Duration::from_millis(1_500));
    waiting.signal("INT");
    let ended = waiting.end();
    ended.fails(130, &["stopped by SIGINT", "nothing was changed"]);
    assert!(ended.took < Duration::from_secs(6), "{ended}");
    // Another job is another lock.
    let other = quick(&place, "hourly", &[]).end();
    assert_eq!(other.exits(0).result("completed")["cleanedKeys"], stale, "{other}");
    // The first one would find the keys gone, but is cancelled before that.
    first.signal("INT");
    cancelled(&first.end(), 130, stale);
    assert_eq!(place.keys("keysweep:*").await, 0);
    quick(&place, "nightly", &[]).end().exits(0).result("completed");
}

/// A run that was killed in its middle; the lock is still there.
async fn killed(place: &TestDeployment) -> u64 {
    let stale = place.seed(1_000).await;
    let first = patient(place, "nightly");
    first.signal("KILL");
    assert_eq!(first.end().code, None);
    quick(place, "nightly", &[]).end().fails(4, &["job `nightly` is being run", "its lease ends in"]);
    stale
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_run_keeps_its_lock_until_the_lease_ends() {
    let server = Server::start(&[]).await.unwrap();
    killed(&TestDeployment::standalone(&server).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "waits for LOCK_LEASE"]
async fn soak_a_killed_run_is_followed_by_one_that_waits() {
    let server = Server::start(&[]).await.unwrap();
    let place = TestDeployment::standalone(&server).await;
    let stale = killed(&place).await;
    let ended = quick(&place, "nightly", &["--lock-wait", "40s"]).end();
    assert_eq!(ended.exits(0).result("completed")["cleanedKeys"], stale, "{ended}");
    assert_eq!(place.keys("keysweep:*").await, 0);
}
