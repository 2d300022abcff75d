//! SIGHUP of `keysweep serve`, over NATS and without: a good job file is served from then on, a broken one changes
//! nothing, and a run in progress goes on with its own options.

use std::fs;
use std::time::{Duration, Instant};

use keysweep_testkit::nats_server::NatsServer;
use serde_json::json;

use crate::cli::api::Api;
use crate::cli::broker::{Broker, KEYS, file};
use crate::cli::browser::Browser;
use crate::cli::fake::unused_port;
use crate::cli::state::State;
use crate::cli::{Running, SECRET};

/// Longer than a reload.
const GRACE: &str = "4s";

const NEVER: &str = "0 0 1 1 *";

/// A service with the job file `path`.
struct Service {
    process: Running,
    api: Api,
    path: String,
}

impl Service {
    /// Writes the jobs below the table of the service, and sends SIGHUP.
    fn reload(&mut self, serve: &str, jobs: &str) {
        fs::write(&self.path, format!("[serve]\n{serve}\n{jobs}")).unwrap();
        self.process.signal("HUP");
    }

    fn start_run(&self, job: &str) -> serde_json::Value {
        self.api.post("/api/runs", &json!({ "job": job })).json(202)["runId"].clone()
    }
}

fn job(name: &str, more: &str) -> String {
    format!("[[job]]\nname = \"{name}\"\nschedule = \"{NEVER}\"\ngrace = \"{GRACE}\"\n{more}\n")
}

fn serve_table(address: &str) -> String {
    format!("admin_addr = \"{address}\"\napi_token = \"{SECRET}\"")
}

async fn check(broker: &Broker, mut service: Service) {
    let table = serve_table(&service.api.address);
    let run = service.start_run("one");
    // The run is in its grace: nothing is deleted yet.
    service.reload(&table, &(job("one", "dry_run = true") + &job("two", "action = \"report\"")));
    service.process.wait_for("SIGHUP: the settings were read again; the jobs are `one`, `two`");
    assert_eq!(broker.place.keys("permissions:*").await as u64, KEYS, "{}", service.process.so_far());
    let ended = service.api.ended(&run)["result"].clone();
    assert_eq!(
        (&ended["status"], &ended["cleanedKeys"]),
        (&json!("completed"), &json!(broker.stale)),
        "{ended:#}"
    );
    assert_eq!((&ended["accounting"]["balanced"], &ended["attempt"]["number"]), (&json!(true), &json!(1)));
    assert_eq!(broker.place.keys("permissions:*").await as u64, KEYS - broker.stale);
    let stale = broker.place.seed(KEYS).await;
    for job in ["one", "two"] {
        let next = service.api.ended(&service.start_run(job))["result"].clone();
        assert_eq!((&next["cleanedKeys"], &next["staleTTLKeys"]), (&json!(0), &json!(stale)), "{next:#}");
    }
    // Wrong in its syntax, in a value, and in what it means.
    for wrong in
        ["[[job\n", "[[job]]\nname = \"two\"\ngrace = \"soon\"\n", &job("two", "timezone = \"Mars/Olympus\"")]
    {
        let before = service.process.so_far().matches("nothing has changed").count();
        service.reload(&table, wrong);
        while service.process.so_far().matches("nothing has changed").count() == before {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
    service.api.ended(&service.start_run("two"));
    // A job that is gone, and what only a restart applies.
    let other = table.replace(&service.api.address, "127.0.0.1:1").replace(SECRET, "other");
    service.reload(&other, &job("two", "dry_run = true"));
    service.process.wait_for("`serve.admin_addr` changed, which only a restart applies");
    service.api.post("/api/runs", &json!({ "job": "one" })).refused(401, "token");
    let renewed = service.api.with(Some("other"));
    renewed.post("/api/runs", &json!({ "job": "one" })).refused(404, "there are `two`");
    service.reload(&table, &job("two", "dry_run = true").replace(NEVER, "* * * * *"));
    service.process.wait_for("started a run run=");
    assert!(!service.process.so_far().contains("runs were due"), "{}", service.process.so_far());
    service.process.signal("TERM");
    let ended = service.process.end();
    ended.exits(0).log_contains(&["`grace`", "`Mars/Olympus`"]);
}

/// Starts `command` with a job file of its own, and the settings of `broker`.
fn service(broker: &Broker, name: &str, flags: &[&str]) -> Service {
    let address = unused_port();
    let path = file(name, &format!("[serve]\n{}\n{}", serve_table(&address), job("one", "")));
    let mut process = broker.command(&["serve"], &[&["--config", &path], flags].concat()).start();
    process.wait_for(" is ready");
    Service { process, api: Api { address, token: Some(SECRET) }, path }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_nats() {
    let server = NatsServer::start("").await.unwrap();
    let broker = Broker::start(&["--nats", &server.url()]).await;
    let worker = broker.role("worker");
    check(&broker, service(&broker, "reload-nats.toml", &[])).await;
    drop(worker);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_nats() {
    let (broker, state) = (Broker::start(&[]).await, State::new());
    check(&broker, service(&broker, "reload-here.toml", &["--state-dir", state.dir()])).await;
    state.is_whole();
}

/// The files of tokens are read again, also if nothing else has changed. A session ends with its token.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_of_files_change() {
    let (broker, state) = (Broker::start(&[]).await, State::new());
    let [api_token, view_token] =
        ["reload-api.token", "reload-view.token"].map(|name| file(name, "hunter2-1"));
    fs::write(&view_token, "hunter2-v1\n").unwrap();
    let address = unused_port();
    let table = |more: &str| format!("[serve]\nadmin_addr = \"{address}\"\n{more}\n{}", job("one", ""));
    let tokens = format!("api_token_file = \"{api_token}\"\nview_token_file = \"{view_token}\"");
    let path = file("reload-tokens.toml", &table(&tokens));
    let flags = ["--config", path.as_str(), "--state-dir", state.dir()];
    let mut process = broker.command(&["serve"], &flags).start();
    process.wait_for(" is ready");
    let api = |token| Api { address: address.clone(), token: Some(token) };
    let [mut acts, mut reads] = [Browser::at(&api("")), Browser::at(&api(""))];
    assert_eq!((acts.log_in("hunter2-1").status, reads.log_in("hunter2-v1").status), (200, 200));
    let mut reloads = 0;
    let mut reload = |process: &mut Running, said: &str| {
        reloads += 1;
        process.signal("HUP");
        let until = Instant::now() + Duration::from_secs(30);
        while process.so_far().matches("SIGHUP: ").count() < reloads {
            assert!(Instant::now() < until, "{}", process.so_far());
            std::thread::sleep(Duration::from_millis(20));
        }
        process.wait_for(said);
    };
    fs::write(&api_token, "hunter2-2\n").unwrap();
    reload(&mut process, "the settings were read again");
    api("hunter2-1").get("/api/runs").refused(401, "token");
    assert_eq!(api("hunter2-2").get("/api/runs").status, 200);
    acts.get("/api/runs").refused(401, "token");
    assert_eq!(reads.get("/api/runs").status, 200);
    fs::remove_file(&api_token).unwrap();
    reload(&mut process, "nothing has changed, because the settings cannot be used");
    assert_eq!(api("hunter2-2").get("/api/runs").status, 200);
    // The page and the API are turned off and on.
    fs::write(&path, table("")).unwrap();
    reload(&mut process, "the settings were read again");
    assert_eq!(reads.get("/").status, 404);
    api("hunter2-2").get("/api/runs").refused(403, "the HTTP API is off");
    fs::write(&path, table("dashboard = true")).unwrap();
    reload(&mut process, "the settings were read again");
    assert!(reads.get("/").body.contains("data-role=\"view\""));
    process.signal("TERM");
    process.end().exits(0);
}

/// What others can reach is not opened by a reload that says it will listen elsewhere: only a restart does that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_public_address_stays_closed() {
    let (broker, state) = (Broker::start(&[]).await, State::new());
    let table = |line: &str| format!("[serve]\n{line}\n{}", job("one", ""));
    let path = file("reload-public.toml", &table("admin_addr = \"0.0.0.0:0\""));
    let flags = ["--config", path.as_str(), "--state-dir", state.dir()];
    let mut process = broker.command(&["serve"], &flags).start();
    process.wait_for(" is ready");
    let address = process.admin_address().replace("0.0.0.0", "127.0.0.1");
    fs::write(&path, table("admin_addr = \"127.0.0.1:1\"\ndashboard = true")).unwrap();
    process.signal("HUP");
    process.wait_for("`dashboard` shows the page without a token, and others can reach");
    assert_eq!(Browser::at(&Api { address, token: None }).get("/").status, 404);
    process.signal("TERM");
    process.end().exits(0);
}
