//! What a service does is the same with NATS and without: runs, schedule, attempts, attach, cancel, events, audit. Each test
//! is one suite, carried out in both modes.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use keysweep_testkit::nats_server::NatsServer;
use serde_json::{Value, json};

use crate::cli::api::Api;
use crate::cli::broker::{Broker, KEYS};
use crate::cli::state::State;
use crate::cli::{Keysweep, Running, SECRET};

const NEVER: &str = "0 0 1 1 *";

/// A service, and what it needs in its mode.
struct Site {
    broker: Broker,
    service: Running,
    api: Api,
    worker: Option<Running>,
    state: Option<State>,
    _nats: Option<NatsServer>,
}

impl Site {
    async fn over_nats(env: &[(&str, &str)]) -> Self {
        let server = NatsServer::start("").await.unwrap();
        let broker = Broker::start(&["--nats", &server.url()]).await;
        let worker = broker.role("worker");
        Self { worker: Some(worker), _nats: Some(server), ..Self::with(broker, None, env) }
    }

    async fn here(env: &[(&str, &str)]) -> Self {
        let state = State::new();
        let broker = Broker::start(&[]).await.env("KEYSWEEP_STATE_DIR", state.dir());
        Self::with(broker, Some(state), env)
    }

    fn with(broker: Broker, state: Option<State>, env: &[(&str, &str)]) -> Self {
        let command = broker.command(&["serve"], &["--admin-addr", "127.0.0.1:0"]);
        let command = command.env("KEYSWEEP_API_TOKEN", SECRET).env("KEYSWEEP_RETRY_BACKOFF", "100ms");
        let command = env.iter().fold(command, |command, (name, value)| command.env(name, value));
        let mut service = command.start();
        service.wait_for(" is ready, ");
        let address = service.admin_address();
        let api = Api { address, token: Some(SECRET) };
        Self { broker, service, api, worker: None, state, _nats: None }
    }

    fn command(&self, words: &[&str]) -> Keysweep {
        self.broker.command(words, &["--json"])
    }

    /// The documents that a command prints.
    #[track_caller]
    fn documents(&self, words: &[&str]) -> Vec<Value> {
        let ended = self.command(words).run();
        let documents = serde_json::Deserializer::from_str(&ended.exits(0).stdout).into_iter();
        documents.collect::<Result<_, _>>().unwrap_or_else(|e| panic!("{e}: {ended}"))
    }

    #[track_caller]
    fn document(&self, words: &[&str]) -> Value {
        let mut documents = self.documents(words);
        assert_eq!(documents.len(), 1, "{words:?}");
        documents.remove(0)
    }

    /// The kinds of the events of a run.
    fn kinds(&self, run: &str) -> Vec<String> {
        let events = self.documents(&["events", "--run", run]);
        let kind = |event: &Value| event["type"].as_str().unwrap().replace("dev.keysweep.run.", "");
        events.iter().map(kind).filter(|kind| kind != "progress.v1").collect()
    }

    /// The history once `done` holds for it.
    fn history(&self, done: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let until = Instant::now() + Duration::from_secs(100);
        loop {
            let runs = self.api.get("/api/runs").json(200)["runs"].as_array().unwrap().clone();
            if done(&runs) {
                return runs;
            }
            assert!(Instant::now() < until, "{runs:#?}\n{}", self.service.so_far());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn stop(self) {
        for process in [Some(self.service), self.worker].into_iter().flatten() {
            process.signal("TERM");
            process.end().exits(0);
        }
        if let Some(state) = self.state {
            state.is_whole();
        }
    }
}

/// Runs that programs start are carried out, and commands show them.
async fn programs_start_runs_and_commands_show_them(site: Site) {
    let stale = json!(site.broker.stale);
    let start = |request: Value| site.api.post("/api/runs", &request).json(202)["runId"].clone();
    let dry = start(json!({ "dryRun": true }));
    let looked = site.api.ended(&dry);
    assert_eq!((&looked["result"]["staleTTLKeys"], &looked["cancel"]), (&stale, &Value::Null), "{looked:#}");
    let run = start(json!({ "startedBy": "a test" }));
    let (id, ended) = (run.as_str().unwrap(), site.api.ended(&run));
    assert_eq!((&ended["run"]["startedBy"], &ended["result"]["cleanedKeys"]), (&json!("a test"), &stale));
    assert_eq!(site.broker.place.keys("permissions:*").await as u64, KEYS - site.broker.stale);
    let list = site.document(&["runs", "list"]);
    assert_eq!((&list["runs"][0]["runId"], &list["runs"][1]["runId"]), (&run, &dry), "{list:#}");
    for words in [["runs", "show", "last"], ["runs", "attach", id]] {
        assert_eq!(site.document(&words), ended["result"], "{words:?}");
    }
    let stopped = site.document(&["runs", "cancel", id]);
    assert_eq!(stopped, json!({ "runId": run, "cancelled": false, "ended": true }));
    let names = |words: &[&str]| {
        let lines = site.documents(&[&["runs", "audit"], words].concat());
        assert!(lines.iter().all(|line| line["runId"] == run && line["outcome"] == "deleted"), "{lines:#?}");
        lines.iter().map(|line| line["key"].as_str().unwrap().to_owned()).collect::<BTreeSet<_>>()
    };
    let all = names(&[id]);
    assert_eq!(json!(all.len()), stale);
    // Across runs: the other one has changed nothing.
    assert_eq!(names(&["--prefix", "permissions:", "--since", "1h"]), all);
    let one = all.first().unwrap();
    assert_eq!(names(&["--prefix", one]).first(), Some(one));
    assert!(names(&["--prefix", "other:"]).is_empty() && names(&[id, "--prefix", "other:"]).is_empty());
    let reported = site.documents(&["runs", "audit", "--all", "--prefix", "permissions:"]);
    let dry_lines = reported.iter().filter(|line| line["runId"] == dry && line["outcome"] == "reported");
    assert_eq!(json!(dry_lines.count()), stale);
    assert_eq!(site.kinds(id), ["started.v1", "issue.v1", "completed.v1"]);
    let stats = site.document(&["stats"]);
    assert_eq!((&stats["jobQueue"]["completed"], &stats["jobQueue"]["active"]), (&json!(2), &json!(0)));
    site.stop();
}

/// A run that is stopped ends at a safe point, for every process that follows it.
async fn a_run_is_followed_and_stopped(site: Site) {
    let run = site.api.post("/api/runs", &json!({})).json(202)["runId"].clone();
    let followed = site.command(&["runs", "attach", "last"]).start();
    site.history(|runs| runs.len() == 1 && runs[0]["status"].is_null());
    site.api.post("/api/runs", &json!({})).refused(409, "is being run by");
    let stopped = site.document(&["runs", "cancel", "last"]);
    assert_eq!(stopped, json!({ "runId": run, "cancelled": true, "ended": false }));
    let result = followed.end().exits(3).result("cancelled");
    let ended = site.api.ended(&run);
    assert_eq!((&ended["result"], &ended["cancel"]["kind"]), (&result, &json!("asked")), "{ended:#}");
    assert_eq!(site.broker.place.keys("permissions:*").await as u64, KEYS, "{result:#}");
    assert_eq!(site.kinds("last").last().map(String::as_str), Some("cancelled.v1"));
    site.stop();
}

/// A run that is due starts by itself.
async fn due_runs_start(site: Site) {
    let runs = site.history(|runs| runs.first().is_some_and(|run| run["status"] == "completed"));
    let by = runs[0]["startedBy"].as_str().unwrap();
    assert!(by.starts_with("schedule, by process ") && runs[0]["scheduled"] == true, "{runs:#?}");
    assert_eq!(runs[0]["cleanedKeys"], site.broker.stale);
    site.stop();
}

/// A run that is due and cannot be started is a failed one, and is tried once more.
async fn failed_runs_are_tried_again(site: Site) {
    let runs = site.history(|runs| runs.len() >= 2);
    let attempt = |n: usize| &runs[n]["attempt"];
    assert!(runs[0]["status"] == "failed" && runs[1]["status"] == "failed", "{runs:#?}");
    assert!(runs[0]["cause"].as_str().unwrap().contains("127.0.0.1:1"), "{runs:#?}");
    assert_eq!((&attempt(0)["number"], &attempt(0)["of"]), (&json!(1), &json!(2)), "{runs:#?}");
    assert_eq!((&attempt(1)["number"], &attempt(1)["previous"]), (&json!(2), &runs[0]["runId"]));
    for run in &runs[..2] {
        assert_eq!(site.kinds(run["runId"].as_str().unwrap()), ["failed.v1"]);
    }
    site.stop();
}

/// Defines a test of each suite for each mode, with the variables of the service.
macro_rules! in_both_modes {
    ($($suite:ident, $here:ident, $over_nats:ident, $env:expr;)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $here() {
                $suite(Site::here(&$env).await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $over_nats() {
                $suite(Site::over_nats(&$env).await).await;
            }
        )+
    };
}

in_both_modes! {
    programs_start_runs_and_commands_show_them, runs_here, runs_over_nats,
        [("KEYSWEEP_SCHEDULE", NEVER), ("KEYSWEEP_GRACE", "0s")];
    a_run_is_followed_and_stopped, stopped_here, stopped_over_nats,
        [("KEYSWEEP_SCHEDULE", NEVER), ("KEYSWEEP_GRACE", "60s")];
    due_runs_start, due_here, due_over_nats, [("KEYSWEEP_SCHEDULE", "* * * * *"), ("KEYSWEEP_GRACE", "0s")];
    failed_runs_are_tried_again, failed_here, failed_over_nats,
        [("KEYSWEEP_SCHEDULE", "* * * * *"), ("REDIS_URL", "redis://127.0.0.1:1")];
}
