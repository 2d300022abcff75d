//! The machine and the versions of all programs involved: figures without them have little meaning.

use std::process::Command;

use keysweep_servers::{find_program, nats_server};

use super::contenders::packages;
use super::contenders::packages::printed;
use super::proc;
use super::programs::Programs;
use crate::cargo::root;

/// Names with versions, such as `nats-server 2.9.10`, the servers first.
pub(crate) struct Machine {
    /// The number of processors.
    pub(crate) processors: usize,
    /// All programs involved whose versions are known.
    pub(crate) versions: Vec<String>,
}

impl Machine {
    /// Queries the version of every program; `servers` is that of the Redis servers.
    pub(crate) fn query(servers: &str, programs: &Programs) -> Self {
        let version = |program: Option<std::path::PathBuf>, flag: &str| {
            program.and_then(|program| printed(Command::new(program).arg(flag)))
        };
        let nats = version(nats_server().ok(), "--version").map(|line| line.replace(": v", " "));
        let cli = version(find_program("redis-cli"), "--version");
        let node = version(find_program("node"), "--version")
            .map(|line| format!("Node.js {}", line.trim_start_matches('v')));
        let ioredis = packages::ioredis_version(&root().join("target/bench-node/node_modules"));
        let python = packages::python(false).ok();
        let redis_py = python.as_ref().and_then(|python| packages::python_version(python));
        let found = [
            Some(servers.to_owned()),
            nats,
            version(programs.keysweep().ok(), "--version"),
            cli,
            version(python, "--version"),
            redis_py.map(|version| format!("redis-py {version}")),
            node,
            ioredis.map(|version| format!("ioredis {version}")),
        ];
        Self { processors: proc::processors(), versions: found.into_iter().flatten().collect() }
    }

    /// One line for people.
    pub(crate) fn line(&self) -> String {
        format!(
            "{} processors, which servers and clients share; {}",
            self.processors,
            self.versions.join(", ")
        )
    }
}
