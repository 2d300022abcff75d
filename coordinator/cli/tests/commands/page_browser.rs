//! A person's tour of the page in a real browser. Not part of a usual test run: it needs Chromium, and Node 20.10 or
//! later.

use std::process::Command;

use super::service::{Machine, stopped};
use crate::cli::SECRET;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs chromium and node"]
async fn a_person_uses_the_page() {
    let machine = Machine::start().await;
    machine.place.seed_stale(20_000).await;
    let slow = ["--delete-batch-size", "1", "--max-delete-percent", "100"];
    let (service, api) = machine.service_with(&[("KEYSWEEP_DASHBOARD_KEYS", "true")], &slow);
    let pictures = concat!(env!("CARGO_TARGET_TMPDIR"), "/page");
    std::fs::create_dir_all(pictures).unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/browser/tour.mjs");
    let address = format!("http://{}", api.address);
    let ended = Command::new("node")
        .args(["--experimental-websocket", "--no-warnings", script, &address, SECRET, pictures])
        .output();
    let ended = ended.expect("node is installed");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    stopped(service);
}
