//! The pacing state of one node, shared by the tasks and batches of this process.
//!
//! One write of this process is at the node at a time, so a request of the application waits for one write at most.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use keysweep_model::duration::millis;
use keysweep_model::ids::Alias;
use keysweep_model::messages::NodePacing;
use keysweep_telemetry::{Telemetry, WaitReason};
use tokio::sync::{OnceCell, Semaphore};
use tokio::time::Instant;

use super::controller::{Controller, ProbeVerdict, WorkKind};
use crate::limits::{DUTY_CYCLE_START, PAUSE_CREDIT_MAX, PROBE_EVERY, PROBE_LINGER};

/// The pacing state of one node.
pub(super) struct NodePacer {
    /// The deployment, and `host:port`, for people.
    alias: Alias,
    address: String,
    telemetry: Arc<Telemetry>,
    /// The permit to work at the node; dropping it lets the next one in.
    pub(super) gate: Semaphore,
    /// Set once the node was probed before the first work there.
    pub(super) probed: OnceCell<()>,
    start: Instant,
    state: Mutex<NodePacerState>,
}

struct NodePacerState {
    controller: Controller,
    /// Tasks and batches that work at the node.
    users: usize,
    /// When the last one left.
    left: Instant,
    /// Whether a task probes the node.
    probing: bool,
    /// Whether work of this process is at the node.
    busy: bool,
    /// When the last work ended.
    worked: Instant,
    /// When the node may be used again.
    free_at: Instant,
    /// Statistics that were not reported yet.
    unreported: NodePacing,
}

impl NodePacer {
    pub(super) fn new(
        (alias, address): (Alias, String),
        budget: Duration,
        telemetry: Arc<Telemetry>,
    ) -> Self {
        let now = Instant::now();
        let state = NodePacerState {
            controller: Controller::new(budget, &[]),
            users: 0,
            left: now,
            probing: false,
            busy: false,
            worked: now,
            free_at: now,
            unreported: NodePacing { duty_cycle_min: Some(DUTY_CYCLE_START), ..NodePacing::default() },
        };
        Self {
            alias,
            address,
            telemetry,
            gate: Semaphore::new(1),
            probed: OnceCell::new(),
            start: now,
            state: Mutex::new(state),
        }
    }

    fn state(&self) -> MutexGuard<'_, NodePacerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the baseline from probe latencies before the first work.
    pub(super) fn probed_before(&self, budget: Duration, before: &[Duration]) {
        let mut state = self.state();
        state.controller = Controller::new(budget, before);
        state.unreported.before_us = (!before.is_empty()).then(|| micros(state.controller.baseline()));
        self.telemetry.paced(&self.alias, &self.address, state.controller.duty_cycle());
    }

    /// A task or a batch starts to work here. Returns whether the caller must start probing.
    pub(super) fn enter(&self) -> bool {
        let mut state = self.state();
        state.users += 1;
        !std::mem::replace(&mut state.probing, true)
    }

    /// It ended.
    pub(super) fn leave(&self) {
        let mut state = self.state();
        state.users -= 1;
        state.left = Instant::now();
    }

    /// Whether to continue probing.
    pub(super) fn is_probed_on(&self) -> bool {
        let mut state = self.state();
        state.probing = state.users > 0 || state.left.elapsed() < PROBE_LINGER;
        if !state.probing {
            self.telemetry.not_paced(&self.alias, &self.address);
        }
        state.probing
    }

    /// How long no work was done here.
    pub(super) fn unused(&self) -> Duration {
        let state = self.state();
        if state.users > 0 { Duration::ZERO } else { state.left.elapsed() }
    }

    /// Records a probe that was sent at `sent`.
    pub(super) fn observe(&self, sent: Instant, took: Duration) {
        let mut state = self.state();
        // Requests that waited for our last write are served first.
        let quiet = !state.busy && state.worked + PROBE_EVERY <= sent;
        let seen = state.controller.observe(self.start.elapsed(), took, quiet);
        let share = state.controller.duty_cycle();
        #[expect(clippy::cast_precision_loss, reason = "far less than 2^52 microseconds")]
        state.unreported.probes_us.add(micros(took).max(1) as f64, 1);
        state.unreported.late += u64::from(seen != ProbeVerdict::InTime);
        state.unreported.slowdowns += u64::from(seen == ProbeVerdict::Halved);
        state.unreported.duty_cycle_min = state.unreported.duty_cycle_min.map(|least| least.min(share));
        self.telemetry.probed((&self.alias, &self.address), took, share, seen == ProbeVerdict::Halved);
    }

    /// When the node may be used again.
    pub(super) fn free_at(&self) -> Instant {
        self.state().free_at
    }

    /// Records a pause of this length.
    pub(super) fn waited(&self, waited: Duration) {
        self.state().unreported.latency_wait_ms += millis(waited);
        self.telemetry.record_wait(&self.alias, WaitReason::Latency, waited);
    }

    /// Work begins.
    pub(super) fn begin(&self) {
        self.state().busy = true;
    }

    /// Work ended that began at `began` and listed or changed so many keys. Timers are coarse, so a pause may begin a
    /// little early if the previous one was a little long.
    pub(super) fn end(&self, work: WorkKind, began: Instant, keys: u64) {
        let now = Instant::now();
        let mut state = self.state();
        (state.busy, state.worked) = (false, now);
        // The round trip does not keep the node busy.
        let took = (now - began).saturating_sub(state.controller.baseline());
        state.controller.worked(work, took, keys);
        let from = state.free_at.max(began.checked_sub(PAUSE_CREDIT_MAX).unwrap_or(began));
        state.free_at = from + (now - began) + state.controller.pause(took);
    }

    pub(super) fn window_keys(&self, work: WorkKind) -> u64 {
        self.state().controller.window_keys(work)
    }

    pub(super) fn duty_cycle(&self) -> f64 {
        self.state().controller.duty_cycle()
    }

    /// The statistics since the last call of [`Self::take_stats`].
    pub(super) fn unreported(&self) -> NodePacing {
        self.state().unreported.clone()
    }

    /// The statistics since the last call.
    pub(super) fn take_stats(&self) -> NodePacing {
        let mut state = self.state();
        let next = NodePacing {
            duty_cycle_min: Some(state.controller.duty_cycle()),
            before_us: state.unreported.before_us,
            ..NodePacing::default()
        };
        std::mem::replace(&mut state.unreported, next)
    }
}

pub(super) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
