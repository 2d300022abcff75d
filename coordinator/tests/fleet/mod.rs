//! A fleet of role processes over one NATS server and one Redis deployment: the real binary, in as many processes
//! as wanted, which can be killed, started again, frozen and told to stop. All of them end with the guard, and
//! show their logs if the test failed.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "every test file uses its own part of the fleet, and stops at what it did not expect"
)]

pub mod blows;
pub mod brake;
pub mod sweeper;
pub mod trace;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use shared::cluster::ConnectOptions;
use shared::context::{Context, Timing};
use shared::ids::Alias;
use shared::nats::{Nats, NatsOptions};
use shared::servers::NatsServer;
use tokio::sync::OnceCell;

use self::sweeper::Sweeper;
use crate::cli::{Ended, Keysweep, Running, keysweep};

/// After how long work is given out again that nobody confirmed, and how long a coordinator may be silent.
pub const ACK_WAIT: Duration = Duration::from_secs(2);
pub const LEASE: Duration = Duration::from_secs(2);

/// Lines of each process that are shown when a test fails.
const TAIL: usize = 60;

/// What a process of the fleet does.
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

/// The fleet that the issue names.
pub const WORKERS: [(Role, usize); 3] = [(Role::Scanner, 3), (Role::Reaper, 3), (Role::Reporter, 2)];

/// The same with a coordinator.
pub const ALL: [(Role, usize); 4] =
    [(Role::Scanner, 3), (Role::Reaper, 3), (Role::Reporter, 2), (Role::Coordinator, 1)];

/// A place in the fleet, and the process that has it now.
struct Place {
    role: Role,
    process: Option<Running>,
    /// What the processes before it had to say.
    before: String,
}

/// See the module.
pub struct Fleet {
    nats: String,
    prefix: String,
    env: Vec<(&'static str, String)>,
    places: Vec<Place>,
    /// Ends what is left: dropped after the places.
    _sweeper: Sweeper,
}

impl Fleet {
    /// Starts as many processes of each role as asked for, and waits until they are ready. Each fleet has a
    /// prefix of its own, so several share a server.
    pub fn start(nats: &str, redis: &[String], roles: &[(Role, usize)]) -> Self {
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
            // Not while a test runs, whenever that is.
            ("KEYSWEEP_SCHEDULE", "0 0 29 2 *".to_owned()),
        ];
        let sweeper = Sweeper::start(&format!("KEYSWEEP_NATS_PREFIX={prefix}"));
        let mut fleet = Self { nats: nats.to_owned(), prefix, env, places: Vec::new(), _sweeper: sweeper };
        for (role, count) in roles {
            for _ in 0..*count {
                fleet.places.push(Place { role: *role, process: None, before: String::new() });
            }
        }
        for place in 0..fleet.places.len() {
            fleet.restart(place);
        }
        for place in 0..fleet.places.len() {
            fleet.process(place).wait_for(" is ready");
        }
        fleet
    }

    /// `keysweep` with `args`, in the surroundings of the fleet.
    pub fn command(&self, args: &[&str]) -> Keysweep {
        self.env.iter().fold(keysweep(args), |command, (name, value)| command.env(name, value))
    }

    /// A look into the records from this process.
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

    /// The places of `role`.
    pub fn of(&self, role: Role) -> Vec<usize> {
        (0..self.places.len()).filter(|place| self.places[*place].role == role).collect()
    }

    /// How many places there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// The place and its role, for people.
    pub fn name(&self, place: usize) -> String {
        format!("{} {place}", self.places[place].role.command())
    }

    /// Whether a process has the place, at work or frozen.
    pub fn is_up(&self, place: usize) -> bool {
        self.places[place].process.is_some()
    }

    /// Kills a process as `kill -9` does.
    pub fn kill(&mut self, place: usize) {
        let process = self.places[place].process.take().expect("it is up");
        let said = process.kill();
        assert!(!said.contains("panicked"), "{said}");
        self.places[place].before += &said;
    }

    /// Starts a process at a place that has none.
    pub fn restart(&mut self, place: usize) {
        assert!(!self.is_up(place), "{} is up", self.name(place));
        let process = self.command(&["-v", self.places[place].role.command()]).start();
        self.places[place].process = Some(process);
    }

    /// Stops a process as it stands: its connections stay open, and nothing moves.
    pub fn freeze(&mut self, place: usize) {
        self.process(place).signal("STOP");
    }

    /// Lets a frozen process go on.
    pub fn thaw(&mut self, place: usize) {
        self.process(place).signal("CONT");
    }

    /// Tells a process to stop, and waits until it has finished what is in hand.
    pub fn terminate(&mut self, place: usize) -> Ended {
        let process = self.places[place].process.take().expect("it is up");
        process.signal("TERM");
        process.end()
    }

    /// Processes must not end by themselves.
    pub fn check_alive(&mut self) {
        for place in 0..self.places.len() {
            let ended = self.places[place].process.as_mut().is_some_and(Running::has_ended);
            assert!(!ended, "{} has ended by itself", self.name(place));
        }
    }

    fn process(&mut self, place: usize) -> &mut Running {
        self.places[place].process.as_mut().expect("it is up")
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for place in 0..self.places.len() {
            let name = self.name(place);
            let Place { process, before, .. } = &self.places[place];
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
    // It ends with this process: nobody drops what is static, but its keeper notices.
    NATS.get_or_init(|| async { NatsServer::start("").await.expect("nats-server can be started") }).await
}
