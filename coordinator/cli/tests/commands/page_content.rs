//! What the page of a service shows: its files, live data, reports, and the search of the audit trail; on a state file
//! and over NATS.

use std::time::{Duration, Instant};

use coordinator::limits::VIEWER_COMMENT_EVERY;
use serde_json::{Value, json};

use super::service::{Machine, stopped};
use crate::cli::SECRET;
use crate::cli::api::Api;
use crate::cli::broker::Broker;
use crate::cli::browser::Browser;

/// Keys of a run that takes a while: one call deletes one of them.
const KEYS: u64 = 20_000;

/// The policy of the page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'; \
                      require-trusted-types-for 'script'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_files_of_the_page_have_strict_headers_and_tags() {
    let machine = Machine::start().await;
    let (service, api) = machine.service_with(&[], &[]);
    let browser = Browser::logged_in(&api, SECRET);
    let files = [
        ("/", "text/html"),
        ("/app.js", "text/javascript"),
        ("/app.css", "text/css"),
        ("/js/running.js", "text/javascript"),
        ("/vendor/uplot.js", "text/javascript"),
        ("/vendor/uplot.css", "text/css"),
        ("/vendor/LICENSE", "text/plain"),
    ];
    for (path, media_type) in files {
        let answer = browser.get(path);
        assert!(answer.status == 200 && answer.header("content-type").starts_with(media_type), "{answer:?}");
        let tag = answer.header("etag").to_owned();
        let host = ("Host", api.address.as_str());
        let again = browser.get_with(path, &[host, ("If-None-Match", &tag)]);
        assert!(again.status == 304 && again.body.is_empty() && again.header("etag") == tag, "{again:?}");
        assert_eq!(browser.get_with(path, &[host, ("If-None-Match", "\"other\"")]).status, 200);
        for answer in [answer, again] {
            assert_eq!(answer.header("content-security-policy"), POLICY, "{path}");
            assert_eq!(answer.header("referrer-policy"), "no-referrer", "{path}");
            assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
            assert_eq!(answer.header("cache-control"), "private, no-cache", "{path}");
        }
    }
    // A browser whose script is not there yet must not put the token into an address.
    let login = Browser::at(&api).get("/").body;
    assert!(login.contains(r#"<form id="login" method="post""#), "{login}");
    assert!(login.contains(r#"<button type="submit" disabled>Log in"#), "{login}");
    // What the policy forbids is not there.
    let page = browser.get("/").body;
    for never in ["<script>", "style=", "<style", " onclick", "http://www.w3.org/1999", "https://"] {
        assert!(!page.contains(never), "{never}");
    }
    stopped(service);
}

/// Watches a run from its start to its end, with a `client` that has the token.
fn follows_a_run(api: &Api, deleted: u64) -> Value {
    let mut events = Browser::logged_in(api, SECRET).events();
    assert!(events.status() == 200 && events.head.contains("text/event-stream"), "{}", events.head);
    let (first, page) = events.next().expect("a first snapshot");
    assert_eq!((&page["runs"], &page["running"], &page["problem"]), (&json!([]), &json!([]), &Value::Null));
    assert_eq!(page["jobs"][0]["job"], "permission-cache-cleanup", "{page:#}");
    assert!(page["jobs"][0]["nextDue"].is_string(), "{page:#}");
    let run = api.post("/api/runs", &json!({ "startedBy": "a test" })).json(202)["runId"].clone();
    let is_over = |page: &Value| page["runs"][0]["status"] == "completed";
    let (second, page) = events.next().expect("a change");
    assert!(second > first, "{first} {second}");
    let ended = if is_over(&page) { page } else { events.until(is_over) };
    let row = &ended["runs"][0];
    assert_eq!((&row["runId"], &row["startedBy"]), (&run, &json!("a test")), "{ended:#}");
    assert_eq!((&row["cleanedKeys"], &ended["running"]), (&json!(deleted), &json!([])), "{ended:#}");
    assert_eq!(ended["details"], json!({}), "{ended:#}");
    run
}

/// The report of a run that has ended has no rights in a browser.
fn has_a_report(api: &Api, run: &Value) {
    let browser = Browser::logged_in(api, SECRET);
    let report = browser.get(&format!("/api/runs/{}/report", run.as_str().unwrap()));
    assert!(report.status == 200 && report.body.starts_with("<!doctype html>"), "{report:?}");
    let policy = report.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; ") && policy.ends_with("; sandbox"), "{policy}");
    assert_eq!(report.header("x-content-type-options"), "nosniff");
    let nowhere = "/api/runs/01980a1c-0000-7000-8000-000000000000/report";
    browser.get(nowhere).refused(404, "there is no run");
    browser.get("/api/runs/x/report").refused(400, "not a run id");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_of_one_machine_follows_a_run() {
    let machine = Machine::start().await;
    machine.place.seed(1_000).await;
    let (service, api) = machine.service_with(&[], &[]);
    let run = follows_a_run(&api, 100);
    has_a_report(&api, &run);
    stopped(service);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_over_nats_follows_a_run() {
    let (_nats, broker) = Broker::guarded().await;
    let (service, api) = broker.service(&[]);
    let workers = broker.workers();
    let run = follows_a_run(&api, broker.stale);
    has_a_report(&api, &run);
    let browser = Browser::logged_in(&api, SECRET);
    browser.get("/api/audit").refused(501, "`keysweep runs audit RUN`");
    assert!(browser.get("/").body.contains("keysweep runs audit RUN"));
    drop(workers);
    stopped(service);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_in_progress_shows_how_far_it_is() {
    let machine = Machine::start().await;
    machine.place.seed_stale(KEYS).await;
    let slow = ["--delete-batch-size", "1", "--max-delete-percent", "100"];
    let (service, api) = machine.service_with(&[], &slow);
    let browser = Browser::logged_in(&api, SECRET);
    let mut events = browser.events();
    let slowed = machine.place.slow_writes();
    let run = browser.post("/api/runs", &json!({})).json(202)["runId"].clone();
    let page = events.until(|page| page["running"][0]["deletedSoFar"].as_u64() > Some(0));
    drop(slowed);
    let running = &page["running"][0];
    assert_eq!((&running["runId"], &running["keys"], &running["status"]), (&run, &json!(KEYS), &Value::Null));
    assert!(running["asOf"].is_string() && page["runs"][0]["cleanedKeys"].is_null(), "{page:#}");
    let cancel = format!("/api/runs/{}/cancel", run.as_str().unwrap());
    assert_eq!(browser.post(&cancel, &json!({ "cause": "enough" })).json(200)["cancelled"], true);
    let page = events.until(|page| page["running"] == json!([]));
    assert_eq!(page["runs"][0]["status"], "cancelled", "{page:#}");
    assert!(page["runs"][0]["cause"].as_str().unwrap().contains("enough"), "{page:#}");
    // The stream ends with the service.
    service.signal("TERM");
    while events.next().is_some() {}
    service.end().exits(0);
}

/// Proxies close connections that are silent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_viewer_without_news_gets_comments_and_after_a_lost_connection_the_whole_page() {
    let machine = Machine::start().await;
    let (service, api) = machine.service_with(&[], &[]);
    let browser = Browser::logged_in(&api, SECRET);
    let mut events = browser.events();
    let (mut id, mut page) = events.next().expect("a snapshot");
    // The first figures of the deployment may come later.
    let began = Instant::now();
    events.comment();
    let waited = began.elapsed();
    let second = Duration::from_secs(1);
    assert!((VIEWER_COMMENT_EVERY - second..VIEWER_COMMENT_EVERY * 2).contains(&waited), "{waited:?}");
    let run = api.post("/api/runs", &json!({ "dryRun": true })).json(202)["runId"].clone();
    while page["runs"][0]["status"] != "completed" {
        (id, page) = events.next().expect("a change");
    }
    drop(events);
    for last in [id - 1, id, id + 1] {
        // The kit checks that it is a snapshot.
        let (_, again) = browser.events_after(Some(last)).next().expect("a snapshot");
        assert_eq!((&again["runs"][0]["runId"], &again["jobs"]), (&run, &page["jobs"]), "{again:#}");
    }
    stopped(service);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn viewers_are_bounded() {
    let machine = Machine::start().await;
    let (service, api) = machine.service_with(&[], &[]);
    let browser = Browser::logged_in(&api, SECRET);
    let mut viewers: Vec<_> = (0..50).map(|_| browser.events()).collect();
    for viewer in &mut viewers {
        assert!(viewer.next().is_some(), "{}", viewer.head);
    }
    assert_eq!(browser.events().status(), 503);
    browser.get("/api/live").refused(503, "50 browsers");
    // The page itself is still there.
    assert_eq!(browser.get("/").status, 200);
    drop(viewers.pop());
    // The service notices it when it next writes.
    api.post("/api/runs", &json!({ "dryRun": true })).json(202);
    let until = Instant::now() + Duration::from_secs(60);
    while browser.events().status() != 200 {
        assert!(Instant::now() < until, "no room for another viewer");
        std::thread::sleep(Duration::from_millis(200));
    }
    stopped(service);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleted_keys_are_found_and_named_only_where_that_is_allowed() {
    let machine = Machine::start().await;
    machine.place.seed(100).await;
    let (service, api) = machine.service_with(&[("KEYSWEEP_VIEW_TOKEN", "hunter2-reads")], &[]);
    let run = api.post("/api/runs", &json!({})).json(202)["runId"].clone();
    api.ended(&run);
    let all = api.get("/api/audit").json(200);
    let keys = all["keys"].as_array().unwrap();
    assert_eq!(
        (keys.len(), &all["more"], &all["namesHidden"]),
        (10, &json!(false), &json!(false)),
        "{all:#}"
    );
    assert!(keys.iter().all(|key| key["runId"] == run && key["outcome"] == "deleted"), "{all:#}");
    let name = keys[0]["key"].as_str().unwrap();
    let found = api.get(&format!("/api/audit?prefix={name}&run={}", run.as_str().unwrap())).json(200);
    assert_eq!(found["keys"], json!([keys[0]]));
    let some = api.get("/api/audit?limit=3").json(200);
    assert_eq!((some["keys"].as_array().unwrap().len(), &some["more"]), (3, &json!(true)));
    let none = api.get("/api/audit?prefix=other:").json(200);
    assert_eq!(none["keys"], json!([]));
    api.get("/api/audit?limit=1001").refused(400, "`limit`");
    api.get("/api/audit?run=last").refused(400, "not a run id");
    api.get("/api/audit?colour=red").refused(400, "unknown field");
    let hidden = |answer: Value| {
        let keys = answer["keys"].as_array().unwrap().clone();
        assert!(keys.len() == 10 && keys.iter().all(|key| key["key"].is_null()), "{answer:#}");
        assert_eq!(answer["namesHidden"], true);
    };
    let browser = Browser::logged_in(&api, SECRET);
    hidden(browser.get("/api/audit").json(200));
    browser.get("/api/audit?prefix=permissions").refused(403, "`dashboard_keys = true`");
    let reader = api.with(Some("hunter2-reads"));
    hidden(reader.get("/api/audit").json(200));
    reader.get("/api/audit?prefix=p").refused(403, "`dashboard_keys = true`");
    stopped(service);
    let (service, api) = machine.service_with(&[("KEYSWEEP_DASHBOARD_KEYS", "true")], &[]);
    let found = Browser::logged_in(&api, SECRET).get(&format!("/api/audit?prefix={name}")).json(200);
    assert_eq!(found["keys"][0]["key"], name);
    stopped(service);
}
