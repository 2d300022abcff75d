//! The traces of a distributed run: its result, its history entry, its events, its audit log. Each is queried with the
//! command line, like users do.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use keysweep_model::ids::RunId;
use keysweep_model::result::CleanupResult;
use keysweep_redis::ConnectOptions;
use keysweep_runtime::context::Context;
use keysweep_storage::dead_letter;
use keysweep_storage::history;
use keysweep_testkit::kit::HANG;
use keysweep_testkit::kit::ground_truth::GroundTruth;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::Fleet;
use crate::cli::Ended;

/// The kinds of events that end a run.
const ENDS: [&str; 4] = ["completed", "partial", "failed", "cancelled"];

/// The result that a command printed.
pub fn result(ended: &Ended) -> CleanupResult {
    serde_json::from_value(ended.json()).unwrap_or_else(|e| panic!("no result: {e}\n{ended}"))
}

/// Waits until the job's only run is stored: then it continues without the process that started it.
pub async fn stored(context: &Context) -> RunId {
    let until = Instant::now() + HANG;
    loop {
        let lines = history::read(&*context.store).await.unwrap();
        if let [line] = lines.as_slice() {
            return line.run_id;
        }
        assert!(lines.is_empty() && Instant::now() < until, "{lines:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until a run has a receipt or at least a report, so that it is in progress.
pub async fn under_way(context: &Context, run: RunId, kind: &str) {
    let (prefix, until) = (format!("runs/{run}/{kind}/"), Instant::now() + HANG);
    while context.store.next_after(&prefix, 0).await.unwrap().is_none() {
        assert!(Instant::now() < until, "there is no {kind}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Compares all traces of a completed run with the ground truth: numbers, keys, one history entry, one final event,
/// the audit log, and no dead letter. `ended` is a command that printed the result.
pub async fn check(
    fleet: &Fleet,
    context: &Context,
    access: &ConnectOptions,
    truth: &GroundTruth,
    ended: &Ended,
) {
    let result = &result(ended.exits(0));
    truth.check_numbers(result, keysweep_model::messages::Action::Delete);
    truth.check_keys_of_workers(access).await;
    let stored = context.records(result.run_id).result().await.unwrap().expect("it is stored");
    // As texts: floating point numbers are not parsed to the last digit.
    assert_eq!(serde_json::to_string_pretty(&stored).unwrap() + "\n", ended.stdout, "the stored result");
    closed(context, result.run_id).await;
    check_history(fleet, result);
    check_events(fleet, result);
    check_audit(fleet, truth, result.run_id);
    let letter = dead_letter::next(&*context.store, 0).await.unwrap();
    assert!(letter.is_none(), "there is a dead letter: {letter:?}");
}

/// The history entry is closed shortly after the result is stored.
async fn closed(context: &Context, run: RunId) {
    let until = Instant::now() + HANG;
    loop {
        let lines = history::read(&*context.store).await.unwrap();
        if lines.iter().any(|line| line.run_id == run && line.status.is_some()) {
            return;
        }
        assert!(Instant::now() < until, "the line of the run stays open: {lines:?}");
        sleep(Duration::from_millis(50)).await;
    }
}

/// There is one entry, and it agrees with the result.
fn check_history(fleet: &Fleet, result: &CleanupResult) {
    let ended = fleet.command(&["runs", "list", "--json"]).run();
    let json = ended.exits(0).json();
    let [line] = json["runs"].as_array().expect("a list").as_slice() else { panic!("one line\n{ended}") };
    assert_eq!(line["runId"], result.run_id.to_string(), "{ended}");
    assert_eq!(line["status"], "completed", "{ended}");
    assert_eq!(line["scannedKeys"], result.scanned_keys, "{ended}");
    assert_eq!(line["cleanedKeys"], result.cleaned_keys, "{ended}");
}

/// The run has one final event.
fn check_events(fleet: &Fleet, result: &CleanupResult) {
    let ended = fleet.command(&["events", "--json"]).run();
    let events = ended.exits(0).stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let is_end = |event: &Value| ENDS.iter().any(|end| event["type"] == format!("dev.keysweep.run.{end}.v1"));
    let ends: Vec<Value> = events.filter(is_end).collect();
    let [end] = ends.as_slice() else { panic!("{} ends\n{ended}", ends.len()) };
    assert_eq!(end["type"], "dev.keysweep.run.completed.v1");
    assert_eq!(end["subject"], result.run_id.to_string());
    let reported: CleanupResult =
        serde_json::from_value(end["data"].clone()).expect("the event holds the result");
    assert_eq!(reported, result.clone().without_keys(), "the result that subscribers got");
}

/// The audit log contains each stale key once, and no other.
fn check_audit(fleet: &Fleet, truth: &GroundTruth, run: RunId) {
    let ended = fleet.command(&["runs", "audit", &run.to_string()]).run();
    let mut deleted: Vec<Vec<u8>> = Vec::new();
    for line in ended.exits(0).stdout.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!((&line["outcome"], &line["reason"]), (&"deleted".into(), &"stale".into()), "{line}");
        deleted.push(match (&line["key"], &line["keyBase64"]) {
            (Value::String(key), Value::Null) => key.clone().into_bytes(),
            (Value::Null, Value::String(key)) => STANDARD.decode(key).unwrap(),
            _ => panic!("a line without a key: {line}"),
        });
    }
    let mut stale = truth.stale.clone();
    stale.sort();
    deleted.sort();
    assert!(deleted == stale, "the trail names {} keys, and {} were stale", deleted.len(), stale.len());
}
