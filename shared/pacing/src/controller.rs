//! Controls which share of a node's time a run may use, so that the application's p99 latency stays within the latency
//! budget. Pure: time is an argument, and the caller supplies the probe latencies.
//!
//! A probe is late if it takes longer than the latency before the run plus the budget. With a p99 within the budget,
//! one probe of a hundred may be late because of the run. So each late probe halves the share, and each other probe
//! raises it by as much as makes up for one halving in a hundred: on a logarithmic scale both steps have a fixed size,
//! and they cancel out exactly where one of a hundred is late, however large the share is. (A step of fixed size in
//! the share itself would make up for a halving of a small share within a few probes, and so allow many more late
//! probes.)
//!
//! Probes may be late for other reasons: the machine stalls, the application sends a large request. How many are, is
//! learned from probes during which keysweep was idle, and added to what is allowed. Otherwise a machine where two of
//! a hundred are always late would bring the run down to its minimum. Two processes that work at the same node take
//! each other's late probes for such noise, and each adds its own one of a hundred.
//!
//! The number of keys in one write depends on the budget and on the recent cost of a key, not on the share: a request
//! waits for what the server executes for one of our writes, and occasionally for two or three. With writes of half of
//! the budget, the same p99 allowed half of the speed of writes of a fifth; smaller writes would consist of round
//! trips only.
//!
//! Limitations: the guarantee is about the node's replies to PING, which wait like any other command; commands that
//! are slow themselves are not measured. A baseline that was measured in a bad minute allows more than it should.

use std::time::Duration;

use keysweep_redis::limits::PAUSE_MAX;

use crate::limits::{
    DUTY_CYCLE_MIN, DUTY_CYCLE_START, KEY_TIME_FIRST, KEY_TIME_WEIGHT, LATE_HOLD, LATE_SHARE, NOISE_MAX,
    NOISE_PROBES, PIECE_SHARE, WINDOW_KEYS, WINDOW_KEYS_MIN,
};

/// The controller of one node.
#[derive(Clone, Copy, Debug)]
pub struct Controller {
    budget: Duration,
    baseline: Duration,
    duty_cycle: f64,
    noise: Noise,
    /// The recent cost of a key, in seconds, by kind of work.
    key_s: [f64; 2],
    /// When the share was last halved.
    halved: Option<Duration>,
}

/// The kinds of work. The cost of a key is measured for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkKind {
    /// Lists keys and reads their TTL.
    Reads,
    /// Deletes keys or sets a TTL.
    Acts,
}

/// The share of late probes among those during which keysweep was idle.
#[derive(Clone, Copy, Debug)]
struct Noise {
    late: f64,
    probes: f64,
}

/// The effect of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeVerdict {
    /// It was answered in time.
    InTime,
    /// It was late, right after another one that halved the share.
    Late,
    /// It was late, and the share was halved.
    Halved,
}

impl Controller {
    /// A controller for one node. `before` are probe latencies from before the first work there. Their median is the
    /// baseline.
    #[must_use]
    pub fn new(budget: Duration, before: &[Duration]) -> Self {
        let mut sorted = before.to_vec();
        sorted.sort_unstable();
        let baseline = sorted.get(sorted.len() / 2).copied().unwrap_or_default();
        // Starts as if one probe was late and as many were in time as that requires.
        let noise = Noise { late: 0.0, probes: 1.0 / LATE_SHARE };
        let mut controller = Self {
            budget,
            baseline,
            duty_cycle: DUTY_CYCLE_START,
            noise,
            key_s: [KEY_TIME_FIRST; 2],
            halved: None,
        };
        for took in before {
            controller.noise.add(controller.is_late(*took));
        }
        controller
    }

    /// Records a probe latency. `now` is the time since a fixed moment at which the probe was sent or answered.
    /// `quiet`: no work of this process was at the node meanwhile.
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
        // Probes that are late at the same time have one cause, and writes of the old size are still in flight.
        if self.halved.is_some_and(|halved| now.saturating_sub(halved) < LATE_HOLD) {
            return ProbeVerdict::Late;
        }
        self.halved = Some(now);
        self.duty_cycle = (self.duty_cycle / 2.0).max(DUTY_CYCLE_MIN);
        ProbeVerdict::Halved
    }

    fn is_late(&self, took: Duration) -> bool {
        took > self.baseline + self.budget
    }

    /// The share of the node's time that the run may use, above 0 and up to 1.
    #[must_use]
    pub fn duty_cycle(&self) -> f64 {
        self.duty_cycle
    }

    /// The median probe latency before the first work.
    #[must_use]
    pub fn baseline(&self) -> Duration {
        self.baseline
    }

    /// How long to leave the node idle after work that took `took` there.
    #[must_use]
    pub fn pause(&self, took: Duration) -> Duration {
        took.mul_f64(1.0 / self.duty_cycle - 1.0).min(PAUSE_MAX)
    }

    /// Records that work on `keys` keys took `took` at the node.
    pub fn worked(&mut self, work: WorkKind, took: Duration, keys: u64) {
        if keys > 0 {
            #[expect(clippy::cast_precision_loss, reason = "a small number")]
            let now = took.as_secs_f64() / keys as f64;
            let key_s = &mut self.key_s[work as usize];
            *key_s += (now - *key_s) * KEY_TIME_WEIGHT;
        }
    }

    /// The number of keys that one write may request.
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
    /// Approximately the mean of the last [`NOISE_PROBES`].
    fn add(&mut self, late: bool) {
        self.probes = (self.probes + 1.0).min(NOISE_PROBES);
        self.late += (f64::from(u8::from(late)) - self.late) / self.probes;
    }
}

#[cfg(test)]
mod tests;
