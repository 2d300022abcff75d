//! Where a run in progress is, how it is paced, and what it finds, as the page of a service shows it; and the figures of its
//! charts. On a state file and over NATS.

use serde_json::{Value, json};

use super::service::{Machine, stopped};
use crate::cli::SECRET;
use crate::cli::api::Api;
use crate::cli::broker::Broker;
use crate::cli::browser::Browser;
use crate::cli::deployment::{TestDeployment, job_with_rules};

/// Keys of a run that takes a while: one call deletes one of them.
const KEYS: u64 = 20_000;

const SLOW: [&str; 4] = ["--delete-batch-size", "1", "--max-delete-percent", "100"];

/// Watches a run whose driver shows it until all is read and something is deleted, and stops it. Returns the page before.
fn watched(api: &Api, place: &TestDeployment) -> Value {
    let slowed = place.slow_writes();
    let browser = Browser::logged_in(api, SECRET);
    let mut events = browser.events();
    let run = browser.post("/api/runs", &json!({})).json(202)["runId"].clone();
    let run = run.as_str().unwrap();
    let page = events.until(|page| {
        let read = &page["details"][run]["map"]["strips"][0]["counts"]["read"];
        read == 1_024 && page["running"][0]["deletedSoFar"].as_u64() > Some(0)
    });
    drop(slowed);
    let (running, detail) = (&page["running"][0], &page["details"][run]);
    assert_eq!((&running["state"], &running["keys"]), (&json!("reaping"), &json!(KEYS)), "{page:#}");
    let strip = &detail["map"]["strips"][0];
    let whole = json!([{ "first": 0, "last": 1_023, "count": 1_024, "state": "read" }]);
    assert_eq!((&detail["map"]["unit"], &strip["spans"]), (&json!("positions"), &whole), "{detail:#}");
    let paced = &detail["paced"][0];
    assert!(paced["probes"].as_u64() > Some(0) && paced["probeMsP99"].is_f64(), "{detail:#}");
    assert!(detail["latencyBudgetMs"].is_u64(), "{detail:#}");
    let prefix = &detail["prefixes"][0];
    assert_eq!((&prefix["prefix"], &prefix["weight"]), (&json!("permissions:"), &json!(KEYS)), "{detail:#}");
    assert_eq!(prefix["sampleKey"], Value::Null, "names of keys are not shown: {detail:#}");
    browser.post(&format!("/api/runs/{run}/cancel"), &json!({})).json(200);
    let after = events.until(|page| page["running"] == json!([]));
    assert_eq!(after["details"], json!({}), "{after:#}");
    page
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_of_one_machine_shows_where_a_run_is() {
    let machine = Machine::start().await;
    machine.place.seed_stale(KEYS).await;
    let (service, api) = machine.service_with(&[], &SLOW);
    let page = watched(&api, &machine.place);
    assert_eq!(page["workers"], Value::Null, "{page:#}");
    let run = page["running"][0]["runId"].as_str().unwrap();
    assert!(page["details"][run]["paced"][0]["dutyCycle"].is_f64(), "{page:#}");
    stopped(service);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_over_nats_shows_where_a_run_is_and_who_works_on_it() {
    let (_nats, broker) = Broker::guarded().await;
    broker.place.seed_stale(KEYS).await;
    let (service, api) = broker.service(&SLOW);
    let workers = broker.workers();
    let mut events = Browser::logged_in(&api, SECRET).events();
    let page = events.until(|page| page["workers"]["workers"].as_array().is_some_and(|all| all.len() == 3));
    let all = page["workers"]["workers"].as_array().unwrap();
    let roles: Vec<&Value> = all.iter().map(|worker| &worker["role"]).collect();
    assert_eq!(roles, ["reaper", "reporter", "scanner"], "{page:#}");
    assert!(
        all.iter().all(|worker| worker["lastSeen"].is_string() && worker["process"].is_u64()),
        "{page:#}"
    );
    assert_eq!((&all[0]["inHand"], &all[1]["inHand"]), (&json!(0), &Value::Null), "{page:#}");
    let idle = json!([
        { "queue": "tasks", "waiting": 0, "inHand": 0, "redelivered": 0 },
        { "queue": "batches", "waiting": 0, "inHand": 0, "redelivered": 0 },
    ]);
    assert_eq!(page["workers"]["queues"], idle, "{page:#}");
    let page = watched(&api, &broker.place);
    let run = page["running"][0]["runId"].as_str().unwrap();
    // Other processes do the work, and report what they measured.
    assert_eq!(page["details"][run]["paced"][0]["dutyCycle"], Value::Null, "{page:#}");
    drop(workers);
    stopped(service);
}

/// Watches a run of [`job_with_rules`] until all is read and both rules with keys have done something, and stops it.
fn watched_rules(api: &Api, place: &TestDeployment) {
    let slowed = place.slow_writes();
    let browser = Browser::logged_in(api, SECRET);
    let mut events = browser.events();
    let run = browser.post("/api/runs", &json!({})).json(202)["runId"].clone();
    let run = run.as_str().unwrap();
    let page = events.until(|page| {
        let rules = &page["details"][run]["rules"];
        rules[0]["deleted"].as_u64() > Some(0)
            && rules[1]["expired"].as_u64() > Some(0)
            && page["details"][run]["map"]["strips"][0]["counts"]["read"] == 1_024
    });
    drop(slowed);
    assert_eq!(page["jobs"][0]["action"], "rules", "{page:#}");
    let rules = &page["details"][run]["rules"];
    let shown = |at: usize| {
        let rule = &rules[at];
        let names = [&rule["match"][0], &rule["owner"], &rule["action"]].map(Value::as_str);
        (rule["index"].as_u64(), names, [&rule["scanned"], &rule["candidates"]].map(Value::as_u64))
    };
    let tenth = KEYS / 10;
    let keys = |keys| [Some(keys), Some(keys)];
    assert_eq!(
        shown(0),
        (Some(1), [Some("permissions:*1:documents"), Some("web"), Some("delete")], keys(tenth))
    );
    assert_eq!(
        shown(1),
        (Some(2), [Some("permissions:*"), Some("accounts"), Some("ttl")], keys(KEYS - tenth))
    );
    assert_eq!(shown(2), (Some(3), [Some("session:*"), None, Some("durable")], keys(0)));
    assert_eq!((&rules[0]["expired"], &rules[1]["deleted"]), (&json!(0), &json!(0)), "{rules:#}");
    browser.post(&format!("/api/runs/{run}/cancel"), &json!({})).json(200);
    events.until(|page| page["running"] == json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_of_one_machine_shows_what_each_rule_does() {
    let machine = Machine::start().await;
    machine.place.seed_stale(KEYS).await;
    let flags = [&["--config", job_with_rules()], &SLOW[..]].concat();
    let (service, api) = machine.service_with(&[], &flags);
    watched_rules(&api, &machine.place);
    stopped(service);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_over_nats_shows_what_each_rule_does() {
    let (_nats, broker) = Broker::guarded().await;
    broker.place.seed_stale(KEYS).await;
    let (service, api) = broker.service(&[&["--config", job_with_rules()], &SLOW[..]].concat());
    let workers = broker.workers();
    watched_rules(&api, &broker.place);
    drop(workers);
    stopped(service);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alerts_are_shown_until_they_are_resolved_and_after() {
    let machine = Machine::start().await;
    machine.place.seed(1_000).await;
    let (service, api) = machine.service_with(&[], &[]);
    let mut events = Browser::logged_in(&api, SECRET).events();
    let run = |api: &Api| api.ended(&api.post("/api/runs", &json!({})).json(202)["runId"].clone());
    run(&api);
    let page = events.until(|page| page["alerts"][0]["alert"] == "stale-keys");
    assert_eq!(page["resolved"], json!([]), "{page:#}");
    run(&api);
    let page = events.until(|page| page["resolved"][0]["alert"] == "stale-keys");
    assert_eq!(page["alerts"], json!([]), "{page:#}");
    assert!(page["resolved"][0]["resolvedAt"].is_string(), "{page:#}");
    stopped(service);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn charts_have_the_samples_and_the_runs_of_a_job() {
    let machine = Machine::start().await;
    machine.place.seed(1_000).await;
    let (service, api) = machine.service_with(&[], &[]);
    let browser = Browser::logged_in(&api, SECRET);
    let none = browser.get("/api/series").json(200);
    assert_eq!((&none["runs"], &none["last"]), (&json!([]), &Value::Null), "{none:#}");
    for _ in 0..2 {
        api.ended(&api.post("/api/runs", &json!({})).json(202)["runId"].clone());
    }
    let series = browser.get("/api/series?job=permission-cache-cleanup").json(200);
    let runs: Vec<_> = series["runs"].as_array().unwrap().iter().collect();
    let cleaned: Vec<_> = runs.iter().map(|run| (&run["totalKeys"], &run["cleanedKeys"])).collect();
    assert_eq!(cleaned, [(&json!(900), &json!(100)), (&json!(900), &json!(0))], "{series:#}");
    let memory = series["memory"].as_array().unwrap();
    assert!(
        memory.iter().all(|point| point["usedBytes"].as_u64() > Some(0)) && memory.len() >= 2,
        "{series:#}"
    );
    assert_eq!(series["last"]["ttl"]["keys"], 900, "{series:#}");
    assert_eq!(series["last"]["runId"], runs[1]["runId"], "{series:#}");
    browser.get("/api/series?job=other").refused(404, "there is no job `other`");
    browser.get("/api/series?colour=red").refused(400, "unknown field");
    stopped(service);
}
