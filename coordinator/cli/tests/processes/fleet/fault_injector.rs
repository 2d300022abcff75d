//! Injects faults at random times: a process of the fleet is killed and restarted a little later, or paused until its
//! work was redelivered to another one, or the NATS server is killed and restarted.

use std::fmt;
use std::ops::AddAssign;
use std::time::Duration;

use keysweep_testkit::nats_server::NatsServer;
use tokio::time::Instant;

use super::{ACK_WAIT, Fleet, Role};

/// The range of the pause between two faults, in milliseconds.
const PAUSE_MS: std::ops::Range<u64> = 100..900;

/// How long a process or the server is down, in milliseconds.
const AWAY_MS: std::ops::Range<u64> = 0..1_500;

/// How long a process is paused beyond the deadline for its work, in milliseconds.
const BEYOND_MS: std::ops::Range<u64> = 300..2_500;

/// Processes of one role that may be down or paused at a time: the others must continue the work.
const AWAY_MAX: usize = 2;

/// The number of faults of each kind.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub scanners: usize,
    pub reapers: usize,
    pub reporters: usize,
    pub coordinators: usize,
    pub paused: usize,
    pub nats: usize,
}

impl Tally {
    fn rows(&self) -> [(&'static str, usize); 6] {
        [
            ("scanners killed", self.scanners),
            ("reapers killed", self.reapers),
            ("reporters killed", self.reporters),
            ("coordinators killed", self.coordinators),
            ("processes paused", self.paused),
            ("restarts of NATS", self.nats),
        ]
    }

    pub fn all(&self) -> usize {
        self.rows().iter().map(|(_, count)| count).sum()
    }

    pub fn every_kind(&self) -> bool {
        self.rows().iter().all(|(_, count)| *count > 0)
    }

    fn killed(&mut self, role: Role) -> &mut usize {
        match role {
            Role::Scanner => &mut self.scanners,
            Role::Reaper => &mut self.reapers,
            Role::Reporter => &mut self.reporters,
            Role::Coordinator => &mut self.coordinators,
        }
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.scanners += other.scanners;
        self.reapers += other.reapers;
        self.reporters += other.reporters;
        self.coordinators += other.coordinators;
        self.paused += other.paused;
        self.nats += other.nats;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows: Vec<String> = self.rows().iter().map(|(what, count)| format!("{count} {what}")).collect();
        f.write_str(&rows.join(", "))
    }
}

/// How a fault ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Recovery {
    Restart(usize),
    Resume(usize),
    RestartNats,
}

/// The fault injector.
pub struct FaultInjector {
    rng: fastrand::Rng,
    left: usize,
    started: Instant,
    next: Instant,
    /// The processes that are down, and until when.
    down: Vec<(Instant, Recovery)>,
    reported: Vec<String>,
    pub tally: Tally,
}

impl FaultInjector {
    /// At most `max` faults, starting now.
    pub fn new(rng: fastrand::Rng, max: usize) -> Self {
        let now = Instant::now();
        let mut faults = Self {
            rng,
            left: max,
            started: now,
            next: now,
            down: Vec::new(),
            reported: Vec::new(),
            tally: Tally::default(),
        };
        faults.next = now + faults.ms(PAUSE_MS);
        faults
    }

    /// Does what is due: ends old faults, and injects a new one.
    pub async fn advance(&mut self, fleet: &mut Fleet, nats: &NatsServer) {
        let now = Instant::now();
        let (due, down) = self.down.drain(..).partition(|(until, _)| *until <= now);
        self.down = down;
        self.recover(due, fleet, nats).await;
        if self.left > 0 && self.next <= now {
            self.left -= 1;
            self.next = now + self.ms(PAUSE_MS);
            self.inject(fleet, nats);
        }
    }

    /// Ends all faults.
    pub async fn recover_all(&mut self, fleet: &mut Fleet, nats: &NatsServer) {
        let down = std::mem::take(&mut self.down);
        self.recover(down, fleet, nats).await;
    }

    async fn recover(&mut self, due: Vec<(Instant, Recovery)>, fleet: &mut Fleet, nats: &NatsServer) {
        for (_, recovery) in due {
            match recovery {
                Recovery::Restart(index) => fleet.restart(index),
                Recovery::Resume(index) => fleet.resume(index),
                Recovery::RestartNats => nats.restart().await.expect("the NATS server comes up again"),
            }
            self.report(&format!("{recovery:?}"));
        }
    }

    fn inject(&mut self, fleet: &mut Fleet, nats: &NatsServer) {
        let away = self.ms(AWAY_MS);
        let sort = self.rng.u32(0..10);
        if sort == 0 {
            if self.down.iter().any(|(_, recovery)| *recovery == Recovery::RestartNats) {
                return;
            }
            nats.kill().expect("the NATS server can be killed");
            self.tally.nats += 1;
            self.record("NATS killed", away, Recovery::RestartNats);
            return;
        }
        let role = [Role::Scanner, Role::Reaper, Role::Reporter, Role::Coordinator][self.rng.usize(0..4)];
        let is_down = |index: &usize| {
            self.down
                .iter()
                .any(|(_, recovery)| [Recovery::Restart(*index), Recovery::Resume(*index)].contains(recovery))
        };
        let (down, up): (Vec<usize>, Vec<usize>) = fleet.of(role).into_iter().partition(is_down);
        let Some(index) = self.rng.choice(up).filter(|_| down.len() < AWAY_MAX) else { return };
        let name = fleet.name(index);
        if sort < 4 {
            fleet.pause(index);
            self.tally.paused += 1;
            let paused = ACK_WAIT + self.ms(BEYOND_MS);
            self.record(&format!("{name} paused"), paused, Recovery::Resume(index));
        } else {
            fleet.kill(index);
            *self.tally.killed(role) += 1;
            self.record(&format!("{name} killed"), away, Recovery::Restart(index));
        }
    }

    fn record(&mut self, what: &str, away: Duration, recovery: Recovery) {
        self.report(&format!("{what} for {} ms", away.as_millis()));
        self.down.push((Instant::now() + away, recovery));
    }

    fn report(&mut self, what: &str) {
        self.reported.push(format!("{:7} ms  {what}", self.started.elapsed().as_millis()));
    }

    fn ms(&mut self, range: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.rng.u64(range))
    }
}

impl fmt::Display for FaultInjector {
    /// One line per fault.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reported.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}
