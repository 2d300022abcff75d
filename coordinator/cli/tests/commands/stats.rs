//! `keysweep stats` without NATS: from the history of runs on this machine.

use keysweep_servers::Server;
use serde_json::{Value, json};

use crate::cli::deployment::{DIGEST, TestDeployment};
use crate::cli::keysweep;
use crate::cli::state::State;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_history_of_a_machine() {
    let server = Server::start(&DIGEST).await.unwrap();
    let place = TestDeployment::standalone(&server).await;
    let state = State::new();
    let url = place.url();
    let nothing = state.command(&["stats", "--redis", url]).run();
    nothing.exits(0);
    for words in ["Cache   about 0 keys, by a sample just now: no run", "Redis   healthy", "Alerts  none"] {
        assert!(nothing.stdout.contains(words), "{nothing}");
    }
    place.seed(1_000).await;
    let (_, sampled) = state.json(&["stats", "--redis", url]);
    let cache = &sampled["cacheHealth"];
    assert_eq!(
        (&cache["totalKeys"], &cache["approximate"], &cache["at"]),
        (&json!(1_000), &json!(true), &Value::Null)
    );
    state.command(&["run", "--yes", "--redis", url]).run().exits(0);
    let (_, stats) = state.json(&["stats", "--redis", url]);
    assert_eq!(stats["cacheHealth"]["approximate"], false);
    assert_eq!(
        (
            &stats["jobQueue"]["completed"],
            &stats["cacheHealth"]["totalKeys"],
            &stats["lastWeek"]["cleanedKeys"]
        ),
        (&json!(1), &json!(900), &json!(100)),
        "{stats:#}"
    );
    assert_eq!(
        (&stats["cacheHealth"]["hitRate"], &stats["redisHealth"]["status"]),
        (&Value::Null, &json!("healthy"))
    );
    assert_eq!(stats["alerts"][0]["message"], "Found 100 keys without TTL in one run (more than 10)");
    // 100 stale keys are an alert, until a run finds none. A plan in between changes nothing.
    state.command(&["plan", "--redis", url]).run().exits(0);
    let (_, result) = state.json(&["run", "--yes", "--redis", url]);
    assert_eq!(
        (&result["alerts"], &result["metrics"]["growth"]["keysBefore"]),
        (&json!([]), &json!(900)),
        "{result:#}"
    );
    assert_eq!(result["metrics"]["hitRates"]["sinceLastRun"]["hitRate"], Value::Null, "{result:#}");
    let page = state.command(&["stats", "--redis", url]).run();
    page.exits(0);
    assert!(page.stdout.contains("2 completed") && page.stdout.contains("Alerts  none"), "{page}");
    assert!(page.stdout.lines().all(|line| line.chars().count() <= 80), "{page}");
}

/// A job is named without a job file, and its history is that of the keys that it counts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_history_is_that_of_a_job_and_of_the_keys_it_counts() {
    let server = Server::start(&DIGEST).await.unwrap();
    let place = TestDeployment::standalone(&server).await;
    for n in 0..40 {
        place.all(&format!("SET user:{n} x PX 3600000")).await;
        place.all(&format!("SET rl:{n} x PX 3600000")).await;
    }
    place.all("SET user:40 x PX 3600000").await;
    let (state, url) = (State::new(), place.url());
    let of = |words: &[&str], pattern: &str| {
        let args = [words, &["--json", "--redis", url, "--job", "nightly"]].concat();
        let ended = state.command(&args).env("KEYSWEEP_PATTERN", pattern).run();
        ended.exits(0).json()
    };
    let run = |pattern: &str| of(&["run", "--yes", "--full-scan"], pattern);
    let first = run("rl:*");
    assert_eq!((&first["job"], &first["currentMetrics"]["totalKeys"]), (&json!("nightly"), &json!(40)));
    let other = run("user:*");
    assert_eq!(other["metrics"]["growth"], Value::Null, "other keys have not grown: {other:#}");
    let again = run("rl:*");
    let growth = &again["metrics"]["growth"];
    assert_eq!(
        (&growth["runId"], &growth["keysBefore"], &growth["percent"]),
        (&first["runId"], &json!(40), &json!(0.0))
    );
    let keys = |pattern: &str| {
        let cache = of(&["stats"], pattern)["cacheHealth"].clone();
        (cache["totalKeys"].clone(), cache["approximate"].clone())
    };
    assert_eq!(keys("user:*"), (json!(41), json!(false)), "of the run of these keys");
    assert_eq!(keys("rl:*"), (json!(40), json!(false)));
    assert_eq!(keys("rl:1*"), (json!(11), json!(true)), "no run has counted them");
    // If no keys are named, the last run determines them.
    let (_, stats) = state.json(&["stats", "--redis", url, "--job", "nightly"]);
    assert_eq!(stats["cacheHealth"]["totalKeys"], json!(40), "{stats:#}");
}

/// Two runs that cannot begin are an alert, too, and the server's return resolves it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_failures_in_a_row_are_an_alert() {
    let state = State::new();
    let server = Server::start(&DIGEST).await.unwrap();
    let url = server.url();
    server.kill().unwrap();
    for _ in 0..2 {
        state.command(&["run", "--yes", "--redis", &url]).run().exits(5);
    }
    let (_, stats) = state.json(&["stats", "--redis", &url]);
    let alerts: Vec<&Value> =
        stats["alerts"].as_array().unwrap().iter().map(|alert| &alert["alert"]).collect();
    assert_eq!(alerts, [&json!("failed-runs")], "{stats:#}");
    assert_eq!(
        (&stats["redisHealth"]["status"], &stats["jobQueue"]["failed"]),
        (&json!("unhealthy"), &json!(2))
    );
}

/// An unusable state directory stops no run that changes nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unusable_state_directory_stops_no_dry_run() {
    let server = Server::start(&DIGEST).await.unwrap();
    let place = TestDeployment::standalone(&server).await;
    place.seed(100).await;
    for (dir, message) in [("/dev/null/x", "the history of runs is not kept"), ("none", "Cleanup complete")] {
        let run = keysweep(&[
            "run",
            "--yes",
            "--redis",
            place.url(),
            "--state-dir",
            dir,
            "--dry-run",
            "--log-format",
            "text",
        ])
        .run();
        run.exits(0).log_contains(&[message]);
    }
}
