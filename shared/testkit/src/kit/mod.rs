//! Shared by the tests of whole runs: options, reused clusters, runs with progress, and the ground truth.

pub mod application;
pub mod backup;
pub mod foreground;
pub mod foreign;
pub mod forger;
pub mod gate;
pub mod ground_truth;
pub mod intercept;
pub mod keys;
pub mod net;
pub mod pausable_proxy;
pub mod population;
pub mod proxy;
pub mod queues;
pub mod rights;
pub mod rule_truth;
pub mod rule_users;
pub mod service;
pub mod slow_nodes;
pub mod spec;
pub mod subscriber;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coordinator::drive::Progress;
use coordinator::embedded::{self, RunError};
use coordinator::options::Options;
use coordinator::preflight::{Preflight, preflight};
use keysweep_model::ids::RunId;
use keysweep_model::messages::Rules;
use keysweep_model::result::CleanupResult;
use keysweep_model::time::now_ms;
use keysweep_redis::ConnectOptions;
use keysweep_runtime::context::{Context, Timing};
use keysweep_runtime::failpoint::FailPoints;
use keysweep_servers::{ClusterServers, Server};
use tokio::sync::watch;

/// Longer than any operation of a test on a slow machine: exceeded only by a hang.
pub const HANG: Duration = Duration::from_secs(300);

/// Options of a run that deletes `permissions:*` without delay and at full speed, except for `permissions:system:*`;
/// every call uses another job name, so that no two tests share a lock.
pub fn options(urls: Vec<String>) -> Options {
    static JOBS: AtomicU32 = AtomicU32::new(0);
    let job = format!("test-{}-{}", std::process::id(), JOBS.fetch_add(1, Ordering::Relaxed));
    let rules = Rules::deleting(&["permissions:*"], &["permissions:system:*"]).unwrap();
    Options {
        display_name: job.clone(),
        job,
        max_delete_percent: 50,
        ..Options::plain(ConnectOptions::open(urls), rules)
    }
}

/// The context of a run with other time limits.
pub fn env(options: &Options, timing: Timing) -> Context {
    let env = Context::in_process(BTreeMap::from([(options.alias.clone(), options.access.clone())]), timing);
    Context { backups: embedded::context(options).backups, ..env }
}

/// Time limits for tests with failures: few retries, with short delays.
pub fn hasty() -> Timing {
    Timing {
        ack_wait: Duration::from_millis(500),
        max_failures: 3,
        retry_delay: Duration::from_millis(20),
        retry_delay_max: Duration::from_millis(200),
        lease: Duration::from_secs(2),
        primary_wait: Duration::from_secs(2),
        notification_retry_delay: Duration::from_millis(500),
        retention: Duration::MAX,
        ..Timing::default()
    }
}

/// The plan of a run with `options`, confirmed.
pub async fn preflight_of(options: &Options) -> Preflight {
    let mut planned = preflight(options, RunId::new(), now_ms()).await.expect("the survey succeeds");
    planned.try_out(options).await.expect("the rights suffice");
    planned
}

/// One run from preflight to result, like `keysweep run`.
pub async fn run(options: &Options) -> CleanupResult {
    in_time(embedded::run_cleanup_now(options)).await.expect("the run has a result")
}

/// Executes the plan in `env`.
pub async fn run_in(
    context: &Context,
    options: &Options,
    plan: &Preflight,
) -> Result<CleanupResult, RunError> {
    let (progress, _) = progress(plan);
    in_time(embedded::run(context, options, plan, progress)).await
}

/// A channel with the progress of a run.
pub fn progress(plan: &Preflight) -> (watch::Sender<Progress>, watch::Receiver<Progress>) {
    watch::channel(Progress::start(embedded::keys(plan)))
}

/// `env` with a planned stop of a worker.
pub fn with_crash(mut context: Context, plan: FailPoints) -> (Context, Arc<FailPoints>) {
    context.failpoints = Arc::new(plan);
    let plan = Arc::clone(&context.failpoints);
    (context, plan)
}

/// Runs `work`, which must not hang.
pub async fn in_time<T>(work: impl Future<Output = T>) -> T {
    let work = Box::pin(work);
    tokio::time::timeout(HANG, work).await.expect("it hangs")
}

/// A cluster of three primaries, initially empty. When it is dropped, another test of this binary may reuse it.
pub struct PooledCluster {
    cluster: &'static ClusterServers,
}

/// Clusters that are not in use. A new one is started only if there is none.
static IDLE: Mutex<Vec<&'static ClusterServers>> = Mutex::new(Vec::new());

impl std::ops::Deref for PooledCluster {
    type Target = ClusterServers;

    fn deref(&self) -> &ClusterServers {
        self.cluster
    }
}

impl Drop for PooledCluster {
    fn drop(&mut self) {
        IDLE.lock().expect("the lock is not poisoned").push(self.cluster);
    }
}

/// An empty cluster from the pool.
pub async fn cluster() -> PooledCluster {
    let idle = IDLE.lock().expect("the lock is not poisoned").pop();
    let cluster = match idle {
        Some(cluster) => cluster,
        // Leaked values are never dropped, but the servers' shells notice the end of this process.
        None => Box::leak(Box::new(ClusterServers::start(3, 0).await.expect("a cluster can be started"))),
    };
    for node in cluster.nodes() {
        node.conn().await.unwrap().info_text("FLUSHALL").await.unwrap();
    }
    PooledCluster { cluster }
}

/// A standalone server.
pub async fn standalone() -> Server {
    Server::start(&[]).await.expect("a server can be started")
}

/// A random generator, whose seed is printed so that a failure can be reproduced.
pub fn seeded(seed: u64) -> fastrand::Rng {
    println!("seed {seed}");
    fastrand::Rng::with_seed(seed)
}

/// A number from the environment that sets the size of a test.
#[expect(clippy::disallowed_methods, reason = "it is no setting of keysweep")]
pub fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("`{variable}` is `{text}`, which is no number")))
}

/// Matching keys of a soak test.
pub fn soak_keys() -> u64 {
    number("KEYSWEEP_SOAK_KEYS").unwrap_or(1_000_000)
}
