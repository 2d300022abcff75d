//! The roles of keysweep as processes with their own nats-server, for a run on workers.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use keysweep_testkit::nats_server::NatsServer;

use crate::bench::proc;

/// The number of processes of each role.
const ROLES: [(&str, usize); 4] = [("scanner", 3), ("reaper", 3), ("reporter", 2), ("serve", 1)];

/// The name of the server process.
const NATS: &str = "nats-server";

/// How long all workers must be idle to count as ready, and the limit for that.
const AT_REST: Duration = Duration::from_millis(300);
const READY_LIMIT: Duration = Duration::from_secs(10);

/// The resource usage of one role.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct WorkerRole {
    /// The role's name, as in `keysweep <role>`; the command that starts the run and nats-server are roles as well.
    pub(crate) name: &'static str,
    /// The number of its processes.
    pub(crate) count: usize,
    /// Their total CPU.
    pub(crate) cpu: Duration,
    /// The largest resident memory of any of them.
    pub(crate) peak_kb: u64,
}

impl WorkerRole {
    /// Whether it is a role of keysweep.
    pub(crate) fn is_ours(&self) -> bool {
        self.name != NATS
    }

    /// This usage minus the CPU used before.
    pub(crate) fn since(self, before: &Self) -> Self {
        Self { cpu: self.cpu.saturating_sub(before.cpu), ..self }
    }
}

/// Running workers. Dropping it stops them and the nats-server.
pub(crate) struct Fleet {
    nats: NatsServer,
    workers: Vec<(&'static str, Child)>,
}

impl Fleet {
    /// Starts all workers for the deployment at `urls`, and returns when they wait for work.
    pub(crate) async fn start(keysweep: &Path, urls: &[String]) -> Result<Self> {
        let nats = NatsServer::start("").await?;
        let mut fleet = Self { workers: Vec::new(), nats };
        for (role, count) in ROLES {
            for _ in 0..count {
                let mut command = Command::new(keysweep);
                command.args([role, "--quiet", "--nats", &fleet.nats.url()]);
                command.args(urls.iter().flat_map(|url| ["--redis", url])).stdin(Stdio::null());
                let child = command.spawn();
                fleet
                    .workers
                    .push((role, child.with_context(|| format!("failed to start `keysweep {role}`"))?));
            }
        }
        fleet.settle().await;
        Ok(fleet)
    }

    /// The URL of its NATS server.
    pub(crate) fn nats_url(&self) -> String {
        self.nats.url()
    }

    /// The usage of each role so far; the nats-server comes last.
    pub(crate) fn roles(&self) -> Vec<WorkerRole> {
        let ours = ROLES.iter().map(|(name, _)| {
            let pids = self.workers.iter().filter(|(role, _)| role == name).map(|(_, child)| child.id());
            role(name, &pids.collect::<Vec<_>>())
        });
        ours.chain([role(NATS, &[self.nats.pid()])]).collect()
    }

    /// Waits until the workers are idle: workers that connect use CPU, waiting ones hardly any. A fleet that is never
    /// idle is used as it is.
    pub(crate) async fn settle(&self) {
        let used = || self.roles().iter().map(|role| role.cpu).sum::<Duration>();
        let deadline = Instant::now() + READY_LIMIT;
        let mut last = used();
        loop {
            tokio::time::sleep(AT_REST).await;
            let now = used();
            // One clock tick may pass while all of them wait.
            if now.saturating_sub(last) <= Duration::from_millis(10) && !now.is_zero()
                || Instant::now() > deadline
            {
                return;
            }
            last = now;
        }
    }
}

fn role(name: &'static str, pids: &[u32]) -> WorkerRole {
    let cpu = pids.iter().filter_map(|pid| proc::cpu(*pid)).sum();
    let peak_kb = pids.iter().filter_map(|pid| proc::peak_memory_kb(*pid)).max().unwrap_or(0);
    WorkerRole { name, count: pids.len(), cpu, peak_kb }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for (_, worker) in &mut self.workers {
            // It may have exited already.
            let _ = worker.kill();
            let _ = worker.wait();
        }
    }
}
