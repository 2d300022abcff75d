//! `keysweep serve` without NATS: runs of one machine in one process, on its state file.

use std::time::{Duration, Instant};

use keysweep_servers::{ClusterServers, Server};
use keysweep_testkit::receiver::{CannedReply, Receiver};
use reporter::counted;
use serde_json::{Value, json};

use super::http::invalid_requests;
use crate::cli::api::Api;
use crate::cli::broker::file;
use crate::cli::deployment::TestDeployment;
use crate::cli::schemas::event_errors;
use crate::cli::state::State;
use crate::cli::{Running, SECRET, keysweep};

/// Stale keys of a run that is stopped.
const KEYS: u64 = 1_000;

/// A machine with a service, whose job has no due time in the test.
pub struct Machine<Servers = Server> {
    pub state: State,
    pub servers: Servers,
    pub place: TestDeployment,
}

impl Machine {
    pub async fn start() -> Self {
        let servers = Server::start(&[]).await.unwrap();
        let place = TestDeployment::standalone(&servers).await;
        Self { state: State::new(), servers, place }
    }
}

impl Machine<ClusterServers> {
    pub async fn with_cluster() -> Self {
        let servers = ClusterServers::start(3, 0).await.unwrap();
        let place = TestDeployment::cluster(&servers).await;
        Self { state: State::new(), servers, place }
    }
}

impl<Servers> Machine<Servers> {
    /// The service, when it is ready.
    pub fn service(&self, more: &[&str]) -> (Running, Api) {
        self.service_with(&[], more)
    }

    /// The same with more variables.
    pub fn service_with(&self, env: &[(&str, &str)], more: &[&str]) -> (Running, Api) {
        let mut service = self.service_at("127.0.0.1:0", env, more);
        let address = service.admin_address();
        (service, Api { address, token: Some(SECRET) })
    }

    /// The same with an admin address.
    pub fn service_at(&self, address: &str, env: &[(&str, &str)], more: &[&str]) -> Running {
        let args = ["serve", "--redis", self.place.url(), "--admin-addr", address];
        let command = self.state.command(&[&args[..], more].concat());
        let command = command
            .env("KEYSWEEP_SCHEDULE", "0 0 1 1 *")
            .env("KEYSWEEP_RETRY_BACKOFF", "100ms")
            .env("KEYSWEEP_CATCH_UP", "true");
        let command = command.env("KEYSWEEP_API_TOKEN", SECRET);
        let command = env.iter().fold(command, |command, (name, value)| command.env(name, value));
        let mut service = command.start();
        service.wait_for("the service is ready");
        service
    }

    /// A service with a run of [`KEYS`] stale keys, which waits for its grace before it deletes them; and the id of that
    /// run.
    async fn waiting(&self, grace: &str) -> (Running, Api, Value) {
        self.place.seed_stale(KEYS).await;
        let (service, api) = self.service(&["--grace", grace, "--max-delete-percent", "100"]);
        let run = api.post("/api/runs", &json!({})).json(202)["runId"].clone();
        (service, api, run)
    }

    pub async fn keys(&self) -> u64 {
        self.place.keys("permissions:*").await as u64
    }

    /// Writes `count` keys.
    async fn set(&self, from: &str, count: u64, ttl: &str) {
        let set = format!("redis.call('SET', 'permissions:{from}:' .. i, 'x'{ttl})");
        let script = format!("for i = 1, {count} do {set} end");
        self.place.conns()[0].command(&[b"EVAL", script.as_bytes(), b"0"]).await.unwrap();
    }

    /// The number of keys that the audit trail names with `outcome`.
    fn named(&self, run: &Value, outcome: &str) -> u64 {
        let run = run.as_str().unwrap();
        let sql = format!("SELECT count(*) FROM audit WHERE run = '{run}' AND outcome = '{outcome}'");
        self.state.sql(&sql).parse().unwrap()
    }
}

pub fn stopped(service: Running) {
    service.signal("TERM");
    service.end().exits(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_process_runs_records_and_answers() {
    let machine = Machine::start().await;
    machine.place.seed(1_000).await;
    let (service, api) = machine.service(&[]);
    assert_eq!(api.get("/readyz").body, "ready\n");
    let dry = api.post("/api/runs", &json!({ "dryRun": true })).json(202)["runId"].clone();
    let looked = api.ended(&dry);
    assert_eq!((&looked["result"]["staleTTLKeys"], machine.keys().await), (&json!(100), 1_000), "{looked:#}");
    let run = api.post("/api/runs", &json!({ "startedBy": "a test" })).json(202)["runId"].clone();
    let ended = api.ended(&run);
    assert_eq!(
        (&ended["result"]["cleanedKeys"], &ended["run"]["startedBy"]),
        (&json!(100), &json!("a test"))
    );
    assert_eq!((machine.keys().await, machine.named(&run, "deleted")), (900, 100));
    let stats = api.get("/api/stats").json(200);
    assert_eq!((&stats["jobQueue"]["completed"], &stats["jobQueue"]["active"]), (&json!(2), &json!(0)));
    let metrics = api.get("/metrics").body;
    let line = "keysweep_keys_reaped_total{cleanup_job=\"permission-cache-cleanup\",redis=\"main\",outcome=\"deleted\"} 100";
    assert!(metrics.lines().any(|found| found == line), "{metrics}");
    // Other processes see the same.
    let (_, list) = machine.state.json(&["runs", "list"]);
    assert_eq!((&list["runs"][0]["runId"], &list["runs"][1]["runId"]), (&run, &dry), "{list:#}");
    let report = machine.state.command(&["runs", "report", "last"]).run();
    assert!(report.exits(0).stdout.contains("100 keys were deleted"), "{report}");
    // One service per state file.
    let second = machine.state.command(&["serve", "--redis", machine.place.url()]).run();
    let holder = format!("process {} (`keysweep`) uses the state file", service.pid());
    second.exits(2).log_contains(&[&holder, "`--state-dir`"]);
    stopped(service);
    machine.state.is_whole();
    let (service, _) = machine.service(&[]);
    stopped(service);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invalid_requests_are_rejected_as_over_nats() {
    let machine = Machine::start().await;
    machine.place.seed(100).await;
    let (service, api) = machine.service(&[]);
    invalid_requests(&api, &machine.servers);
    stopped(service);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_processes_follow_and_stop_a_run() {
    let machine = Machine::start().await;
    let (service, api, run) = machine.waiting("60s").await;
    let followed = machine.state.command(&["runs", "attach", "last", "--json"]).start();
    // Its progress is written once a second.
    let until = Instant::now() + Duration::from_secs(60);
    while machine.state.json(&["runs", "show", "last"]).1["progress"]["keys"] != KEYS {
        assert!(Instant::now() < until, "{}", service.so_far());
    }
    assert_eq!(api.get("/api/stats").json(200)["jobQueue"]["active"], 1);
    api.post("/api/runs", &json!({})).refused(409, "is being run by process");
    let command = ["run", "--yes", "--json", "--max-delete-percent", "100", "--redis", machine.place.url()];
    machine.state.command(&command).run().fails(4, &["is being run by process", run.as_str().unwrap()]);
    let (_, cancelled) = machine.state.json(&["runs", "cancel", "last"]);
    assert_eq!(cancelled, json!({ "runId": run, "cancelled": true, "ended": false }));
    let result = followed.end().exits(3).result("cancelled");
    assert_eq!((&result["cleanedKeys"], machine.keys().await), (&json!(0), KEYS), "{result:#}");
    assert_eq!(api.ended(&run)["result"], result);
    stopped(service);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_is_stopped_ends_its_run_at_a_safe_point() {
    let machine = Machine::start().await;
    let (service, _, run) = machine.waiting("60s").await;
    stopped(service);
    let (_, result) = machine.state.json(&["runs", "show", "last"]);
    assert_eq!((&result["runId"], &result["status"]), (&run, &json!("cancelled")), "{result:#}");
    assert_eq!((&result["cleanedKeys"], machine.keys().await), (&json!(0), KEYS), "{result:#}");
    assert!(result.to_string().contains("the service was stopped"), "{result:#}");
    assert!(machine.place.names("keysweep:*").await.is_empty(), "neither lock nor ledgers are left");
}

/// A request to stop is passed on although it could not be read for a while.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_is_stopped_after_the_file_could_not_be_read() {
    let machine = Machine::start().await;
    let (service, api, run) = machine.waiting("60s").await;
    for (from, to) in [("entries", "away"), ("away", "entries")] {
        machine.state.sql(&format!("ALTER TABLE {from} RENAME TO {to}"));
        // The run looks for a request several times meanwhile.
        std::thread::sleep(Duration::from_secs(2));
    }
    let (_, cancelled) = machine.state.json(&["runs", "cancel", "last"]);
    assert_eq!(cancelled["cancelled"], true);
    let ended = api.ended(&run);
    assert_eq!((&ended["result"]["status"], machine.keys().await), (&json!("cancelled"), KEYS), "{ended:#}");
    stopped(service);
    machine.state.is_whole();
}

/// The run is closed with what the audit trail confirms, and the next attempt does the rest.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_service_closes_its_run_and_tries_again() {
    let machine = Machine::start().await;
    let (service, _, run) = machine.waiting("5s").await;
    service.kill();
    let left = machine.keys().await;
    machine.place.remove_own_keys().await;
    let (service, api) = machine.service(&["--max-delete-percent", "100"]);
    let until = Instant::now() + Duration::from_secs(60);
    let second = loop {
        let runs = api.get("/api/runs").json(200)["runs"].clone();
        if let Some(second) = runs[1]["runId"].as_str() {
            break api.ended(&json!(second));
        }
        assert!(Instant::now() < until, "{runs:#}");
        std::thread::sleep(Duration::from_millis(50));
    };
    let attempt = &second["run"]["attempt"];
    assert_eq!((&attempt["number"], &attempt["previous"]), (&json!(2), &run), "{second:#}");
    assert_eq!((&second["result"]["cleanedKeys"], machine.keys().await), (&json!(left), 0), "{second:#}");
    let first = api.get("/api/runs").json(200)["runs"][0].clone();
    let cause = format!(
        "interrupted: its process ended without a result; {} deleted",
        counted(machine.named(&run, "deleted"), "key was", "keys were")
    );
    assert!(first["status"] == "failed" && first["cause"].as_str().unwrap().starts_with(&cause), "{first:#}");
    let events = machine.state.command(&["events", "--run", run.as_str().unwrap(), "--json"]).run();
    assert!(events.exits(0).stdout.lines().last().unwrap().contains("keysweep.run.failed.v1"), "{events}");
    assert!(machine.named(&run, "deleted") <= KEYS - left, "{first:#}");
    assert!(machine.named(&run, "deleted") + machine.named(&run, "unconfirmed") >= KEYS - left, "{first:#}");
    stopped(service);
    machine.state.is_whole();
}

/// What was due while no service was running is reported, and caught up with by one run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missed_due_times_are_caught_up_with_by_one_run() {
    let machine = Machine::start().await;
    machine.place.seed(1_000).await;
    stopped(machine.service(&[]).0);
    // Claimed in January 2024; two more were due since then.
    let scope = machine.state.sql("SELECT scope FROM entries WHERE family = 'samples' LIMIT 1");
    machine.state.sql(&format!(
        "INSERT INTO entries (scope, family, key, written_ms, value) VALUES
         ('{scope}', 'due', 'due/permission-cache-cleanup/1704067200000', 1704067200000, 'a test')"
    ));
    let (mut service, api) = machine.service(&[]);
    service.wait_for("runs were due while no service was running");
    let until = Instant::now() + Duration::from_secs(60);
    while api.get("/api/stats").json(200)["jobQueue"]["completed"] != 1 {
        assert!(Instant::now() < until, "{}", service.so_far());
        std::thread::sleep(Duration::from_millis(50));
    }
    let runs = api.get("/api/runs").json(200)["runs"].clone();
    assert_eq!((&runs[0]["scheduled"], &runs[0]["cleanedKeys"]), (&json!(true), &json!(100)), "{runs:#}");
    assert_eq!((runs.as_array().unwrap().len(), machine.keys().await), (1, 900));
    let events = machine.state.command(&["events", "--json"]).run();
    assert_eq!(events.exits(0).stdout.matches("keysweep.run.missed.v1").count(), 1, "{events}");
    stopped(service);
    // They are not caught up with twice.
    let (service, api) = machine.service(&[]);
    assert_eq!(api.get("/api/runs").json(200)["runs"].as_array().unwrap().len(), 1);
    stopped(service);
}

/// One when it is raised, and one when the next run resolves it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alerts_reach_webhooks() {
    let (machine, receiver) = (Machine::start().await, Receiver::start([CannedReply::status(204)]).await);
    machine.place.seed(1_000).await;
    let (service, api) = machine.service_with(&[("KEYSWEEP_WEBHOOKS", &receiver.url())], &[]);
    for (n, end) in [".raised.v1", ".resolved.v1"].into_iter().enumerate() {
        api.ended(&api.post("/api/runs", &json!({})).json(202)["runId"].clone());
        let until = Instant::now() + Duration::from_secs(60);
        while receiver.sent().len() <= n {
            assert!(Instant::now() < until, "{}", service.so_far());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let posted: Value = serde_json::from_slice(&receiver.sent()[n].body).unwrap();
        assert!(posted["type"].as_str().unwrap().ends_with(end), "{posted:#}");
        assert_eq!(posted["data"]["alert"], "stale-keys", "{posted:#}");
        assert_eq!(event_errors(&posted), "", "{posted:#}");
    }
    stopped(service);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_state_file_is_reported_before_the_start() {
    let machine = Machine::start().await;
    std::fs::create_dir_all(&machine.state.0).unwrap();
    std::fs::write(machine.state.file(), b"no database".repeat(1_000)).unwrap();
    let ended = machine.state.command(&["serve", "--redis", machine.place.url()]).run();
    assert!(ended.code.is_some_and(|code| code != 0), "{ended}");
    ended.log_contains(&["keysweep.db", "--state-dir"]);
}

/// One service has one state file, which commands with the same job file find.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_with_different_folders_need_one_for_all() {
    let machine = Machine::start().await;
    machine.place.seed(100).await;
    let dir = machine.state.dir();
    let job = |name: &str| {
        format!("[[job]]\nname = \"{name}\"\nstate_dir = \"{dir}/{name}\"\nschedule = \"0 0 1 1 *\"\n")
    };
    let jobs = job("one") + &job("two");
    let apart = file("apart.toml", &jobs);
    let together = file("together.toml", &format!("[serve]\nstate_dir = \"{dir}\"\n{jobs}"));
    let command = |words: &[&str], path: &str| {
        keysweep(&[words, &["--config", path]].concat()).env("REDIS_URL", machine.place.url())
    };
    let refused = command(&["serve"], &apart).run();
    refused.exits(2).log_contains(&["`state_dir` under `[serve]`", "`--state-dir`"]);
    let mut service = command(&["serve"], &together).start();
    service.wait_for("the service is ready");
    let said = command(&["run", "--job", "two", "--dry-run"], &together).run();
    said.exits(0).log_contains(&["serves job `two` on this machine, without `--admin-addr`"]);
    let list = command(&["runs", "list", "--json"], &together).run().exits(0).json();
    assert_eq!((&list["of"], &list["runs"][0]["job"]), (&json!(1), &json!("two")), "{list:#}");
    stopped(service);
}

/// Runs of the soak: the second half is compared with the first one.
const SOAK_RUNS: usize = 120;

/// Stale keys before each run of the soak.
const SOAK_STALE: u64 = 2_000;

/// Two hours with a run each minute over 200,000 keys: exact, each deleted key named, and no growth. With
/// `KEYSWEEP_SOAK_MINUTES`, as many runs in that time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes KEYSWEEP_SOAK_MINUTES, two hours by default"]
async fn soak_two_hours_with_a_run_each_minute() {
    let minutes = keysweep_testkit::kit::number("KEYSWEEP_SOAK_MINUTES").unwrap_or(SOAK_RUNS as u64);
    let each = Duration::from_secs(minutes * 60) / SOAK_RUNS as u32;
    let machine = Machine::start().await;
    machine.set("kept", 200_000, ", 'EX', 1000000").await;
    let (service, api) = machine.service(&[]);
    let mut memory = Vec::new();
    for minute in 0..SOAK_RUNS {
        let began = Instant::now();
        machine.set(&format!("stale-{minute}"), SOAK_STALE, "").await;
        let run = api.post("/api/runs", &json!({})).json(202)["runId"].clone();
        // It yields to what else the machine does.
        let result = api.ended_within(&run, Duration::from_secs(600))["result"].clone();
        assert_eq!((&result["status"], &result["cleanedKeys"]), (&json!("completed"), &json!(SOAK_STALE)));
        let id = run.as_str().unwrap();
        let named = machine.state.rows(&format!("SELECT key FROM deleted_keys WHERE run = '{id}'"));
        let expected = (1..=SOAK_STALE).map(|n| format!("permissions:stale-{minute}:{n}")).collect();
        assert_eq!(named, expected, "minute {minute}");
        memory.push(service.resident_kib());
        println!("run {minute}: {:?}, {} KiB", began.elapsed(), service.resident_kib());
        std::thread::sleep(each.saturating_sub(began.elapsed()));
    }
    let (first, second) = memory.split_at(SOAK_RUNS / 2);
    let mean = |part: &[u64]| part.iter().sum::<u64>() as f64 / part.len() as f64;
    println!("{:.0} KiB in the first half, {:.0} KiB in the second one", mean(first), mean(second));
    assert!(mean(second) < mean(first) * 1.05, "{memory:?}");
    // `KEYS` would be too long an answer.
    let left = machine.place.conns()[0].command(&[b"DBSIZE"]).await.unwrap();
    assert!(matches!(left, keysweep_redis::Reply::Int(200_000)), "{left:?}");
    stopped(service);
    machine.state.is_whole();
}
