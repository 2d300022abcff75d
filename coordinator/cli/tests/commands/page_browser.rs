//! Tours of the page in Chromium (`tests/browser/`): what a person does, and what the page does when the service is killed.
//! Not part of a usual test run, because it needs Chromium, Node and a package registry: `cargo xtask browser` runs it.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use keysweep_servers::ClusterServers;
use tokio::task::block_in_place;

use super::service::{Machine, stopped};
use crate::cli::broker::{Broker, WORKERS};
use crate::cli::deployment::job_with_rules;
use crate::cli::fake::unused_port;
use crate::cli::{Running, SECRET};

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/browser");

/// Where the packages of the tours are installed.
const TOOLS: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/browser");

/// Where their pictures go.
const PICTURES: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/page");

/// Installs the pinned packages, unless an earlier test has.
fn install() {
    let lock = |folder: &str| fs::read(Path::new(folder).join("package-lock.json")).ok();
    if Path::new(TOOLS).join("node_modules").is_dir() && lock(TOOLS) == lock(SCRIPTS) {
        return;
    }
    fs::create_dir_all(TOOLS).unwrap();
    for name in ["package.json", "package-lock.json"] {
        fs::copy(Path::new(SCRIPTS).join(name), Path::new(TOOLS).join(name)).unwrap();
    }
    let mut npm = Command::new("npm");
    npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(TOOLS);
    assert!(npm.status().expect("npm is installed").success());
}

/// Takes a tour of the service at `address`; `act` does what it asks for.
async fn take(script: &str, address: &str, mut act: impl AsyncFnMut(&str)) {
    install();
    fs::create_dir_all(PICTURES).unwrap();
    let (script, base) = (format!("{SCRIPTS}/{script}"), format!("http://{address}"));
    let mut node = Command::new("node");
    node.args([&script, TOOLS, &base, SECRET, PICTURES]);
    node.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut node = node.spawn().expect("node is installed");
    let (mut answers, asks) = (node.stdin.take().unwrap(), BufReader::new(node.stdout.take().unwrap()));
    let mut lines = asks.lines();
    while let Some(line) = block_in_place(|| lines.next()) {
        act(&line.unwrap()).await;
        // It may have ended with an error, which it prints.
        let _ = writeln!(answers, "done");
    }
    let ended = block_in_place(|| node.wait()).unwrap();
    assert!(ended.success(), "the tour says above what is wrong");
}

/// A service that a tour has killed and started again.
struct Toured {
    machine: Machine<ClusterServers>,
    address: String,
    env: Vec<(&'static str, &'static str)>,
    flags: Vec<&'static str>,
    service: Option<Running>,
}

impl Toured {
    async fn start(env: &[(&'static str, &'static str)], flags: &[&'static str]) -> Self {
        let (machine, address) = (Machine::with_cluster().await, unused_port());
        let mut toured = Self { machine, address, env: env.to_vec(), flags: flags.to_vec(), service: None };
        toured.serve();
        toured
    }

    fn serve(&mut self) {
        self.service = Some(self.machine.service_at(&self.address, &self.env, &self.flags));
    }

    /// Does what a tour asks for.
    async fn act(&mut self, what: &str) {
        match what {
            "kill" => drop(self.service.take().expect("it is running").kill()),
            "start" => {
                self.machine.place.remove_own_keys().await;
                self.serve();
            }
            "run" => {
                let run = ["run", "--yes", "--redis", self.machine.place.url()];
                block_in_place(|| self.machine.state.command(&run).run().exits(0).code);
            }
            other => panic!("a tour asks for `{other}`"),
        }
    }

    /// Takes a tour, and stops the service.
    async fn tour(mut self, script: &str) {
        let address = self.address.clone();
        take(script, &address, async |what| self.act(what).await).await;
        stopped(self.service.take().unwrap());
    }
}

/// A service whose runs take a while, with names of keys on its page.
async fn slow(stale_keys: u64) -> Toured {
    let slow = ["--delete-batch-size", "1", "--max-delete-percent", "100"];
    let toured = Toured::start(&[("KEYSWEEP_DASHBOARD_KEYS", "true")], &slow).await;
    toured.machine.place.seed_stale(stale_keys).await;
    toured
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "cargo xtask browser runs it: needs chromium, node and npm"]
async fn a_person_uses_the_page() {
    slow(100_000).await.tour("tour.mjs").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "cargo xtask browser runs it: needs chromium, node and npm"]
async fn the_page_shows_what_each_rule_does() {
    let slow = ["--delete-batch-size", "1", "--max-delete-percent", "100", "--config", job_with_rules()];
    let toured = Toured::start(&[], &slow).await;
    toured.machine.place.seed_stale(50_000).await;
    toured.tour("rules.mjs").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "cargo xtask browser runs it: needs chromium, node and npm"]
async fn a_person_uses_the_page_with_the_keyboard_only() {
    slow(50_000).await.tour("keyboard.mjs").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "cargo xtask browser runs it: needs chromium, node and npm"]
async fn the_page_connects_again_and_shows_what_happened_meanwhile() {
    let open = [("KEYSWEEP_API_TOKEN", ""), ("KEYSWEEP_DASHBOARD", "true")];
    let toured = Toured::start(&open, &[]).await;
    toured.machine.place.seed(1_000).await;
    toured.tour("reconnect.mjs").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "cargo xtask browser runs it: needs chromium, node and npm"]
async fn the_page_over_nats_shows_the_workers() {
    let (_nats, broker) = Broker::guarded().await;
    let (service, api) = broker.service(&[]);
    let [scanner, reaper, reporter] = WORKERS.map(|role| broker.role(role));
    let mut reaper = Some(reaper);
    take("workers.mjs", &api.address, async |what| {
        assert_eq!(what, "kill");
        reaper.take().expect("it was not killed yet").kill();
    })
    .await;
    drop((scanner, reporter));
    stopped(service);
}
