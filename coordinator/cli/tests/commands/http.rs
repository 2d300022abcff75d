//! The HTTP API of the service, on the real binary: authorization, the operations, and the metrics of the roles.

use keysweep_servers::Server;
use keysweep_testkit::nats_server::NatsServer;
use serde_json::{Value, json};

use crate::cli::api::Api;
use crate::cli::broker::{Broker, KEYS, WORKERS, file};
use crate::cli::schemas::described;
use crate::cli::{Running, SECRET};

/// A role that listens, with `more` flags.
fn role(broker: &Broker, name: &str, more: &[&str]) -> (Running, Api) {
    let flags = [&["--admin-addr", "127.0.0.1:0"], more].concat();
    let mut role = broker.command(&[name], &flags).start();
    let address = role.admin_address();
    (role, Api { address, token: None })
}

async fn broker() -> (NatsServer, Broker) {
    let server = NatsServer::start("").await.expect("a nats-server can be started");
    let broker = Broker::start(&["--nats", &server.url()]).await;
    (server, broker.env("KEYSWEEP_GRACE", "0s"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_without_the_token_are_refused() {
    let (_server, broker) = broker().await;
    let (mut open, without_token) = role(&broker, "serve", &[]);
    open.wait_for(" is ready, NATS at");
    for path in ["/api/stats", "/api/runs", "/api/elsewhere"] {
        without_token.get(path).refused(403, "`--api-token-file`");
        without_token.with(Some("")).get(path).refused(403, "`[serve]`");
    }
    without_token.post("/api/runs", &json!({})).refused(403, "`KEYSWEEP_API_TOKEN`");
    let token = file("token", &format!("{SECRET}\n"));
    let (mut guarded, api) = role(&broker, "serve", &["--api-token-file", &token]);
    guarded.wait_for(" is ready, NATS at");
    for wrong in [None, Some(""), Some("wrong"), Some("hunter2-hunter"), Some("hunter2-hunter2x")] {
        for path in ["/api/stats", "/api/runs", "/api/elsewhere"] {
            let answer = api.with(wrong).get(path);
            let says = match wrong {
                None | Some("") => "Authorization: Bearer",
                Some(_) => "not a token of this service",
            };
            answer.refused(401, says);
            assert!(answer.has("www-authenticate: bearer"), "{answer:?}");
        }
        api.with(wrong).post("/api/runs", &json!({})).refused(401, "token");
        let run = "/api/runs/01980a1c-0000-7000-8000-000000000000";
        api.with(wrong).get(run).refused(401, "token");
        api.with(wrong).post(&format!("{run}/cancel"), &json!({})).refused(401, "token");
        for method in ["DELETE", "PUT", "PATCH", "OPTIONS"] {
            api.with(wrong).ask(method, "/api/runs", "").refused(401, "token");
        }
    }
    for service in [&without_token, &api] {
        // The description is the same for every installation.
        let described = service.get("/api/openapi.json").json(200);
        assert!(described["paths"]["/api/runs"]["post"].is_object(), "{described:#}");
        service.post("/api/openapi.json", &json!({})).refused(405, "another method");
    }
    for (path, text) in [("/livez", "alive"), ("/readyz", "ready"), ("/metrics", "keysweep_build_info{")] {
        let answer = api.get(path);
        assert!(answer.status == 200 && answer.body.contains(text), "{answer:?}");
    }
    assert_eq!(api.with(Some(SECRET)).get("/api/runs").json(200), json!({ "runs": [] }));
    for service in [open, guarded] {
        service.signal("TERM");
        service.end().exits(0);
    }
}

/// The router has what the description has. `xtask/tests/structure.rs` checks the reverse.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_described_operation_is_served() {
    let (_server, broker) = broker().await;
    let (mut service, api) = role(&broker.env("KEYSWEEP_API_TOKEN", SECRET), "serve", &[]);
    service.wait_for(" is ready, NATS at");
    let token = format!("Bearer {SECRET}");
    let mut seen = 0;
    for (path, operations) in described()["paths"].as_object().unwrap() {
        let path = path.replace("{id}", "01980a1c-0000-7000-8000-000000000000");
        for method in operations.as_object().unwrap().keys() {
            // Live data has no end, and a request without a body starts a run.
            let (method, body) = match (method.as_str(), path.as_str()) {
                ("get", "/api/live") => ("HEAD", ""),
                ("get", _) => ("GET", ""),
                _ => ("POST", "["),
            };
            let answer = api.send(method, &path, &[("Host", "k"), ("Authorization", &token)], body);
            let is_there = ![0, 405].contains(&answer.status) && !answer.body.contains("no such path");
            assert!(is_there, "{method} {path}: {answer:?}");
            seen += 1;
        }
    }
    assert!(seen >= 14, "{seen}");
    service.signal("TERM");
    service.end().exits(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_token_file_is_reported_before_the_start() {
    let (_server, broker) = broker().await;
    let ended = broker.command(&["serve"], &["--api-token-file", "/nowhere/token"]).run();
    ended.exits(2).log_contains(&["flag --api-token-file", "/nowhere/token"]);
    // Other roles do not need it.
    let worker = broker.env("KEYSWEEP_API_TOKEN_FILE", "/nowhere/token").role("scanner");
    worker.signal("TERM");
    worker.end().exits(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_start_watch_and_stop_runs() {
    let (server, broker) = broker().await;
    let broker = broker.env("KEYSWEEP_API_TOKEN", SECRET);
    server.kill().unwrap();
    let (mut service, api) = role(&broker, "serve", &[]);
    let api = api.with(Some(SECRET));
    api.get("/api/runs").refused(503, "`/readyz` says why");
    server.restart().await.unwrap();
    service.wait_for(" is ready, NATS at");

    // No worker is running yet, so the run stays in its first phase.
    let started = api.post("/api/runs", &json!({ "startedBy": "a test", "scanBatchSize": 50 }));
    let run = started.json(202)["runId"].clone();
    let path = format!("/api/runs/{}", run.as_str().expect("an id"));
    assert!(started.has(&format!("location: {path}")), "{started:?}");
    let view = api.get(&path).json(200);
    assert_eq!((&view["run"]["startedBy"], &view["result"]), (&json!("a test"), &Value::Null));
    assert_eq!(view["progress"]["keys"], KEYS);
    api.post("/api/runs", &json!({})).refused(409, "");
    let stats = api.get("/api/stats?redis=main").json(200);
    assert_eq!(stats["jobQueue"]["completed"], 0);
    assert_eq!(stats["redisHealth"]["status"], "healthy");
    let cancel = format!("{path}/cancel");
    let reported = api.post(&cancel, &json!({ "cause": "enough" })).json(200);
    assert_eq!(reported, json!({ "runId": run, "cancelled": true, "ended": false }));

    let workers = WORKERS.map(|name| role(&broker, name, &[]));
    assert_eq!(api.ended(&run)["result"]["status"], "cancelled");
    let reported = api.ask("POST", &cancel, "").json(200);
    assert_eq!(reported, json!({ "runId": run, "cancelled": false, "ended": true }));

    let started = api.ask("POST", "/api/runs", "").json(202);
    let result = api.ended(&started["runId"])["result"].clone();
    assert_eq!((&result["status"], &result["cleanedKeys"]), (&json!("completed"), &json!(broker.stale)));
    let runs = api.get("/api/runs").json(200);
    assert_eq!(runs["runs"].as_array().map(Vec::len), Some(2), "{runs}");
    let runs = api.get("/api/runs?limit=1").json(200);
    assert_eq!(runs["runs"][0]["runId"], started["runId"]);
    api.get("/api/runs?job=other").refused(404, "there is no job `other`");
    let job = "permission-cache-cleanup";
    assert_eq!(api.get(&format!("/api/runs?job={job}")).json(200), api.get("/api/runs").json(200));
    assert_eq!(api.get("/api/stats").json(200)["jobQueue"]["completed"], 1);

    let [scanner, reaper, reporter] = workers.each_ref().map(|(_, api)| api.get("/metrics").body);
    let job = "cleanup_job=\"permission-cache-cleanup\",redis=\"main\"";
    for (text, line) in [
        (scanner, format!("keysweep_keys_scanned_total{{{job}}} {KEYS}")),
        (reaper, format!("keysweep_keys_reaped_total{{{job},outcome=\"deleted\"}} {}", broker.stale)),
        (reporter, format!("keysweep_runs_total{{{job},outcome=\"completed\"}} 1")),
    ] {
        assert!(text.lines().any(|found| found == line), "`{line}` is not in\n{text}");
    }
    service.signal("TERM");
    service.end().exits(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_without_a_valid_reply_get_a_json_error() {
    let (_server, broker) = broker().await;
    let broker = broker.env("KEYSWEEP_API_TOKEN", SECRET);
    let (mut service, api) = role(&broker, "serve", &[]);
    service.wait_for(" is ready, NATS at");
    invalid_requests(&api.with(Some(SECRET)), &broker.redis);
    service.signal("TERM");
    service.end().exits(0);
}

/// Requests that a service without runs rejects. Ends the server.
pub fn invalid_requests(api: &Api, redis: &Server) {
    let nowhere = "/api/runs/01980a1c-0000-7000-8000-000000000000";
    api.get(nowhere).refused(404, "there is no run");
    api.post(&format!("{nowhere}/cancel"), &json!({})).refused(404, "there is no run");
    api.get("/api/runs/seven").refused(400, "`seven` is not a run id");
    api.get("/api/elsewhere").refused(404, "no such path");
    api.ask("DELETE", "/api/runs", "").refused(405, "another method");
    api.get("/api/runs?limit=many").refused(400, "`limit` takes a whole number");
    api.get("/api/runs?colour=red").refused(400, "unknown field `colour`; there are `job`, `limit`");
    api.get("/api/runs?job=other").refused(404, "there is no job `other`");
    assert_eq!(api.get("/api/runs?job=permission-cache-cleanup").json(200), json!({ "runs": [] }));
    api.get("/api/stats?job=other").refused(404, "there is no job `other`");
    api.post("/api/runs", &json!({ "job": "other" })).refused(404, "there is no job `other`");
    api.post("/api/runs", &json!({ "colour": "red" })).refused(400, "unknown field `colour`");
    api.post("/api/runs", &json!({ "scanBatchSize": 0 })).refused(400, "`scanBatchSize`");
    for (request, has) in [
        (json!({ "scanBatchSize": 101 }), "`scanBatchSize` is `101`, and the job has `100`"),
        (json!({ "maxSpeed": true }), "`maxSpeed` is `true`, and the job has the latency budget `1ms`"),
        (json!({ "latencyBudget": "2ms" }), "`latencyBudget` is `2ms`, and the job has `1ms`"),
    ] {
        api.post("/api/runs", &request).refused(403, has);
        api.post("/api/runs", &request).refused(403, "set `allow_override = [");
    }
    api.ask("POST", "/api/runs", "{").refused(400, "cannot be parsed");
    let long = json!({ "startedBy": "x".repeat(64 << 10) });
    api.post("/api/runs", &long).refused(413, "longer than 65536 bytes");
    let named = json!({ "startedBy": "x".repeat(501) });
    api.post("/api/runs", &named).refused(400, "`startedBy` is longer than 500 bytes");
    api.ask("POST", "/api/runs", &"[".repeat(60_000)).refused(400, "cannot be parsed");
    assert_eq!(api.get("/api/runs").json(200), json!({ "runs": [] }));
    redis.kill().unwrap();
    api.post("/api/runs", &json!({})).refused(500, "");
    assert_eq!(api.get("/api/stats").json(200)["redisHealth"]["status"], "unhealthy");
}
