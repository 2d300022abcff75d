//! `keysweep run --via URL`: a service carries out the run, and the command ends as if it had done so itself.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::service::{Machine, stopped};
use crate::cli::broker::file;
use crate::cli::certificates::Certificates;
use crate::cli::fake::unused_port;
use crate::cli::{Ended, Keysweep, SECRET, keysweep};

/// `keysweep run --via` the service at `address`.
fn via(address: &str, more: &[&str]) -> Keysweep {
    let url = format!("http://{address}");
    keysweep(&[&["run", "--via", &url, "--json"], more].concat()).env("KEYSWEEP_API_TOKEN", SECRET)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_via_a_service_ends_as_one_of_this_machine() {
    let machine = Machine::start().await;
    machine.place.seed(1_000).await;
    let (service, api) = machine.service(&[]);
    let dry = via(&api.address, &["--dry-run"]).run();
    assert_eq!(
        (&dry.exits(0).result("completed")["staleTTLKeys"], machine.keys().await),
        (&json!(100), 1_000)
    );
    let asked = via(&api.address, &["--job", "permission-cache-cleanup"]).run();
    asked.fails(4, &["no terminal to confirm on"]);
    assert_eq!(machine.keys().await, 1_000, "{asked}");
    let run = via(&api.address, &["--yes", "--rate-limit", "100000"]).run();
    let result = run.exits(0).result("completed");
    assert_eq!((&result["cleanedKeys"], machine.keys().await), (&json!(100), 900), "{run}");
    let seen = api.ended(&result["runId"]);
    assert_eq!((&seen["result"], &seen["run"]["startedBy"]), (&result, &result["startedBy"]));
    assert!(result["startedBy"].as_str().unwrap().starts_with("process "), "{run}");
    let detached = via(&api.address, &["--yes", "--detach"]).run().exits(0).json();
    assert_eq!(api.ended(&detached["runId"])["result"]["cleanedKeys"], 0);
    stopped(service);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_service_refuses_has_the_exit_code_of_a_run() {
    let machine = Machine::start().await;
    machine.place.seed_stale(500).await;
    let (service, api) = machine.service(&[]);
    let check = |more: &[&str], code: i32, words: &[&str]| {
        let ended = via(&api.address, &[&["--yes"], more].concat()).run();
        ended.fails(code, words);
    };
    check(&[], 4, &["answers 409", "`--max-delete-percent"]);
    check(&["--job", "other"], 2, &["answers 404", "there is no job `other`"]);
    check(&["--scan-batch-size", "9999"], 2, &["answers 403", "`allow_override"]);
    for flag in [["--protect", "a:*"], ["--redis", "redis://h"], ["--max-delete-percent", "100"]] {
        check(&flag, 2, &[flag[0], "cannot be sent with `--via`"]);
    }
    let protected = via(&api.address, &["--yes"]).env("KEYSWEEP_PROTECT", "a:*").run();
    protected.fails(2, &["KEYSWEEP_PROTECT", "cannot be sent with `--via`"]);
    let wrong = via(&api.address, &["--yes"]).env("KEYSWEEP_API_TOKEN", "wrong").run();
    wrong.fails(2, &["answers 401"]);
    via(&unused_port(), &["--yes"]).run().fails(5, &["ask the service at"]);
    keysweep(&["run", "--via", "nats://h", "--yes", "--json"]).run().fails(2, &["`http://` or `https://`"]);
    assert_eq!(machine.keys().await, 500);
    stopped(service);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_stops_the_run_at_the_service() {
    let machine = Machine::start().await;
    machine.place.seed_stale(500).await;
    let (service, api) = machine.service(&["--grace", "60s", "--max-delete-percent", "100"]);
    let followed = via(&api.address, &["--yes"]).start();
    let first = |runs: &Value| runs["runs"][0]["runId"].clone();
    let mut run = Value::Null;
    while run.is_null() {
        run = first(&api.get("/api/runs").json(200));
    }
    via(&api.address, &["--yes"]).run().fails(4, &["answers 409", "is being run by process"]);
    followed.signal("INT");
    let ended = followed.end();
    let result = ended.exits(130).result("cancelled");
    assert_eq!((&result["runId"], &result["cleanedKeys"], machine.keys().await), (&run, &json!(0), 500));
    assert_eq!(api.ended(&run)["cancel"]["kind"], "asked");
    stopped(service);
}

/// A dry run of this machine.
fn beside(machine: &Machine, more: &[&str]) -> Ended {
    let args = [&["run", "--dry-run", "--redis", machine.place.url()], more].concat();
    machine.state.command(&args).run()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_beside_a_service_with_the_same_job_says_so() {
    let machine = Machine::start().await;
    machine.place.seed(100).await;
    let (service, api) = machine.service(&[]);
    let hint = format!("--via http://{}", api.address);
    let same = beside(&machine, &[]);
    same.exits(0).log_contains(&[&hint, "(`keysweep`) serves job `permission-cache-cleanup`"]);
    let other = beside(&machine, &["--job", "other"]);
    assert!(!other.exits(0).stderr.contains("--via"), "{other}");
    stopped(service);
    let alone = beside(&machine, &[]);
    assert!(!alone.exits(0).stderr.contains("--via"), "{alone}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_run_says_of_a_service_follows_its_certificate() {
    let (machine, certificates) = (Machine::start().await, Certificates::make());
    machine.place.seed(100).await;
    let path = file("via-tls.toml", "[serve]\n");
    let mut service = machine.service_at("127.0.0.1:0", &[], &["--config", &path]);
    let address = service.admin_address();
    let plain = format!("--via http://{address}`");
    let tls = format!("--via https://HOST:{}`", address.rsplit(':').next().unwrap());
    beside(&machine, &[]).exits(0).log_contains(&[&plain]);
    let [cert, key] = ["server.pem", "server.key"].map(|name| certificates.path(name));
    let certified = format!("[serve]\nadmin_cert = \"{cert}\"\nadmin_key = \"{key}\"\n");
    for (table, hint) in [(certified.as_str(), &tls), ("[serve]\n", &plain)] {
        fs::write(&path, table).unwrap();
        service.signal("HUP");
        // It says so a moment after it serves by the new settings.
        let until = Instant::now() + Duration::from_secs(30);
        while !beside(&machine, &[]).exits(0).stderr.contains(hint) {
            assert!(Instant::now() < until, "no `{hint}`; the service says {}", service.so_far());
        }
    }
    stopped(service);
}
