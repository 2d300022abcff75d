//! The pacers of a process: one per run and node, shared by the tasks and batches at work there. At full speed there
//! are none: no probe, no pause.
//!
//! A task acquires a permit before each piece of work at a node, and reports its end:
//!
//! ```text
//! let pacer = context.pacers.enter(&spec, &client, &node, &telemetry).await;
//! let permit = loop { match pacer.acquire().await { Some(permit) => break permit, None => /* tick */ } };
//! … one write of at most pacer.window_keys() keys, and its reply …
//! permit.done(keys);
//! ```

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use keysweep_model::duration::millis;
use keysweep_model::ids::{Alias, NodeId, RunId};
use keysweep_model::messages::{NodePacing, RunSpec};
use keysweep_redis::RedisClient;
use keysweep_tasks::supervision::DedicatedRuntime;
use keysweep_telemetry::{Telemetry, WaitReason};
use tokio::sync::{SemaphorePermit, oneshot};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::controller::WorkKind;
use super::node::NodePacer;
use super::probe::{self, ProbeTarget};
use super::token_bucket::TokenBucket;
use crate::limits::{PACERS_KEPT, PAUSE_MIN, PERMIT_POLL, TASKS_PER_NODE};

/// The pacers of a process.
pub struct Pacers {
    /// Whether other processes work on the same runs, so that a rate limit is divided.
    others: bool,
    start: Instant,
    nodes: Mutex<BTreeMap<(RunId, NodeId), Arc<NodePacer>>>,
    /// The token bucket of the present run, if this process does all of it.
    bucket: Mutex<Option<(RunId, Arc<Mutex<TokenBucket>>)>>,
    /// Created for the first probe. Dropping it ends all probes.
    prober: OnceLock<DedicatedRuntime>,
}

impl Pacers {
    /// The pacers of a process that does a run alone, or together with `others`.
    #[must_use]
    pub fn new(others: bool) -> Self {
        Self {
            others,
            start: Instant::now(),
            nodes: Mutex::default(),
            bucket: Mutex::default(),
            prober: OnceLock::new(),
        }
    }

    /// A task of the run `spec` starts to read at `node`. The first one waits until the node was probed.
    pub async fn enter(
        &self,
        spec: &RunSpec,
        client: &Arc<RedisClient>,
        node: &NodeId,
        telemetry: &Arc<Telemetry>,
    ) -> Pacer {
        let mut pacer = self.enter_to_act(spec, client, node, telemetry).await;
        pacer.work = WorkKind::Reads;
        pacer.bucket = spec.pacing.keys_per_s_max.map(|limit| self.bucket(spec, limit));
        pacer
    }

    /// A batch starts to act there. The rate limit applies to reads only: batches act on no more keys than are read.
    pub async fn enter_to_act(
        &self,
        spec: &RunSpec,
        client: &Arc<RedisClient>,
        node: &NodeId,
        telemetry: &Arc<Telemetry>,
    ) -> Pacer {
        let (start, alias, telemetry) = (self.start, spec.alias.clone(), Arc::clone(telemetry));
        let mut pacer = Pacer {
            work: WorkKind::Acts,
            start,
            alias,
            node: None,
            bucket: None,
            telemetry,
            rate_wait: Mutex::default(),
        };
        let Some(budget_ms) = spec.pacing.latency_budget_ms else { return pacer };
        let budget = Duration::from_millis(budget_ms);
        let at = self.at_node(spec, node, budget, &pacer.telemetry);
        let target = ProbeTarget { client: Arc::clone(client), node: node.clone() };
        let prober = self.prober.get_or_init(|| DedicatedRuntime::new("keysweep-probe"));
        at.probed
            .get_or_init(|| async {
                let (sender, receiver) = oneshot::channel();
                prober.start(probe::before(target.clone(), sender));
                at.probed_before(budget, &receiver.await.unwrap_or_default());
            })
            .await;
        if at.enter() {
            let weak: Weak<NodePacer> = Arc::downgrade(&at);
            prober.start(probe::keep_probing(target, weak));
        }
        pacer.node = Some(at);
        pacer
    }

    /// The smallest share of a node's time that is used now; `None` if nothing is paced.
    #[must_use]
    pub fn duty_cycle_now(&self) -> Option<f64> {
        let nodes = self.nodes();
        let at_work = nodes.values().filter(|node| node.unused().is_zero());
        at_work.map(|node| node.duty_cycle()).reduce(f64::min)
    }

    /// How this process paces its work for `run`, by node; empty if it does none of it, or nothing is paced.
    #[must_use]
    pub fn of_run(&self, run: RunId) -> BTreeMap<NodeId, PaceNow> {
        let nodes = self.nodes();
        let mine = nodes.iter().filter(|((of, _), _)| *of == run);
        let now =
            |pacer: &NodePacer| PaceNow { duty_cycle: pacer.duty_cycle(), unreported: pacer.unreported() };
        mine.map(|((_, node), pacer)| (node.clone(), now(pacer))).collect()
    }

    fn nodes(&self) -> MutexGuard<'_, BTreeMap<(RunId, NodeId), Arc<NodePacer>>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn at_node(
        &self,
        spec: &RunSpec,
        node: &NodeId,
        budget: Duration,
        telemetry: &Arc<Telemetry>,
    ) -> Arc<NodePacer> {
        let mut nodes = self.nodes();
        // The state of a node is useful as long as the run works there.
        nodes.retain(|_, pacer| pacer.unused() < PACERS_KEPT);
        let new = || {
            let planned = spec.nodes.iter().find(|planned| planned.node == *node);
            let address = planned.map_or(node.as_str(), |planned| &planned.address).to_owned();
            Arc::new(NodePacer::new((spec.alias.clone(), address), budget, Arc::clone(telemetry)))
        };
        Arc::clone(nodes.entry((spec.run, node.clone())).or_insert_with(new))
    }

    /// The token bucket of a task. If other processes work on the run, each task has its own: at most
    /// [`TASKS_PER_NODE`] tasks of a node run at a time, over all processes.
    fn bucket(&self, spec: &RunSpec, limit: u64) -> Arc<Mutex<TokenBucket>> {
        #[expect(clippy::cast_precision_loss, reason = "a rate needs no more than 52 bits")]
        let (limit, tasks) = (limit as f64, (spec.nodes.len().max(1) * TASKS_PER_NODE) as f64);
        let new = |keys_per_s| Arc::new(Mutex::new(TokenBucket::new(keys_per_s, self.start.elapsed())));
        if self.others {
            return new(limit / tasks);
        }
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        match &*bucket {
            Some((run, bucket)) if *run == spec.run => Arc::clone(bucket),
            _ => Arc::clone(&bucket.insert((spec.run, new(limit))).1),
        }
    }
}

/// How this process paces its work at a node.
#[derive(Clone, Debug, PartialEq)]
pub struct PaceNow {
    /// The share of the node's time that it may use, above 0 and up to 1.
    pub duty_cycle: f64,
    /// What tasks and batches that have ended did not report yet.
    pub unreported: NodePacing,
}

/// Paces one task or batch at one node. Drop it when the task ends there.
pub struct Pacer {
    work: WorkKind,
    start: Instant,
    alias: Alias,
    node: Option<Arc<NodePacer>>,
    bucket: Option<Arc<Mutex<TokenBucket>>>,
    telemetry: Arc<Telemetry>,
    rate_wait: Mutex<Duration>,
}

impl Pacer {
    /// A pacer at `node` with the limit of `bucket`.
    #[cfg(test)]
    pub(super) fn of(node: Option<Arc<NodePacer>>, bucket: Option<Arc<Mutex<TokenBucket>>>) -> Self {
        if let Some(node) = &node {
            node.enter();
        }
        let (start, alias) = (Instant::now(), Alias::new("main"));
        let (telemetry, rate_wait) = (Arc::default(), Mutex::default());
        Self { work: WorkKind::Reads, start, alias, node, bucket, telemetry, rate_wait }
    }

    /// Waits for a permit to work at the node, for a short time. After `None`, the caller may extend its deadline,
    /// check for cancellation, and call again.
    pub async fn acquire(&self) -> Option<Permit<'_>> {
        let until = Instant::now() + PERMIT_POLL;
        if let Some(bucket) = &self.bucket {
            let wait = lock(bucket).wait(self.start.elapsed());
            if !wait.is_zero() {
                let waited = pause(Instant::now() + wait, until).await;
                *lock(&self.rate_wait) += waited;
                self.telemetry.record_wait(&self.alias, WaitReason::RateLimit, waited);
            }
            if wait > PERMIT_POLL {
                return None;
            }
        }
        let permit = match &self.node {
            Some(node) => {
                // The semaphore is never closed.
                let permit = timeout_at(until, node.gate.acquire()).await.ok()?.ok()?;
                let free_at = node.free_at();
                if free_at > Instant::now() + PAUSE_MIN {
                    node.waited(pause(free_at, until).await);
                }
                if free_at > until {
                    return None;
                }
                node.begin();
                Some(permit)
            }
            None => None,
        };
        Some(Permit { pacer: self, began: Instant::now(), keys: 0, _permit: permit })
    }

    /// The maximum number of keys of the next write; `None` without limits.
    #[must_use]
    pub fn window_keys(&self) -> Option<u64> {
        let by_time = self.node.as_ref().map(|node| node.window_keys(self.work));
        let by_rate = self.bucket.as_ref().map(|bucket| lock(bucket).window_keys().max(1));
        by_time.into_iter().chain(by_rate).min()
    }

    /// Whether there are limits.
    #[must_use]
    pub fn is_free(&self) -> bool {
        self.node.is_none() && self.bucket.is_none()
    }

    /// The statistics of the node that were not reported yet.
    #[must_use]
    pub fn stats(&self) -> NodePacing {
        let mut stats = self.node.as_ref().map(|node| node.take_stats()).unwrap_or_default();
        stats.rate_wait_ms += millis(std::mem::take(&mut *lock(&self.rate_wait)));
        stats
    }
}

impl Drop for Pacer {
    fn drop(&mut self) {
        if let Some(node) = &self.node {
            node.leave();
        }
    }
}

/// The permit to work at the node. Dropping it ends the work; [`Permit::done`] also records the number of keys.
#[must_use]
pub struct Permit<'a> {
    pacer: &'a Pacer,
    began: Instant,
    /// Keys that were listed or acted on, once it is done.
    keys: u64,
    /// Dropped after the end was recorded; then the next task may work.
    _permit: Option<SemaphorePermit<'a>>,
}

impl Permit<'_> {
    /// The work ended; so many keys were listed or changed.
    pub fn done(mut self, keys: u64) {
        self.keys = keys;
        if let Some(bucket) = &self.pacer.bucket {
            lock(bucket).take(self.pacer.start.elapsed(), keys);
        }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if let Some(node) = &self.pacer.node {
            node.end(self.pacer.work, self.began, self.keys);
        }
    }
}

/// Waits until `to`, or until `until` if that is earlier. Returns how long.
async fn pause(to: Instant, until: Instant) -> Duration {
    let from = Instant::now();
    sleep_until(to.min(until)).await;
    from.elapsed()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
