//! A distributed setup: a Redis server with keys, access to NATS, and the roles as processes.

use std::collections::BTreeMap;
use std::path::PathBuf;

use keysweep_servers::Server;
use keysweep_testkit::nats_server::NatsServer;
use serde_json::Value;

use super::api::Api;
use super::deployment::TestDeployment;
use super::{Ended, Keysweep, Running, SECRET, keysweep};

/// The roles that a run needs in addition to the process that starts it.
pub const WORKERS: [&str; 3] = ["scanner", "reaper", "reporter"];

/// Keys that [`Broker::start`] writes; a tenth of them are stale.
pub const KEYS: u64 = 600;

/// A Redis server with keys, and the settings for it and NATS.
pub struct Broker {
    pub place: TestDeployment,
    pub stale: u64,
    /// Passed to every command.
    pub flags: Vec<String>,
    /// Set for every command.
    pub env: BTreeMap<String, String>,
    pub redis: Server,
}

impl Broker {
    /// `flags` contain the connection to NATS.
    pub async fn start(flags: &[&str]) -> Self {
        let redis = Server::start(&super::deployment::DIGEST).await.expect("a Redis server can be started");
        let place = TestDeployment::standalone(&redis).await;
        Self::at(redis, place, flags).await
    }

    /// The same with a NATS server. Clients of its services have a token, and runs wait for no grace.
    pub async fn guarded() -> (NatsServer, Self) {
        let nats = NatsServer::start("").await.expect("a nats-server can be started");
        let broker = Self::start(&["--nats", &nats.url()]).await;
        (nats, broker.env("KEYSWEEP_GRACE", "0s").env("KEYSWEEP_API_TOKEN", SECRET))
    }

    /// Uses the caller's server.
    pub async fn at(redis: Server, place: TestDeployment, flags: &[&str]) -> Self {
        let stale = place.seed(KEYS).await;
        let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        // Not every command has a flag for it.
        let env = BTreeMap::from([("REDIS_URL".to_owned(), place.url().to_owned())]);
        Self { place, stale, flags, env, redis }
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    /// `keysweep <words>` with the flags of every command, and `more`.
    pub fn command(&self, words: &[&str], more: &[&str]) -> Keysweep {
        let flags = self.flags.iter().map(String::as_str);
        let args: Vec<&str> = words.iter().copied().chain(flags).chain(more.iter().copied()).collect();
        self.env.iter().fold(keysweep(&args), |command, (name, value)| command.env(name, value))
    }

    /// Starts a role and waits until it is ready.
    pub fn role(&self, name: &str) -> Running {
        let mut role = self.command(&[name], &[]).start();
        role.wait_for(&format!("{name} is ready"));
        role
    }

    /// Starts a service with `more` flags, and waits until it is ready. Returns how a client with the token reaches it.
    pub fn service(&self, more: &[&str]) -> (Running, Api) {
        let flags = [&["--admin-addr", "127.0.0.1:0"], more].concat();
        let mut service = self.command(&["serve"], &flags).start();
        let address = service.admin_address();
        service.wait_for(" is ready, NATS at");
        (service, Api { address, token: Some(SECRET) })
    }

    pub fn workers(&self) -> Vec<Running> {
        WORKERS.into_iter().map(|name| self.role(name)).collect()
    }

    /// Runs `keysweep run` to its end.
    pub fn run(&self, more: &[&str]) -> Ended {
        let args = [&["--yes", "--json", "--grace", "0s"], more].concat();
        self.command(&["run"], &args).run()
    }

    /// A whole distributed run: setup, roles, run; all processes must exit successfully.
    #[track_caller]
    pub fn whole_run(&self) -> Value {
        let setup = self.command(&["nats", "setup"], &["--apply", "--json"]).run();
        let pieces = setup.exits(0).json();
        assert_eq!(pieces["pieces"].as_array().map(Vec::len), Some(11), "{setup}");
        let workers = self.workers();
        let ended = self.run(&[]);
        let result = ended.exits(0).result("completed");
        assert_eq!(result["cleanedKeys"], self.stale, "{ended}");
        for worker in workers {
            worker.signal("TERM");
            worker.end().exits(0);
        }
        result
    }
}

/// Writes `content` to a file for this test binary.
pub fn file(name: &str, content: &str) -> String {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("files-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a directory can be made");
    let path = dir.join(name);
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).expect("a directory can be made");
    }
    std::fs::write(&path, content).expect("it is written");
    path.to_str().expect("the path is UTF-8").to_owned()
}
