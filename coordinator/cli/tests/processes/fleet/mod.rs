//! A fleet of role processes with one NATS server and one Redis deployment: any number of processes of the real
//! binary, which can be killed, restarted, paused and stopped. All of them end with the guard, and their logs are
//! shown if the test failed.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "every test file uses its own part of the fleet, and stops at what it did not expect"
)]

pub mod fault_injector;
pub mod process_cleanup;
pub mod slow_cluster;
pub mod trace;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use keysweep_model::ids::Alias;
use keysweep_nats::{Nats, NatsOptions};
use keysweep_redis::ConnectOptions;
use keysweep_runtime::context::{Context, Timing};
use keysweep_testkit::nats_server::NatsServer;
use tokio::sync::OnceCell;

use self::process_cleanup::ProcessCleanup;
use crate::cli::{Ended, Keysweep, Running, keysweep, program};

/// The ack deadline, and the lease of a coordinator.
pub const ACK_WAIT: Duration = Duration::from_secs(2);
pub const LEASE: Duration = Duration::from_secs(2);

/// Lines of each process that are shown when a test fails.
const TAIL: usize = 60;

/// The role of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Scanner,
    Reaper,
    Reporter,
    Coordinator,
}

impl Role {
    /// The subcommand.
    fn command(self) -> &'static str {
        match self {
            Self::Scanner => "scanner",
            Self::Reaper => "reaper",
            Self::Reporter => "reporter",
            Self::Coordinator => "serve",
        }
    }
}

/// The workers of the chaos tests.
pub const WORKERS: [(Role, usize); 3] = [(Role::Scanner, 3), (Role::Reaper, 3), (Role::Reporter, 2)];

/// The same with a coordinator.
pub const ALL: [(Role, usize); 4] =
    [(Role::Scanner, 3), (Role::Reaper, 3), (Role::Reporter, 2), (Role::Coordinator, 1)];

/// A member of the fleet, and its current process.
struct Member {
    role: Role,
    process: Option<Running>,
    /// Processes that it has had.
    starts: usize,
    /// The output of its earlier processes.
    before: String,
}

/// The processes.
pub struct Fleet {
    nats: String,
    prefix: String,
    env: Vec<(&'static str, String)>,
    /// A binary of another version, of which every second process is.
    other: Option<String>,
    members: Vec<Member>,
    /// Ends remaining processes: dropped after the members.
    _sweeper: ProcessCleanup,
}

impl Fleet {
    /// Starts the given number of processes of each role, and waits until they are ready. Each fleet has its own
    /// prefix, so that several can share a server.
    pub fn start(nats: &str, redis: &[String], roles: &[(Role, usize)]) -> Self {
        Self::mixed(nats, redis, roles, None)
    }

    /// The same; every second process is of the binary `other`, and each restart changes between the two.
    pub fn mixed(nats: &str, redis: &[String], roles: &[(Role, usize)], other: Option<&str>) -> Self {
        static FLEETS: AtomicU32 = AtomicU32::new(0);
        let prefix = format!("t{}-{}", std::process::id(), FLEETS.fetch_add(1, Ordering::Relaxed));
        let env = vec![
            ("KEYSWEEP_NATS", nats.to_owned()),
            ("KEYSWEEP_NATS_PREFIX", prefix.clone()),
            ("KEYSWEEP_NATS_ACK_WAIT", format!("{}s", ACK_WAIT.as_secs())),
            ("KEYSWEEP_NATS_LEASE", format!("{}s", LEASE.as_secs())),
            ("KEYSWEEP_REDIS", redis.join(",")),
            ("KEYSWEEP_PATTERN", "permissions:*".to_owned()),
            ("KEYSWEEP_PROTECT", "permissions:system:*".to_owned()),
            ("KEYSWEEP_MAX_SPEED", "true".to_owned()),
            // Never during a test.
            ("KEYSWEEP_SCHEDULE", "0 0 29 2 *".to_owned()),
        ];
        let process_cleanup = ProcessCleanup::start(&format!("KEYSWEEP_NATS_PREFIX={prefix}"));
        let mut fleet = Self {
            nats: nats.to_owned(),
            prefix,
            env,
            other: other.map(ToOwned::to_owned),
            members: Vec::new(),
            _sweeper: process_cleanup,
        };
        for (role, count) in roles {
            for _ in 0..*count {
                fleet.members.push(Member { role: *role, process: None, starts: 0, before: String::new() });
            }
        }
        for index in 0..fleet.members.len() {
            fleet.restart(index);
        }
        for index in 0..fleet.members.len() {
            fleet.process(index).wait_for(" is ready");
        }
        fleet
    }

    /// `keysweep` with `args`, and the environment of the fleet.
    pub fn command(&self, args: &[&str]) -> Keysweep {
        self.with_env(keysweep(args))
    }

    /// The same of the other version, if the fleet has one.
    pub fn other_command(&self, args: &[&str]) -> Keysweep {
        let Some(other) = &self.other else { return self.command(args) };
        let words: Vec<&str> = [other.as_str()].into_iter().chain(args.iter().copied()).collect();
        self.with_env(program(Path::new(env!("CARGO_TARGET_TMPDIR")), &words))
    }

    fn with_env(&self, command: Keysweep) -> Keysweep {
        self.env.iter().fold(command, |command, (name, value)| command.env(name, value))
    }

    /// Direct access to the records.
    pub async fn records(&self, access: &ConnectOptions) -> Context {
        let nats =
            NatsOptions { prefix: self.prefix.clone(), ack_wait: ACK_WAIT, ..NatsOptions::open(&*self.nats) };
        let nats = Nats::connect(&nats, "keysweep-test", Some(Duration::from_secs(10))).await.unwrap();
        let access = BTreeMap::from([(Alias::new("main"), access.clone())]);
        coordinator::nats_context(
            &nats,
            access,
            Timing { ack_wait: ACK_WAIT, lease: LEASE, ..Timing::default() },
        )
    }

    /// The indices of members with `role`.
    pub fn of(&self, role: Role) -> Vec<usize> {
        (0..self.members.len()).filter(|index| self.members[*index].role == role).collect()
    }

    /// The number of members.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// The name of a member, for messages.
    pub fn name(&self, index: usize) -> String {
        format!("{} {index}", self.members[index].role.command())
    }

    /// Whether a member has a process, running or paused.
    pub fn is_up(&self, index: usize) -> bool {
        self.members[index].process.is_some()
    }

    /// Kills a process like `kill -9`.
    pub fn kill(&mut self, index: usize) {
        let process = self.members[index].process.take().expect("it is up");
        let said = process.kill();
        assert!(!said.contains("panicked"), "{said}");
        self.members[index].before += &said;
    }

    /// Starts a process for a member without one.
    pub fn restart(&mut self, index: usize) {
        assert!(!self.is_up(index), "{} is up", self.name(index));
        let Member { role, starts, .. } = &self.members[index];
        let (args, is_other) = (["-v", role.command()], (index + starts) % 2 == 1);
        let process = if is_other { self.other_command(&args) } else { self.command(&args) };
        self.members[index].starts += 1;
        self.members[index].process = Some(process.start());
    }

    /// Pauses a process: its connections stay open.
    pub fn pause(&mut self, index: usize) {
        self.process(index).signal("STOP");
    }

    /// Resumes a paused process.
    pub fn resume(&mut self, index: usize) {
        self.process(index).signal("CONT");
    }

    /// Sends SIGTERM to a process, and waits until it has finished its work.
    pub fn terminate(&mut self, index: usize) -> Ended {
        let process = self.members[index].process.take().expect("it is up");
        process.signal("TERM");
        process.end()
    }

    /// Processes must not end on their own.
    pub fn check_alive(&mut self) {
        for index in 0..self.members.len() {
            let ended = self.members[index].process.as_mut().is_some_and(Running::has_ended);
            assert!(!ended, "{} has ended by itself", self.name(index));
        }
    }

    fn process(&mut self, index: usize) -> &mut Running {
        self.members[index].process.as_mut().expect("it is up")
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for index in 0..self.members.len() {
            let name = self.name(index);
            let Member { process, before, .. } = &self.members[index];
            let said = format!("{before}{}", process.as_ref().map(Running::so_far).unwrap_or_default());
            let lines: Vec<&str> = said.lines().collect();
            let tail = lines[lines.len().saturating_sub(TAIL)..].join("\n");
            println!("=== {name}, the end of {} lines\n{tail}", lines.len());
        }
    }
}

/// The NATS server that the tests of this binary share.
pub async fn nats() -> &'static NatsServer {
    static NATS: OnceCell<NatsServer> = OnceCell::const_new();
    // Statics are never dropped, but the server's shell notices the end of this process.
    NATS.get_or_init(|| async { NatsServer::start("").await.expect("nats-server can be started") }).await
}
