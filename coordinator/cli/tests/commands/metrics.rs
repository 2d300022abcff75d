//! The metrics of every role in every mode, as Prometheus gets them: those of the catalog, of the types and with the labels that
//! it says, and counters from 0 on.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use keysweep_servers::Server;
use keysweep_telemetry::{MetricDoc, Role, catalog};
use keysweep_testkit::nats_server::NatsServer;
use serde_json::json;

use super::service::{Machine, stopped};
use crate::cli::api::Api;
use crate::cli::broker::{Broker, WORKERS};
use crate::cli::deployment::TestDeployment;
use crate::cli::state::State;
use crate::cli::{Running, keysweep};

/// What Prometheus 2.42 and newer send.
const OPEN_METRICS: &str =
    "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";

/// The job of the tests.
const OF_JOB: &str = "cleanup_job=\"permission-cache-cleanup\",redis=\"main\"";

/// The metrics of a process in both formats, checked by promtool.
#[track_caller]
fn scraped(api: &Api) -> String {
    let answer = api.get("/metrics");
    assert_eq!(answer.header("content-type"), "text/plain; version=0.0.4; charset=utf-8", "{answer:?}");
    let lint = promtool(&answer.body);
    assert!(lint.is_empty(), "{lint}\n{}", answer.body);
    let open = api.send("GET", "/metrics", &[("Host", "keysweep"), ("Accept", OPEN_METRICS)], "");
    let of_open_metrics = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(open.header("content-type"), of_open_metrics, "{open:?}");
    assert!(open.body.ends_with("# EOF\n"), "{open:?}");
    answer.body
}

/// What promtool has to say about metrics.
fn promtool(text: &str) -> String {
    let mut command = Command::new("promtool");
    command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .unwrap_or_else(|e| panic!("promtool: {e}; install it with `apt-get install prometheus`"));
    child.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("it reads");
    let ended = child.wait_with_output().expect("it ends");
    let said = [ended.stdout, ended.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    if ended.status.success() { said } else { format!("{}: {said}", ended.status) }
}

/// Each metric that has a value is one of the catalog for these roles, with its type and labels; and every counter of the
/// catalog whose labels are known is there.
#[track_caller]
fn is_of(roles: &[Role], text: &str) {
    let docs: BTreeMap<String, MetricDoc> = catalog()
        .into_iter()
        .filter(|doc| doc.roles.iter().any(|role| roles.contains(role)))
        .map(|doc| (doc.name.clone(), doc))
        .collect();
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    for (name, kind) in types.filter(|(name, _)| name.starts_with("keysweep_")) {
        let doc = docs.get(name).unwrap_or_else(|| panic!("`{name}` is not a metric of {roles:?}"));
        assert_eq!(kind, doc.kind, "{name}");
        let samples =
            text.lines().filter(|line| !line.starts_with('#') && line.starts_with(&format!("{name}{{")));
        for sample in samples {
            // Routes have braces of their own.
            let labels = sample
                .rsplit_once('}')
                .and_then(|(start, _)| start.split_once('{'))
                .map_or("", |(_, labels)| labels);
            let labels: Vec<&str> = labels
                .split("\",")
                .filter_map(|pair| Some(pair.split_once('=')?.0))
                .filter(|of| *of != "le")
                .collect();
            assert_eq!(labels, doc.labels, "{sample}");
        }
    }
}

#[track_caller]
fn has(text: &str, line: &str) {
    assert!(text.lines().any(|found| found == line), "`{line}` is not in\n{text}");
}

/// The value of a metric of the job.
#[track_caller]
fn of_job(text: &str, name: &str) -> f64 {
    let start = format!("{name}{{{OF_JOB}}} ");
    let value = text.lines().find_map(|line| line.strip_prefix(&start)?.parse().ok());
    value.unwrap_or_else(|| panic!("`{start}` is not in\n{text}"))
}

/// The metrics of a process, once they have a line that begins like this.
fn until(api: &Api, line: &str) -> String {
    for _ in 0..200 {
        let text = api.get("/metrics").body;
        if text.lines().any(|found| found.starts_with(line)) {
            return text;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("`{line}` is not in\n{}", api.get("/metrics").body)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_has_never_answered_is_down() {
    let machine = Machine::start().await;
    machine.servers.kill().unwrap();
    let (service, api) = machine.service_with(&[("KEYSWEEP_SAMPLE_EVERY", "1s")], &[]);
    let address = &machine.place.url()["redis://".len()..];
    until(&api, &format!("keysweep_redis_up{{redis=\"main\",node=\"{address}\"}} 0"));
    stopped(service);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_without_nats_exposes_the_metrics_of_all_roles() {
    let machine = Machine::start().await;
    let stale = machine.place.seed(1_000).await;
    let (service, api) = machine.service(&[]);
    let before = until(&api, &format!("keysweep_runs_active{{{OF_JOB}}} 0"));
    has(&before, &format!("keysweep_runs_total{{{OF_JOB},outcome=\"failed\"}} 0"));
    has(&before, &format!("keysweep_keys_reaped_total{{{OF_JOB},outcome=\"deleted\"}} 0"));
    assert!(!before.contains("keysweep_last_run_timestamp_seconds{"), "{before}");
    assert!(!before.contains("keysweep_nats_connected"), "{before}");
    let started = api.post("/api/runs", &json!({})).json(202);
    api.ended(&started["runId"]);
    let after = until(&api, &format!("keysweep_last_run_stale_keys{{{OF_JOB}}} {stale}"));
    has(&after, &format!("keysweep_runs_total{{{OF_JOB},outcome=\"completed\"}} 1"));
    has(&after, &format!("keysweep_keys_reaped_total{{{OF_JOB},outcome=\"deleted\"}} {stale}"));
    has(&after, &format!("keysweep_last_run_complete{{{OF_JOB}}} 1"));
    let address = &machine.place.url()["redis://".len()..];
    has(&after, &format!("keysweep_redis_up{{redis=\"main\",node=\"{address}\"}} 1"));
    let posted = "keysweep_http_requests_total{route=\"/api/runs\",method=\"POST\",status=\"202\"} 1";
    has(&after, posted);
    let ended = until(&api, &format!("keysweep_runs_active{{{OF_JOB}}} 0"));
    let (last, success) = ("keysweep_last_run_timestamp_seconds", "keysweep_last_success_timestamp_seconds");
    let text = until(&api, last);
    assert_eq!(of_job(&text, last), of_job(&text, success));
    assert!(of_job(&text, "keysweep_next_run_timestamp_seconds") > of_job(&text, last), "{ended}");
    is_of(Role::ALL, &scraped(&api));
    // A client cannot make labels.
    api.send("GET", "/nowhere/1", &[("Host", "keysweep")], "");
    api.send("BREW", "/metrics", &[("Host", "keysweep")], "");
    let text = scraped(&api);
    assert!(!text.contains("nowhere") && !text.contains("BREW"), "{text}");
    has(&text, "keysweep_http_requests_total{route=\"/metrics\",method=\"other\",status=\"405\"} 1");
    service.signal("TERM");
    service.end().exits(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_role_over_nats_exposes_its_metrics() {
    let server = NatsServer::start("").await.expect("a nats-server can be started");
    let broker = Broker::start(&["--nats", &server.url()]).await.env("KEYSWEEP_GRACE", "0s");
    let start = |name: &str| -> (Running, Api) {
        let mut process = broker.command(&[name], &["--admin-addr", "127.0.0.1:0"]).start();
        let address = process.admin_address();
        process.wait_for(" is ready, NATS at");
        (process, Api { address, token: None })
    };
    let (service, api) = start("serve");
    let workers = WORKERS.map(start);
    let (together, all) = start("worker");
    for api in workers.iter().map(|(_, api)| api).chain([&api, &all]) {
        let text = scraped(api);
        has(&text, "keysweep_nats_connected{} 1");
        has(&text, "keysweep_nats_reconnects_total{} 0");
    }
    let text = until(&api, "keysweep_queue_messages{queue=\"tasks\",state=\"waiting\"} 0");
    assert_eq!(of_job(&text, "keysweep_leader"), 0.0);
    broker.command(&["run", "--yes"], &[]).run().exits(0);
    until(&api, "keysweep_last_success_timestamp_seconds");
    is_of(&[Role::Coordinator], &scraped(&api));
    let [scanner, reaper, reporter] = workers.each_ref().map(|(_, api)| scraped(api));
    is_of(&[Role::Scanner], &scanner);
    is_of(&[Role::Reaper], &reaper);
    is_of(&[Role::Reporter], &reporter);
    let of_workers = [Role::Scanner, Role::Reaper, Role::Reporter];
    is_of(&of_workers, &scraped(&all));
    // A server that goes away is seen.
    server.kill().expect("it can be killed");
    until(&api, "keysweep_nats_connected{} 0");
    server.restart().await.expect("it starts again");
    until(&api, "keysweep_nats_reconnects_total{} 1");
    for process in workers.map(|(process, _)| process).into_iter().chain([service, together]) {
        process.signal("TERM");
        process.end().exits(0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_writes_its_metrics_for_node_exporter() {
    let server = Server::start(&[]).await.unwrap();
    let (place, state) = (TestDeployment::standalone(&server).await, State::new());
    let stale = place.seed(500).await;
    let file = Path::new(state.dir()).join("keysweep.prom");
    let run =
        |path: &str| state.command(&["run", "--yes", "--redis", place.url(), "--metrics-file", path]).run();
    let path = file.to_str().expect("a name");
    let text = || std::fs::read_to_string(&file).expect("it was written");
    run(path).exits(0);
    let first = text();
    assert_eq!(promtool(&first), "");
    has(&first, &format!("keysweep_keys_reaped_total{{{OF_JOB},outcome=\"deleted\"}} {stale}"));
    assert!(!first.contains("process_"), "{first}");
    let success = of_job(&first, "keysweep_last_success_timestamp_seconds");
    assert_eq!(of_job(&first, "keysweep_last_run_timestamp_seconds"), success);
    assert_eq!(std::fs::metadata(&file).map(|about| mode(&about) & 0o444).ok(), Some(0o444));
    // A file that cannot be written does not change the outcome of a run.
    run("/nonexistent/keysweep.prom").exits(0).log_contains(&["failed to write the metrics", "/nonexistent"]);
    // A run that cannot reach the server is the last one, and no success.
    server.kill().unwrap();
    std::thread::sleep(Duration::from_secs(1));
    run(path).exits(5);
    let second = text();
    assert!(of_job(&second, "keysweep_last_success_timestamp_seconds") >= success, "{second}");
    let (last, success) = ("keysweep_last_run_timestamp_seconds", "keysweep_last_success_timestamp_seconds");
    assert!(of_job(&second, last) > of_job(&second, success), "{second}");
}

fn mode(about: &std::fs::Metadata) -> u32 {
    std::os::unix::fs::MetadataExt::mode(about)
}

#[test]
fn a_metrics_file_is_for_runs_without_nats() {
    let ended = keysweep(&["run", "--yes", "--metrics-file", "x.prom", "--nats", "nats://127.0.0.1:1"]).run();
    ended.exits(2).log_contains(&["--metrics-file", "over NATS"]);
}
