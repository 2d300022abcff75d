//! Which share of a node's time a run may take, so that the application's p99 stays within the latency budget. Pure:
//! time is an argument, and whoever probes the node tells how long that took.
//!
//! A probe that takes longer than before the run, and the budget, is late. A p99 within the budget means that one
//! probe of a hundred may be late because of us. So each late one halves the share, and each other one lets it grow
//! by what makes up for one halving in a hundred: in the logarithm both steps have a fixed size, and they cancel out
//! exactly where one of a hundred is late, however large the share is. (A step of fixed size in the share itself
//! would make up for a halving of a small share in a few probes, and so allow many more late ones.)
//!
//! Probes may be late without us: the machine stutters, the application sends something large. How many are, is
//! learned from probes that met nothing of ours, and added to what is allowed; otherwise a machine where two of a
//! hundred are always late would bring the run down to its floor for nothing. Two processes that work at the same
//! node take each other's late probes for such noise, and each adds its own one of a hundred.
//!
//! How many keys one write asks for depends on the budget and on what a key took lately, not on the share: a request
//! waits behind what the server executes for one write of ours, and now and then behind two or three. With pieces of
//! half of the budget the same p99 allowed half of the speed that a fifth does; smaller ones would be nothing but
//! round trips.
//!
//! Limits: what is promised is about the node's answers to PING, which wait like any other command; commands that
//! take long by themselves are not measured. A baseline that was taken in a bad minute allows more than it should.

use std::time::Duration;

use crate::limits::{
    KEY_TIME_FIRST, KEY_TIME_WEIGHT, LATE_HOLD, LATE_SHARE, NOISE_MAX, NOISE_PROBES, PAUSE_MAX, PIECE_SHARE,
    SHARE_FIRST, SHARE_MIN, WINDOW_KEYS, WINDOW_KEYS_MIN,
};

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Controller {
    budget: Duration,
    baseline: Duration,
    duty_cycle: f64,
    noise: Noise,
    /// What a key takes lately, in seconds, by what is done with it.
    key_s: [f64; 2],
    /// When the share was halved last.
    halved: Option<Duration>,
}

/// What a piece of work does with its keys: each takes a time of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkKind {
    /// Lists them, and looks up their TTL.
    Reads,
    /// Deletes them, or gives them a TTL.
    Acts,
}

/// The share of late probes among those that met nothing of ours.
#[derive(Clone, Copy, Debug)]
struct Noise {
    late: f64,
    probes: f64,
}

/// What a probe meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeVerdict {
    /// It was answered in time.
    InTime,
    /// It was late, right after another one that halved the share.
    Late,
    /// It was late, and the share is halved.
    Halved,
}

impl Controller {
    /// A controller for one node. `before` are probes from before the first work there; their median is what a probe
    /// takes without us.
    #[must_use]
    pub fn new(budget: Duration, before: &[Duration]) -> Self {
        let mut sorted = before.to_vec();
        sorted.sort_unstable();
        let baseline = sorted.get(sorted.len() / 2).copied().unwrap_or_default();
        // As though there had been as many in time as one that is late needs.
        let noise = Noise { late: 0.0, probes: 1.0 / LATE_SHARE };
        let mut controller = Self {
            budget,
            baseline,
            duty_cycle: SHARE_FIRST,
            noise,
            key_s: [KEY_TIME_FIRST; 2],
            halved: None,
        };
        for took in before {
            controller.noise.add(controller.is_late(*took));
        }
        controller
    }

    /// A probe took so long that was sent or answered at `now` (a time since any fixed moment). `quiet` says that
    /// nothing of ours was at work at the node meanwhile.
    pub fn observe(&mut self, now: Duration, took: Duration, quiet: bool) -> ProbeVerdict {
        let late = self.is_late(took);
        if quiet {
            self.noise.add(late);
        }
        if !late {
            let allowed = LATE_SHARE + self.noise.late.min(NOISE_MAX);
            let step = std::f64::consts::LN_2 * allowed / (1.0 - allowed);
            self.duty_cycle = (self.duty_cycle * step.exp()).min(1.0);
            return ProbeVerdict::InTime;
        }
        // Several that are late at once have one cause, and pieces of the old size are still under way.
        if self.halved.is_some_and(|halved| now.saturating_sub(halved) < LATE_HOLD) {
            return ProbeVerdict::Late;
        }
        self.halved = Some(now);
        self.duty_cycle = (self.duty_cycle / 2.0).max(SHARE_MIN);
        ProbeVerdict::Halved
    }

    fn is_late(&self, took: Duration) -> bool {
        took > self.baseline + self.budget
    }

    /// The share of the node's time that we may take, above 0 and up to 1.
    #[must_use]
    pub fn duty_cycle(&self) -> f64 {
        self.duty_cycle
    }

    /// What a probe took before the first work.
    #[must_use]
    pub fn baseline(&self) -> Duration {
        self.baseline
    }

    /// How long to leave the node alone after a piece of work that took `took` there.
    #[must_use]
    pub fn pause(&self, took: Duration) -> Duration {
        took.mul_f64(1.0 / self.duty_cycle - 1.0).min(PAUSE_MAX)
    }

    /// A piece of work on so many keys took `took` at the node.
    pub fn worked(&mut self, work: WorkKind, took: Duration, keys: u64) {
        if keys > 0 {
            #[expect(clippy::cast_precision_loss, reason = "a small number")]
            let now = took.as_secs_f64() / keys as f64;
            let key_s = &mut self.key_s[work as usize];
            *key_s += (now - *key_s) * KEY_TIME_WEIGHT;
        }
    }

    /// Keys that one write may ask for.
    #[must_use]
    pub fn window_keys(&self, work: WorkKind) -> u64 {
        let keys = (self.budget.as_secs_f64() * PIECE_SHARE / self.key_s[work as usize]).round();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a positive number, and more than there is room for is as much as there is"
        )]
        let keys = keys as u64;
        keys.clamp(WINDOW_KEYS_MIN, WINDOW_KEYS)
    }
}

impl Noise {
    /// The mean of the last [`NOISE_PROBES`], about.
    fn add(&mut self, late: bool) {
        self.probes = (self.probes + 1.0).min(NOISE_PROBES);
        self.late += (f64::from(u8::from(late)) - self.late) / self.probes;
    }
}

#[cfg(test)]
mod tests;
