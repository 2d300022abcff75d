//! `schedule = "auto"`: the service decides, `schedule explain` prints what it decided, `schedule simulate` compares.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::service::{Machine, stopped};
use crate::cli::api::Api;
use crate::cli::browser::Browser;
use crate::cli::schemas::event_errors;
use crate::cli::{Ended, SECRET};

/// Stale keys of a burst, above the threshold of the service.
const BURST: u64 = 200;

const AUTO: [(&str, &str); 3] =
    [("KEYSWEEP_SCHEDULE", "auto"), ("KEYSWEEP_AUTO_MIN_INTERVAL", "1s"), ("KEYSWEEP_AUTO_MAX_STALE", "100")];

/// Waits until the service has completed so many runs.
fn completed(api: &Api, runs: u64) {
    let until = Instant::now() + Duration::from_secs(60);
    while api.get("/api/stats").json(200)["jobQueue"]["completed"] != json!(runs) {
        assert!(Instant::now() < until, "{}", api.get("/api/runs").body);
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// What `explain` prints once there is a decision about what follows the second run, with the growth.
fn until_settled(explain: &dyn Fn() -> Value) -> Value {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let document = explain();
        if document["decisions"][0]["growth"].is_object() && document["decisions"][0]["law"] == "growth" {
            return document;
        }
        assert!(Instant::now() < until, "{document:#}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The output, which fits a terminal.
fn page(ended: &Ended) -> String {
    let page = ended.exits(0).stdout.clone();
    assert!(page.lines().all(|line| line.chars().count() <= 80), "{page}");
    page
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn decisions_are_explained_and_compared_with_a_fixed_interval() {
    let machine = Machine::start().await;
    let schedule = |words: &[&str]| {
        let command = machine.state.command(&[&["schedule"], words].concat());
        AUTO.iter().fold(command, |command, (name, value)| command.env(name, value)).run()
    };
    let (service, api) = machine.service_with(&AUTO, &["--max-delete-percent", "100", "--grace", "0s"]);
    completed(&api, 1);
    assert!(
        page(&schedule(&["simulate"]))
            .starts_with("the history of job `permission-cache-cleanup` has no two")
    );
    machine.place.seed_stale(BURST).await;
    completed(&api, 2);

    let explained = page(&schedule(&["explain"]));
    assert!(explained.contains("200 stale by the keys without TTL (threshold 100)"), "{explained}");
    assert!(explained.trim_end().ends_with("run now: there is no run to learn from"), "{explained}");
    let document =
        until_settled(&|| schedule(&["explain", "permission-cache-cleanup", "--json"]).exits(0).json());
    let decisions = document["decisions"].as_array().unwrap();
    let due = decisions.iter().find(|decision| decision["law"] == "surplus").unwrap();
    assert_eq!((&due["surplus"], &due["threshold"]), (&json!(BURST), &json!(100)), "{document:#}");
    let events = machine.state.command(&["events", "--json"]).run().exits(0).stdout.clone();
    let events: Vec<Value> = events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let decided = events.iter().filter(|event| event["type"] == "dev.keysweep.schedule.decided.v1");
    let decided: Vec<&Value> = decided.inspect(|event| assert_eq!(event_errors(event), "")).collect();
    assert!(decided.iter().any(|event| event["data"] == *due), "{events:#?}");

    let compared = schedule(&["simulate", "--json"]).exits(0).json()["comparison"].clone();
    assert_eq!(
        (&compared["staleKeys"], &compared["was"]["runs"]),
        (&json!(BURST), &json!(2)),
        "{compared:#}"
    );
    assert!(compared["auto"]["runs"].as_u64().unwrap() >= 1, "{compared:#}");
    assert!(page(&schedule(&["simulate"])).contains("as it was"));
    let text = machine.state.command(&["events"]).run().exits(0).stdout.clone();
    assert!(text.contains("  decided    ") && text.contains("run now: there is no run"), "{text}");

    let other = page(&schedule(&["explain", "other"]));
    assert!(other.starts_with("no decisions about job `other` are kept"), "{other}");
    schedule(&["simulate", "other"]).exits(2).log_contains(&["the job file has no job `other`"]);
    the_next_time_is_the_decided_one(&api, &decisions[0]);
    stopped(service);
}

/// On the page, with the reason, and in metrics.
fn the_next_time_is_the_decided_one(api: &Api, decided: &Value) {
    let mut events = Browser::logged_in(api, SECRET).events();
    let (_, page) = events.next().expect("a snapshot");
    let job = &page["jobs"][0];
    assert_eq!((&job["cron"], &job["nextDue"]), (&json!("auto"), &decided["next"]), "{page:#}");
    assert!(job["decided"].as_str().unwrap().starts_with("next run in "), "{page:#}");
    let next: Timestamp = decided["next"].as_str().unwrap().parse().unwrap();
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        let metrics = api.get("/metrics").body;
        let shown = metrics.lines().find(|line| line.starts_with("keysweep_next_run_timestamp_seconds{"));
        let shown = shown.and_then(|line| line.split(' ').nth(1)?.parse::<f64>().ok());
        if shown.is_some_and(|shown| (shown - next.as_millisecond() as f64 / 1_000.0).abs() < 1.5) {
            return;
        }
        assert!(Instant::now() < until, "{next}: {metrics}");
        std::thread::sleep(Duration::from_millis(100));
    }
}
