//! The commands of `deploy/README.md`, executed as a new user types them: accounts, signing key and workers, up to a run.

use std::fs;
use std::path::Path;
use std::process::Command;

use keysweep_servers::{Server, nats_server};
use serde_json::Value;

use crate::cli::deployment::TestDeployment;
use crate::cli::fake::unused_port;

/// What a new user may have to type.
const COMMANDS_MAX: usize = 10;

/// A real run after the dry run, and the end of all processes.
const FINALLY: &str = "keysweep run --yes --json --grace 0s --nats-user keysweep-coordinator \
    --nats-password-file coordinator.pass > result.json";

/// The lines of the section, for servers at other ports than there.
fn commands(redis_port: u16) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/README.md");
    let page = fs::read_to_string(path).expect("deploy/README.md exists");
    let (_, section) = page.split_once("### Set up NATS and workers from scratch").expect("the section");
    let (_, commands) = section.split_once("```sh\n").expect("its commands");
    let (commands, _) = commands.split_once("```").expect("the end of its commands");
    assert!(commands.lines().count() <= COMMANDS_MAX, "{commands}");
    let redis = format!("127.0.0.1:{redis_port}");
    commands.replace("127.0.0.1:4222", &unused_port()).replace("127.0.0.1:6379", &redis)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_commands_set_up_nats_and_workers() {
    let server = Server::start(&[]).await.unwrap();
    let place = TestDeployment::standalone(&server).await;
    let stale = place.seed(300).await;
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("scratch-{}", uuid::Uuid::now_v7()));
    fs::create_dir(&folder).unwrap();
    let script = format!("set -e; trap 'kill $(jobs -p); wait' EXIT\n{}{FINALLY}\n", commands(server.port()));
    let nats = nats_server().unwrap();
    let programs = [Path::new(env!("CARGO_BIN_EXE_keysweep")), &nats].map(|file| file.parent().unwrap());
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{}:{path}", programs[0].display(), programs[1].display());
    // `timeout` ends the processes of the background, too.
    let mut shell = Command::new("timeout");
    shell.args(["100", "bash", "-c", &script]).current_dir(&folder).env_clear().env("PATH", path);
    shell.env("DEPLOY", concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy")).env("XDG_STATE_HOME", &folder);
    let ended = shell.output().unwrap();
    let logged = String::from_utf8_lossy(&ended.stderr);
    let printed = String::from_utf8_lossy(&ended.stdout);
    assert!(ended.status.success(), "{}\n{printed}\n{logged}", ended.status);
    let site = folder.join("keysweep-site");
    let result: Value = serde_json::from_slice(&fs::read(site.join("result.json")).unwrap()).unwrap();
    assert_eq!((&result["status"], &result["cleanedKeys"]), (&"completed".into(), &stale.into()), "{logged}");
    assert_eq!(place.keys("permissions:*").await as u64, 300 - stale);
    // Nothing is missing: no permission, and no protection.
    assert!(
        printed.contains("completed in") && printed.contains("dry run: nothing was changed"),
        "{printed}"
    );
    for word in ["error", "NATS reported", "not signed"] {
        assert!(!logged.contains(word), "{word}: {logged}");
    }
    fs::remove_dir_all(folder).unwrap();
}
