//! The state file of a machine: what runs without NATS keep, who can read it, and what a killed run leaves.

use std::collections::BTreeSet;
use std::time::Duration;

use keysweep_servers::Server;
use serde_json::{Value, json};

use crate::cli::deployment::TestDeployment;
use crate::cli::state::State;

/// The keys of a run that is killed.
const KEYS: u64 = 20_000;

/// The names of the stale keys of [`TestDeployment::seed`].
fn stale(keys: u64) -> BTreeSet<String> {
    (0..keys).step_by(10).map(|n| format!("permissions:{n}:documents")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_of_this_machine_are_read_without_nats() {
    let server = Server::start(&[]).await.unwrap();
    let (place, state) = (TestDeployment::standalone(&server).await, State::new());
    place.seed(1_000).await;
    let nothing = state.command(&["runs", "list", "--json"]).run();
    nothing.fails(2, &["there is no state file", "keysweep.db", "--state-dir"]);
    state.command(&["run", "--dry-run", "--redis", place.url()]).run().exits(0);
    let (_, result) = state.json(&["run", "--yes", "--redis", place.url()]);
    let run = result["runId"].as_str().unwrap();
    let (_, list) = state.json(&["runs", "list"]);
    let lines: Vec<_> = list["runs"].as_array().unwrap().iter().collect();
    assert_eq!((lines[0]["runId"].as_str(), &lines[0]["cleanedKeys"]), (Some(run), &json!(100)), "{list:#}");
    assert_eq!((lines.len(), &lines[1]["dryRun"]), (2, &json!(true)));
    assert_eq!(state.json(&["runs", "show", "last"]).1, result);
    let report = state.command(&["runs", "report", run]).run();
    assert!(report.exits(0).stdout.contains("100 keys were deleted"), "{report}");
    let audit = state.command(&["runs", "audit", "last"]).run();
    let named = audit.exits(0).stdout.lines().map(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        line["key"].as_str().unwrap().to_owned()
    });
    assert_eq!(named.collect::<BTreeSet<_>>(), stale(1_000), "{audit}");
    assert_eq!(state.rows(&format!("SELECT key FROM deleted_keys WHERE run = '{run}'")), stale(1_000));
    let kept = state.command(&["runs", "audit", &lines[1]["runId"].as_str().unwrap()[..36], "--all"]).run();
    assert_eq!(kept.exits(0).stdout.matches("\"outcome\":\"reported\"").count(), 100, "{kept}");
    let events = state.command(&["events", "--run", "last", "--json"]).run();
    let kinds: Vec<_> =
        ["run.started", "run.issue", "run.completed"].map(|kind| format!("keysweep.{kind}.v1")).into();
    assert!(kinds.iter().all(|kind| events.exits(0).stdout.contains(kind)), "{events}");
    for (view, rows) in [("runs", 2), ("alerts", 1), ("samples", 4)] {
        assert_eq!(state.sql(&format!("SELECT count(*) FROM {view}")), rows.to_string(), "{view}");
    }
    assert_eq!(state.json(&["runs", "attach", run]).1, result);
    let (_, cancelled) = state.json(&["runs", "cancel", "last"]);
    assert_eq!(cancelled, json!({ "runId": run, "cancelled": false, "ended": true }));
    state.is_whole();
}

/// What differs only by the address is not mixed up, although both are `main` in the same file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_share_a_file_and_keep_their_servers_apart() {
    let servers = [Server::start(&[]).await.unwrap(), Server::start(&[]).await.unwrap()];
    let state = State::new();
    let mut places = Vec::new();
    for (server, keys) in servers.iter().zip([3_000, 1_000]) {
        let place = TestDeployment::standalone(server).await;
        place.seed(keys).await;
        places.push(place);
    }
    let runs: Vec<_> = places
        .iter()
        .map(|place| state.command(&["run", "--yes", "--json", "--redis", place.url()]).start())
        .collect();
    let results: Vec<Value> = runs.into_iter().map(|run| run.end().exits(0).json()).collect();
    for (place, keys) in places.iter().zip([2_700, 900]) {
        let (_, stats) = state.json(&["stats", "--redis", place.url()]);
        assert_eq!(
            (&stats["cacheHealth"]["totalKeys"], &stats["jobQueue"]["completed"]),
            (&json!(keys), &json!(1)),
            "{stats:#}"
        );
    }
    let all: BTreeSet<_> =
        results.iter().map(|result| result["runId"].as_str().unwrap().to_owned()).collect();
    assert_eq!(state.rows("SELECT run FROM runs WHERE status = 'completed'"), all);
    assert_eq!(state.sql("SELECT count(*) FROM deleted_keys"), "400");
    state.is_whole();
}

/// How often a run is killed: in a test run, and in a soak.
const KILLS: usize = 5;
const SOAK_KILLS: usize = 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_run_leaves_no_deletion_unnamed() {
    killed_runs(KILLS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes; cargo xtask soak runs it"]
async fn soak_killed_runs_leave_no_deletion_unnamed() {
    killed_runs(SOAK_KILLS).await;
}

/// Whatever is gone from the server is named in the file: as deleted, or as unconfirmed if the process was killed between
/// a deletion and its record.
async fn killed_runs(rounds: usize) {
    let server = Server::start(&[]).await.unwrap();
    let (place, state) = (TestDeployment::standalone(&server).await, State::new());
    let mut rng = fastrand::Rng::with_seed(fastrand::u64(..));
    println!("seed {}", rng.get_seed());
    for round in 0..rounds {
        place.seed_stale(KEYS).await;
        let before = place.names("permissions:*").await;
        // Many short calls, so that the deletion takes a while.
        let args =
            ["run", "--yes", "--max-speed", "--delete-batch-size", "10", "--max-delete-percent", "100"];
        let mut run = state.command(&[&args[..], &["--redis", place.url()]].concat()).start();
        while place.keys("permissions:*").await as u64 == KEYS && !run.has_ended() {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(rng.u64(0..300)));
        let said = run.kill();
        state.is_whole();
        let after = place.names("permissions:*").await;
        let gone: BTreeSet<_> = before.difference(&after).cloned().collect();
        let last = state.sql("SELECT run FROM runs ORDER BY started DESC LIMIT 1");
        // On a busy machine, the signal may come after the end.
        let has_ended = state.sql(&format!("SELECT count(finished) FROM runs WHERE run = '{last}'")) == "1";
        println!("round {round}: {said}");
        assert!(!gone.is_empty(), "it was killed after its first deletion");
        let deleted = state.names_what_is_gone(&last, &gone);
        // The lock of the job remains, as after any kill, until its lease ends.
        place.remove_own_keys().await;
        // The next run is exact, and closes what was left.
        let all = ["run", "--yes", "--json", "--max-delete-percent", "100", "--redis", place.url()];
        let rest = state.command(&all).run();
        let rest = rest.exits(0).result("completed");
        assert_eq!((place.keys("permissions:*").await, &rest["cleanedKeys"]), (0, &json!(after.len())));
        let lines = state.sql("SELECT count(*), count(finished) FROM runs");
        assert_eq!(lines, format!("{0}|{0}", 2 * (round + 1)), "no run is lost, and none is left open");
        if !has_ended {
            state.is_closed_as_interrupted(&last, deleted);
        }
    }
}

/// The history file of earlier versions is taken over once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_history_of_an_earlier_version_is_taken_over() {
    let server = Server::start(&[]).await.unwrap();
    let (place, state) = (TestDeployment::standalone(&server).await, State::new());
    let run = "01a20c9a-6dbc-7348-9a95-dba77261579a";
    let line = json!({
        "runId": run, "job": "permission-cache-cleanup", "redis": "main", "status": "completed",
        "startedAt": "2026-11-24T08:09:38Z", "finishedAt": "2026-11-24T08:09:39Z", "startedBy": "me",
        "attempt": {"number": 1, "of": 1, "previous": null}, "dryRun": false, "scannedKeys": 7, "staleTTLKeys": 3,
        "cleanedKeys": 3, "hitRate": null, "cause": null,
    });
    let entry =
        |key: &str, revision: u64, value: &str| json!({ "key": key, "revision": revision, "value": value });
    let key = format!("history/{run}");
    let text = [
        entry("", 99, "").to_string(),
        entry(&key, 1, "{}").to_string(),
        "{\"key\":\"damaged".to_owned(),
        entry(&key, 2, &line.to_string()).to_string(),
    ];
    let name = format!("main_{}.jsonl", place.url().trim_start_matches("redis://").replace(':', "_"));
    std::fs::create_dir(&state.0).unwrap();
    std::fs::write(state.0.join(&name), text.join("\n") + "\n").unwrap();
    let listed = |args: &[&str]| {
        let (_, list) = state.json(args);
        (list["runs"][0]["runId"].clone(), list["of"].clone())
    };
    place.seed(100).await;
    let (_, stats) = state.json(&["stats", "--redis", place.url()]);
    assert_eq!(stats["jobQueue"]["completed"], 1, "{stats:#}");
    assert_eq!(listed(&["runs", "list"]), (json!(run), json!(1)));
    state.command(&["run", "--yes", "--redis", place.url()]).run().exits(0);
    assert_eq!(listed(&["runs", "list"]).1, json!(2));
    assert_eq!(
        std::fs::read_to_string(state.0.join(&name)).unwrap(),
        text.join("\n") + "\n",
        "it stays as it was"
    );
}

/// Counts and times as a damaged or forged entry may have them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_of_a_damaged_history_end_no_run() {
    let server = Server::start(&[]).await.unwrap();
    let (place, state) = (TestDeployment::standalone(&server).await, State::new());
    place.seed(100).await;
    let run = || state.command(&["run", "--yes", "--redis", place.url()]).run();
    for _ in 0..2 {
        run().exits(0);
    }
    let huge = u64::MAX;
    for damage in [
        format!("UPDATE entries SET value = replace(value, '\"cleanedKeys\":', '\"cleanedKeys\":{huge}')"),
        "UPDATE entries SET value = replace(value, '\"startedAt\":\"2', '\"startedAt\":\"9') WHERE family = 'history'"
            .to_owned(),
        "UPDATE entries SET value = x'ff00' WHERE family IN ('samples', 'alerts')".to_owned(),
        "UPDATE audit_batches SET outcomes = x'7a7a', node = '', begun_ms = -1, ended_ms = -1".to_owned(),
        "UPDATE entries SET value = 7, written_ms = -9223372036854775808 WHERE family IN ('history', 'events')".to_owned(),
    ] {
        state.sql(&damage);
        for args in [&["runs", "list"][..], &["events"], &["stats", "--redis", place.url()]] {
            state.command(args).run().exits(0);
        }
        run().exits(0);
        state.command(&["runs", "audit", "last", "--all"]).run().exits(0);
    }
}
