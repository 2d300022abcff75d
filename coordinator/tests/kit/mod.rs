//! What the tests of whole runs share: options, clusters that one test leaves to the next, runs that can be watched, and
//! the truth that a run is held against.
#![allow(dead_code, reason = "every test file uses its own part of the kit")]

pub mod application;
pub mod backup;
pub mod crowd;
pub mod foreground;
pub mod foreign;
pub mod forger;
pub mod gate;
pub mod keys;
pub mod net;
pub mod overheard;
pub mod proxy;
pub mod queues;
pub mod rights;
pub mod slow_nodes;
pub mod spec;
pub mod truth;
pub mod valve;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coordinator::drive::Progress;
use coordinator::embedded::{self, RunError};
use coordinator::options::Options;
use coordinator::preflight::{Preflight, preflight};
use shared::cluster::ConnectOptions;
use shared::context::{Context, Timing};
use shared::failpoint::FailPoints;
use shared::ids::RunId;
use shared::messages::Rules;
use shared::result::CleanupResult;
use shared::servers::{ClusterServers, Server};
use shared::time::now_ms;
use tokio::sync::watch;

/// Longer than anything here takes, however slow the machine: only a hang gets there.
pub const HANG: Duration = Duration::from_secs(300);

/// Options of a run that deletes `permissions:*` without delay and at full speed, but for `permissions:system:*`; every call
/// names a job of its own, so that no two tests share a lock.
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

/// Surroundings of a run with other time limits than usual.
pub fn env(options: &Options, timing: Timing) -> Context {
    let env = Context::in_process(BTreeMap::from([(options.alias.clone(), options.access.clone())]), timing);
    Context { backups: embedded::context(options).backups, ..env }
}

/// Time limits for tests in which something fails: it is tried again soon, and not often.
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

/// What a run of `options` would do, agreed to.
pub async fn preflight_of(options: &Options) -> Preflight {
    let mut planned = preflight(options, RunId::new(), now_ms()).await.expect("the survey succeeds");
    planned.try_out(options).await.expect("the rights suffice");
    planned
}

/// One run from survey to result, as `keysweep run` does it.
pub async fn run(options: &Options) -> CleanupResult {
    in_time(embedded::run_cleanup_now(options)).await.expect("the run has a result")
}

/// A run in `env` of what `survey` planned.
pub async fn run_in(
    context: &Context,
    options: &Options,
    plan: &Preflight,
) -> Result<CleanupResult, RunError> {
    let (progress, _) = progress(plan);
    in_time(embedded::run(context, options, plan, progress)).await
}

/// A channel on which a run tells how far it is.
pub fn progress(plan: &Preflight) -> (watch::Sender<Progress>, watch::Receiver<Progress>) {
    watch::channel(Progress::start(embedded::keys(plan)))
}

/// `env` with a worker cut off as planned.
pub fn with_crash(mut context: Context, plan: FailPoints) -> (Context, Arc<FailPoints>) {
    context.failpoints = Arc::new(plan);
    let plan = Arc::clone(&context.failpoints);
    (context, plan)
}

/// `work`, which must not hang.
pub async fn in_time<T>(work: impl Future<Output = T>) -> T {
    let work = Box::pin(work);
    tokio::time::timeout(HANG, work).await.expect("it hangs")
}

/// A cluster of three primaries, emptied, and ours until dropped: then another test of this binary gets it.
pub struct Ours {
    cluster: &'static ClusterServers,
}

/// Clusters that no test has at the moment: as many as tests had at once, since each is started when there is none.
static IDLE: Mutex<Vec<&'static ClusterServers>> = Mutex::new(Vec::new());

impl std::ops::Deref for Ours {
    type Target = ClusterServers;

    fn deref(&self) -> &ClusterServers {
        self.cluster
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        IDLE.lock().expect("nobody panics with it").push(self.cluster);
    }
}

/// See [`Ours`].
pub async fn cluster() -> Ours {
    let idle = IDLE.lock().expect("nobody panics with it").pop();
    let cluster = match idle {
        Some(cluster) => cluster,
        // The servers end with this process: nobody drops what is leaked, but their keepers notice.
        None => Box::leak(Box::new(ClusterServers::start(3, 0).await.expect("a cluster can be started"))),
    };
    for node in cluster.nodes() {
        node.conn().await.unwrap().info_text("FLUSHALL").await.unwrap();
    }
    Ours { cluster }
}

/// A standalone server of our own.
pub async fn standalone() -> Server {
    Server::start(&[]).await.expect("a server can be started")
}

/// A random generator, whose seed is printed so that a failure can be repeated.
pub fn seeded(seed: u64) -> fastrand::Rng {
    println!("seed {seed}");
    fastrand::Rng::with_seed(seed)
}

/// How much a test does, as a number.
#[expect(clippy::disallowed_methods, reason = "it is no setting of keysweep")]
pub fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("`{variable}` is `{text}`, which is no number")))
}

/// Matching keys of a soak test.
pub fn soak_keys() -> u64 {
    number("KEYSWEEP_SOAK_KEYS").unwrap_or(1_000_000)
}
