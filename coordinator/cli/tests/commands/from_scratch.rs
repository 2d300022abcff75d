//! The commands of the documents, executed as a new user types them: accounts, signing key and workers, up to a run;
//! the same with TLS; the key names of a dry run; and the page that the README opens.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use keysweep_servers::{Server, nats_server};
use serde_json::Value;

use super::service::{Machine, stopped};
use crate::cli::api::Api;
use crate::cli::broker::file;
use crate::cli::browser::Browser;
use crate::cli::deployment::TestDeployment;
use crate::cli::fake::unused_port;
use crate::cli::{SECRET, keysweep};

/// What a new user may have to type.
const COMMANDS_MAX: usize = 10;

/// A real run after the dry run.
const FINALLY: &str = "keysweep run --yes --json --grace 0s --nats-user keysweep-coordinator \
    --nats-password-file coordinator.pass > result.json";

/// The shell lines of section `heading` of `page`, block by block.
fn blocks(page: &str, heading: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(page);
    let page = fs::read_to_string(path).expect("the page exists");
    let (_, section) = page.split_once(&format!("# {heading}\n")).expect("the section");
    let section = section.split("\n## ").next().unwrap().split("\n### ").next().unwrap();
    let blocks = section.split("```sh\n").skip(1);
    let blocks: Vec<String> = blocks.map(|block| block.split("```").next().unwrap().to_owned()).collect();
    assert!(blocks.iter().all(|block| block.lines().count() <= COMMANDS_MAX), "{blocks:#?}");
    blocks
}

/// Commands at work with servers of their own.
struct Commands {
    server: Server,
    place: TestDeployment,
    /// The number of stale keys.
    stale: u64,
    folder: PathBuf,
    nats: String,
}

impl Commands {
    async fn new() -> Self {
        let server = Server::start(&[]).await.unwrap();
        let place = TestDeployment::standalone(&server).await;
        let stale = place.seed(300).await;
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("scratch-{}", uuid::Uuid::now_v7()));
        fs::create_dir(&folder).unwrap();
        Self { server, place, stale, folder, nats: unused_port() }
    }

    /// The standard output and standard error of `lines`, with the ports of these servers.
    fn run(&self, lines: &str) -> (String, String) {
        let port = self.nats.rsplit(':').next().unwrap();
        let lines = lines.replace("127.0.0.1:4222", &self.nats).replace("0.0.0.0:4222", &self.nats);
        let lines = lines.replace("$HOST:4222", &format!("$HOST:{port}"));
        let lines = lines.replace("-a 127.0.0.1", &format!("-a 127.0.0.1 -p {port}"));
        let lines = lines.replace("127.0.0.1:6379", &format!("127.0.0.1:{}", self.server.port()));
        let nats = nats_server().unwrap();
        let programs = [Path::new(env!("CARGO_BIN_EXE_keysweep")), &nats].map(|file| file.parent().unwrap());
        let path = std::env::var("PATH").unwrap_or_default();
        let path = format!("{}:{}:{path}", programs[0].display(), programs[1].display());
        let script = format!("set -e; trap 'kill $(jobs -p) || true; wait' EXIT\n{lines}\n");
        // `timeout` ends the processes of the background, too.
        let mut shell = Command::new("timeout");
        shell.args(["100", "bash", "-c", &script]).current_dir(&self.folder).env_clear().env("PATH", path);
        shell.env("DEPLOY", concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy"));
        shell.env("HOST", "localhost").env("TMPDIR", &self.folder).env("XDG_STATE_HOME", &self.folder);
        let ended = shell.output().unwrap();
        let [printed, logged] =
            [&ended.stdout, &ended.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
        assert!(ended.status.success(), "{}\n{printed}\n{logged}", ended.status);
        (printed, logged)
    }

    /// Nothing is missing: no permission, and no protection. The run whose result is in `folder` deleted all stale keys.
    async fn have_cleaned(&self, folder: &str, (printed, logged): (String, String)) {
        let result = fs::read(self.folder.join("keysweep-site").join(folder).join("result.json")).unwrap();
        let result: Value = serde_json::from_slice(&result).unwrap();
        let expected = (&"completed".into(), &self.stale.into());
        assert_eq!((&result["status"], &result["cleanedKeys"]), expected, "{logged}");
        assert_eq!(self.place.keys("permissions:*").await as u64, 300 - self.stale);
        assert!(printed.contains("completed in"), "{printed}");
        assert!(printed.contains("dry run: nothing was changed"), "{printed}");
        // A role that starts before nats-server is ready warns of an `IO error`.
        let is_error = |line: &str| line.starts_with("error:") || line.contains("Z error:");
        assert!(!logged.lines().any(is_error), "{logged}");
        for word in ["NATS reported", "not signed"] {
            assert!(!logged.contains(word), "{word}: {logged}");
        }
        fs::remove_dir_all(&self.folder).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_commands_set_up_nats_and_workers() {
    let commands = Commands::new().await;
    let lines = blocks("deploy/README.md", "Set up NATS and workers from scratch").concat();
    let ended = commands.run(&format!("{lines}{FINALLY}"));
    commands.have_cleaned("", ended).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_with_tls() {
    let commands = Commands::new().await;
    let site = blocks("deploy/README.md", "Set up NATS and workers from scratch").concat();
    // Without the roles, which would still have work in progress when they are stopped.
    let site: String = site.split_inclusive('\n').filter(|line| !line.contains("-coordinator")).collect();
    let lines = blocks("deploy/README.md", "Several machines with TLS").concat();
    let ended = commands.run(&format!("{site}kill $(jobs -p); wait\n{lines}cd coordinator; {FINALLY}"));
    let conf = fs::read_to_string(commands.folder.join("keysweep-site/scanner/keysweep.toml")).unwrap();
    assert!(conf.contains("tls://localhost:"), "{conf}");
    commands.have_cleaned("coordinator", ended).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_lists_its_keys_by_name() {
    let commands = Commands::new().await;
    let blocks = blocks("docs/safety.md", "List the key names a dry run would delete");
    let port = commands.server.port();
    let by_redis_cli = blocks[1].replace("redis-cli", &format!("redis-cli -p {port}"));
    let (printed, _) = commands.run(&format!("{}\nwait\n{by_redis_cli}", blocks[0]));
    let names = fs::read_to_string(commands.folder.join("names.jsonl")).unwrap();
    let names: Vec<Value> = names.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(names.len() as u64, commands.stale);
    for name in &names {
        let key = name["key"].as_str().unwrap();
        assert_eq!(name["outcome"], "reported");
        assert!(printed.lines().any(|line| line == key), "redis-cli does not list `{key}`\n{printed}");
    }
    assert_eq!(commands.place.keys("permissions:*").await, 300);
    fs::remove_dir_all(&commands.folder).unwrap();
}

/// The job file of the README has ten lines, and its service has a page.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_readme_opens_the_page_of_one_machine() {
    let (machine, address) = (Machine::start().await, unused_port());
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let readme = fs::read_to_string(readme).expect("the page exists");
    let (_, job_file) = readme.split_once("```toml\n").expect("a job file");
    let (job_file, _) = job_file.split_once("```").expect("its end");
    assert_eq!(job_file.lines().filter(|line| !line.is_empty()).count(), 10, "{job_file}");
    let text = job_file
        .replace("redis://cache:6379", machine.place.url())
        .replace("127.0.0.1:9464", &address)
        .replace("/var/lib/keysweep", machine.state.dir())
        .replace("api.token", &file("readme.token", SECRET));
    let mut service = keysweep(&["serve", "--config", &file("readme.toml", &text)]).start();
    service.wait_for("the service is ready");
    let browser = Browser::logged_in(&Api { address, token: None }, SECRET);
    let page = browser.get("/");
    assert!(page.body.contains("data-role=\"act\"") && page.body.contains("0 */6 * * *"), "{page:?}");
    stopped(service);
}
