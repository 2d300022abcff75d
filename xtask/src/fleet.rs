//! The roles of keysweep as processes, with a nats-server of their own: what a run on workers needs.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use shared::servers::NatsServer;

/// How many processes there are of each role.
const ROLES: [(&str, usize); 4] = [("scanner", 3), ("reaper", 3), ("reporter", 2), ("serve", 1)];

/// Processes that work. Dropping it ends them, and the nats-server.
pub(crate) struct Fleet {
    nats: NatsServer,
    workers: Vec<Child>,
}

impl Fleet {
    /// Starts all of them for the deployment at `urls`.
    pub(crate) async fn start(keysweep: &Path, urls: &[String]) -> Result<Self> {
        let nats = NatsServer::start("").await?;
        let mut fleet = Self { workers: Vec::new(), nats };
        for (role, count) in ROLES {
            for _ in 0..count {
                let mut command = Command::new(keysweep);
                command.args([role, "--quiet", "--nats", &fleet.nats.url()]);
                command.args(urls.iter().flat_map(|url| ["--redis", url])).stdin(Stdio::null());
                let child = command.spawn();
                fleet.workers.push(child.with_context(|| format!("failed to start `keysweep {role}`"))?);
            }
        }
        Ok(fleet)
    }

    /// Where its NATS is.
    pub(crate) fn nats_url(&self) -> String {
        self.nats.url()
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for worker in &mut self.workers {
            // It may have ended by itself.
            let _ = worker.kill();
            let _ = worker.wait();
        }
    }
}
