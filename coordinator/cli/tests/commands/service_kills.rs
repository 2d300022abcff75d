//! `keysweep serve` is killed at random moments of its runs: its file stays whole, no run is lost from the history, no
//! deletion from the audit trail, and the next run is exact.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::service::{Machine, stopped};
use crate::cli::SECRET;
use crate::cli::api::Api;

/// Stale keys of each run.
const KEYS: u64 = 10_000;

/// How often a service is killed: in a test run, and in a soak.
const KILLS: u64 = 5;
const SOAK_KILLS: u64 = 50;

/// Many short calls, so that the deletion takes a while.
const SLOW: [&str; 5] = ["--max-speed", "--delete-batch-size", "10", "--max-delete-percent", "100"];

/// Longer than a run takes: some kills come after its end.
const RUN: Duration = Duration::from_millis(2_500);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_service_loses_no_run_and_no_deletion() {
    killed_services(KILLS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes; cargo xtask soak runs it"]
async fn soak_killed_services_lose_no_run_and_no_deletion() {
    killed_services(SOAK_KILLS).await;
}

async fn killed_services(rounds: u64) {
    let machine = Machine::start().await;
    let mut rng = fastrand::Rng::with_seed(fastrand::u64(..));
    println!("seed {}", rng.get_seed());
    let mut known = BTreeSet::new();
    for round in 0..rounds {
        machine.place.seed_stale(KEYS).await;
        let before = machine.place.names("permissions:*").await;
        let started = killed(&machine, round, &mut rng).await;
        machine.state.is_whole();
        let after = machine.place.names("permissions:*").await;
        let gone: BTreeSet<String> = before.difference(&after).cloned().collect();
        let runs = machine.state.rows("SELECT run FROM runs");
        assert!(runs.is_superset(&known), "runs are lost: {known:?} of {runs:?}");
        assert!(
            started.iter().all(|run| runs.contains(run)),
            "{started:?} was accepted, and is not in {runs:?}"
        );
        let new: Vec<&String> = runs.difference(&known).collect();
        assert!(new.len() <= 1, "{new:?}");
        assert!(!new.is_empty() || gone.is_empty(), "{} keys are gone without a run", gone.len());
        let deleted = new.first().map(|run| machine.state.names_what_is_gone(run, &gone));
        let open = machine.state.rows("SELECT run FROM runs WHERE finished IS NULL");
        machine.place.remove_own_keys().await;
        let next = next_run(&machine, open.first(), &runs).await;
        assert_eq!((&next["cleanedKeys"], machine.keys().await), (&json!(after.len()), 0), "{next:#}");
        if let (Some(run), Some(deleted)) = (open.first(), deleted) {
            machine.state.is_closed_as_interrupted(run, deleted);
        }
        known = machine.state.rows("SELECT run FROM runs");
        assert_eq!(known.len(), runs.len() + 1);
        assert_eq!(machine.state.sql("SELECT count(*) FROM runs WHERE finished IS NULL"), "0");
    }
}

/// Starts a service and a run, and kills it: at any moment after the request, or soon after the first deletion in every other
/// round. Returns the id of the run, if the service has said it.
async fn killed(machine: &Machine, round: u64, rng: &mut fastrand::Rng) -> Option<String> {
    let (service, api) = machine.service(&SLOW);
    let address = api.address.clone();
    let asked = std::thread::spawn(move || {
        let token = format!("Bearer {SECRET}");
        let headers = [("Host", "keysweep"), ("Authorization", token.as_str())];
        Api { address, token: None }.send("POST", "/api/runs", &headers, "{}")
    });
    let after_ms = if round.is_multiple_of(2) {
        let until = Instant::now() + Duration::from_secs(60);
        while machine.keys().await == KEYS {
            assert!(Instant::now() < until, "{}", service.so_far());
        }
        rng.u64(0..300)
    } else {
        rng.u64(0..RUN.as_millis() as u64)
    };
    tokio::time::sleep(Duration::from_millis(after_ms)).await;
    println!("round {round}: killed after {after_ms} ms");
    service.kill();
    let answer = asked.join().unwrap();
    let accepted = (answer.status == 202).then(|| answer.json(202)["runId"].as_str().map(str::to_owned));
    accepted.flatten()
}

/// The result of the next run: the next attempt of the one that was left `open`, or one that is asked for. `before` are
/// the runs so far.
async fn next_run(machine: &Machine, open: Option<&String>, before: &BTreeSet<String>) -> Value {
    let (service, api) = machine.service(&["--max-delete-percent", "100"]);
    let run = match open {
        None => api.post("/api/runs", &json!({})).json(202)["runId"].clone(),
        Some(_) => begun_by_itself(&api, before),
    };
    let ended = api.ended(&run);
    assert_eq!(ended["result"]["status"], "completed", "{ended:#}");
    assert_eq!(ended["run"]["attempt"]["previous"].as_str(), open.map(String::as_str), "{ended:#}");
    stopped(service);
    ended["result"].clone()
}

/// The id of a run that is not among `before`.
fn begun_by_itself(api: &Api, before: &BTreeSet<String>) -> Value {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let runs = api.get("/api/runs").json(200)["runs"].clone();
        let is_new = |run: &&Value| run["runId"].as_str().is_some_and(|id| !before.contains(id));
        if let Some(next) = runs.as_array().unwrap().iter().find(is_new) {
            return next["runId"].clone();
        }
        assert!(Instant::now() < until, "{runs:#}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
