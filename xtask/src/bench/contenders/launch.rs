//! Starting contenders: each is a process that gets the nodes' addresses as arguments and cleans them.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use keysweep_servers::find_program;

use super::fleet::{Fleet, WorkerRole};
use super::{Contender, packages};
use crate::bench::watched::{self, Usage};
use crate::bench::{data, programs::Programs};
use crate::cargo::root;

/// The common arguments of keysweep: without a grace, so that only work is measured, and for any share of stale keys.
const KEYSWEEP: [&str; 10] = [
    "run",
    "--pattern",
    data::PATTERN,
    "--grace",
    "0s",
    "--max-delete-percent",
    "100",
    "--yes",
    "--json",
    "--quiet",
];

/// The argument for full speed.
const FULL_SPEED: [&str; 1] = ["--max-speed"];

/// The scripts of the contenders in other languages.
const CLIENTS: &str = "xtask/src/bench/clients";

/// The usage of one contender, with its workers if it has any.
pub(crate) struct UsageByRole {
    /// The usage of the process, including the workers' CPU.
    pub(crate) usage: Usage,
    /// Its usage by role; the command itself first.
    pub(crate) roles: Vec<WorkerRole>,
}

/// A contender that can be started.
pub(crate) struct Launcher {
    contender: Contender,
    program: PathBuf,
    /// The arguments before the addresses.
    args: Vec<String>,
    environment: Vec<(&'static str, String)>,
}

impl Launcher {
    /// Finds the programs of `contender`, and installs them below `target/` if `programs` permits it.
    ///
    /// # Errors
    /// If it cannot be run here; the text states what to install.
    pub(crate) fn find(contender: Contender, programs: &Programs, args: &[String]) -> Result<Self> {
        let launcher = |program: PathBuf, args: &[&str]| Self {
            contender,
            program,
            args: args.iter().map(|&arg| arg.to_owned()).collect(),
            environment: Vec::new(),
        };
        let script = |name: &str| root().join(CLIENTS).join(name).display().to_string();
        Ok(match contender {
            Contender::Floor | Contender::FloorLooks => launcher(programs.xtask.clone(), &["floor"]),
            Contender::SingleCursor => launcher(programs.xtask.clone(), &["single-cursor"]),
            Contender::RedisCli => {
                find_program("redis-cli").context("`redis-cli` is missing: `apt-get install redis-tools`")?;
                launcher("sh".into(), &[&script("redis_cli.sh")])
            }
            Contender::RedisPy => launcher(packages::python(programs.installs)?, &[&script("redis_py.py")]),
            Contender::Document => {
                let (node, modules) = packages::node(programs.installs)?;
                let mut launcher = launcher(node, &[&script("document.js")]);
                launcher.environment.push(("NODE_PATH", modules.display().to_string()));
                launcher
            }
            _ => {
                let mut launcher = launcher(programs.keysweep()?, &KEYSWEEP);
                launcher.args.extend(keysweep_args(contender).iter().map(|&arg| arg.to_owned()));
                launcher.args.extend_from_slice(args);
                // A measurement must not write to the user's reports and history.
                launcher.environment.push(("KEYSWEEP_STATE_DIR", "none".to_owned()));
                launcher.environment.push(("KEYSWEEP_GENERATE_REPORT", "false".to_owned()));
                launcher
            }
        })
    }

    /// Starts the contender's workers, and returns when they wait for work again after a dry run: workers run for
    /// weeks, so the extra cost of their first run is not representative.
    ///
    /// # Errors
    /// If they cannot be started.
    pub(crate) async fn prepare(&self, urls: &[String]) -> Result<Option<Fleet>> {
        if self.contender != Contender::Nats {
            return Ok(None);
        }
        let fleet = Fleet::start(&self.program, urls).await?;
        watched::run(&mut self.command(urls, &["--nats", &fleet.nats_url(), "--dry-run"]))?;
        fleet.settle().await;
        Ok(Some(fleet))
    }

    /// Cleans the nodes at `urls` once, with the prepared workers.
    ///
    /// # Errors
    /// If that fails; the remaining keys are not checked here.
    pub(crate) fn run(&self, urls: &[String], fleet: Option<Fleet>) -> Result<UsageByRole> {
        let Some(fleet) = fleet else {
            let usage = watched::run(&mut self.command(urls, &[]))?;
            return Ok(UsageByRole { usage, roles: Vec::new() });
        };
        let before = fleet.roles();
        let mut usage = watched::run(&mut self.command(urls, &["--nats", &fleet.nats_url()]))?;
        let workers = fleet.roles().into_iter().zip(before).map(|(now, before)| now.since(&before));
        let mut roles =
            vec![WorkerRole { name: "command", count: 1, cpu: usage.cpu, peak_kb: usage.peak_kb }];
        roles.extend(workers);
        usage.cpu = roles.iter().filter(|role| role.is_ours()).map(|role| role.cpu).sum();
        usage.peak_kb = roles.iter().filter(|role| role.is_ours()).map(|role| role.peak_kb).fold(0, u64::max);
        Ok(UsageByRole { usage, roles })
    }

    fn command(&self, urls: &[String], more: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.args).args(more).envs(self.environment.iter().cloned());
        let is_keysweep = self.environment.iter().any(|(name, _)| name.starts_with("KEYSWEEP"));
        for url in urls {
            command.args(is_keysweep.then_some("--redis")).arg(url);
        }
        command
    }
}

fn keysweep_args(contender: Contender) -> Vec<&'static str> {
    let mut args = Vec::new();
    if contender != Contender::Gentle {
        args.extend(FULL_SPEED);
    }
    if contender == Contender::Looks {
        args.extend(["--action", "report"]);
    }
    args
}
