//! A service whose state file cannot be written any more: the run in progress stops before it deletes what it could not
//! record, none begins meanwhile, and when the file can be written again, the service goes on.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::service::{Machine, stopped};
use super::state_faults::SmallDisk;
use crate::cli::api::Api;
use crate::cli::{Running, SECRET, with_small_files};

const KEYS: u64 = 20_000;

/// Longer than it takes to make the fault; nothing is deleted within it.
const GRACE: &str = "5s";

/// Bytes that no file reaches.
const LARGE: u64 = 1 << 40;

const FLAGS: [&str; 4] = ["--grace", GRACE, "--max-delete-percent", "100"];

/// A service whose file gets a fault while a run waits for its grace. `words` are in the error of a run that is started
/// meanwhile.
async fn continues_after(
    machine: &Machine,
    service: Running,
    api: Api,
    fault: impl FnOnce(&Running),
    words: &str,
    mend: impl FnOnce(&Running),
) {
    machine.place.seed_stale(KEYS).await;
    let before = machine.place.names("permissions:*").await;
    let run = api.post("/api/runs", &json!({})).json(202)["runId"].clone();
    fault(&service);
    assert_eq!(machine.keys().await, KEYS, "the fault came too late: {}", service.so_far());
    let until = Instant::now() + Duration::from_secs(100);
    while !service.so_far().contains("the end of a run is not recorded, will retry") {
        assert!(Instant::now() < until, "{}", service.so_far());
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(service.so_far().contains(words), "{}", service.so_far());
    let after = machine.place.names("permissions:*").await;
    let lost: BTreeSet<String> = before.difference(&after).cloned().collect();
    api.post("/api/runs", &json!({})).refused(500, words);
    assert_eq!(api.get("/readyz").body, "ready\n");
    assert_eq!(api.get("/api/runs").json(200)["runs"][0]["status"], Value::Null);
    mend(&service);
    let ended = api.ended(&run);
    println!("{} of {KEYS} keys were deleted before the fault was noticed", lost.len());
    assert_eq!(ended["run"]["status"], "cancelled", "{ended:#}");
    assert!(ended["run"]["cause"].as_str().unwrap().contains("cannot be recorded"), "{ended:#}");
    let named = |run: &Value, outcomes: &str| {
        let run = run.as_str().unwrap();
        let sql = format!("SELECT key FROM audit WHERE run = '{run}' AND outcome IN ({outcomes})");
        machine.state.rows(&sql)
    };
    assert!(named(&run, "'deleted'").is_subset(&lost), "{ended:#}");
    assert!(lost.is_subset(&named(&run, "'deleted', 'unconfirmed'")), "deleted, and not named: {ended:#}");
    // The next one does the rest.
    let next = api.post("/api/runs", &json!({})).json(202)["runId"].clone();
    let rest = api.ended(&next);
    assert_eq!((&rest["run"]["status"], machine.keys().await), (&json!("completed"), 0), "{rest:#}");
    assert_eq!(named(&next, "'deleted'").len() as u64 + lost.len() as u64, KEYS);
    stopped(service);
    machine.state.is_whole();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_becomes_full() {
    let machine = Machine::start().await;
    let _disk = SmallDisk::mount(&machine.state, "size=24m");
    let filler = machine.state.0.join("filler");
    let fill = |_: &Running| drop(std::fs::write(&filler, vec![0; 32 << 20]).unwrap_err());
    let make_room = |_: &Running| std::fs::remove_file(&filler).unwrap();
    let (service, api) = machine.service(&FLAGS);
    continues_after(&machine, service, api, fill, "no space is left", make_room).await;
}

/// As a disk that has become read-only refuses them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_refuses_writes() {
    let machine = Machine::start().await;
    let limit = |service: &Running, bytes: &str| {
        let (pid, size) = (format!("--pid={}", service.pid()), format!("--fsize={bytes}"));
        assert!(Command::new("prlimit").args([pid, size]).status().unwrap().success());
    };
    let args = ["serve", "--redis", machine.place.url(), "--admin-addr", "127.0.0.1:0"];
    let args = [&args[..], &FLAGS].concat();
    let command = with_small_files(LARGE, &args).env("KEYSWEEP_STATE_DIR", machine.state.dir());
    let command = command.env("KEYSWEEP_SCHEDULE", "0 0 1 1 *").env("KEYSWEEP_API_TOKEN", SECRET);
    let mut service = command.start();
    service.wait_for("the service is ready");
    let api = Api { address: service.admin_address(), token: Some(SECRET) };
    // The soft limit: the hard one could not be raised again.
    let most = format!("{LARGE}:");
    let (fault, mend) = (|service: &Running| limit(service, "1:"), |service: &Running| limit(service, &most));
    continues_after(&machine, service, api, fault, "keysweep.db", mend).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_another_process_keeps_locked() {
    let machine = Machine::start().await;
    let (service, api) = machine.service(&FLAGS);
    let mut sqlite3 = Command::new("sqlite3");
    let mut holder = sqlite3.arg(machine.state.file()).stdin(Stdio::piped()).spawn().unwrap();
    let mut input = holder.stdin.take().unwrap();
    let lock = |_: &Running| {
        input.write_all(b".timeout 5000\nBEGIN IMMEDIATE;\n").unwrap();
    };
    let words = format!("was locked for 5 s, by process {} (`sqlite3`)", holder.id());
    let unlock = |_: &Running| {
        holder.kill().unwrap();
        holder.wait().unwrap();
    };
    continues_after(&machine, service, api, lock, &words, unlock).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_is_read_only_at_the_start() {
    let machine = Machine::start().await;
    let disk = SmallDisk::mount(&machine.state, "size=16m");
    stopped(machine.service(&[]).0);
    disk.remount("ro");
    let refused = machine.state.command(&["serve", "--redis", machine.place.url()]).run();
    refused.exits(2).log_contains(&["keysweep.db", "--state-dir"]);
    disk.remount("rw");
    stopped(machine.service(&[]).0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_is_full_at_the_start() {
    let machine = Machine::start().await;
    let _disk = SmallDisk::mount(&machine.state, "size=16m");
    stopped(machine.service(&[]).0);
    let filler = machine.state.0.join("filler");
    std::fs::write(&filler, vec![0; 32 << 20]).unwrap_err();
    let refused = machine.state.command(&["serve", "--redis", machine.place.url()]).run();
    refused.exits(1).log_contains(&["no space is left", "keysweep.db", "--state-dir"]);
    std::fs::remove_file(&filler).unwrap();
    stopped(machine.service(&[]).0);
}
