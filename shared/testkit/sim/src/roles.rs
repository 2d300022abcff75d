//! The processes of a world: each role as a task that is started again when it ends, as a supervisor would do.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use coordinator::leader::{LeaderExit, run_as_leader};
use coordinator::lease::{self, Lease, LeasePhase, LeaseRecord, ObservedLease};
use coordinator::options::Options;
use coordinator::preflight::preflight;
use coordinator::submit::submit;
use keysweep_model::ids::{Alias, RunId};
use keysweep_model::messages::Rules;
use keysweep_model::time::now_ms;
use keysweep_redis::{ConnectOptions, Network};
use keysweep_runtime::context::{Context, Timing};
use keysweep_storage::queue::Queue;
use keysweep_storage::store::Store;
use reaper::Reaper;
use scanner::Scanner;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::broker::{BrokerLink, SimQueue, SimStore};
use crate::keys::{PATTERN, PROTECTED};
use crate::network::{Net, ProcessNet};
use crate::plan::{PROCESSES, WorldPlan};

/// The pause before a process that has ended starts again.
const RESTART: Duration = Duration::from_millis(500);

/// How often a coordinator looks for a run to drive.
const LOOK: Duration = Duration::from_millis(200);

/// A process: what it shares with others, and its present life.
pub(crate) struct Process {
    context: Context,
    pub(crate) options: Options,
    pub(crate) is_parted: Arc<AtomicBool>,
    role: usize,
    life: Option<AbortHandle>,
}

/// What all processes share.
pub(crate) struct Shared {
    pub(crate) net: Arc<Net>,
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) store: Arc<dyn Store>,
}

impl Process {
    /// A process that has not started.
    pub(crate) fn new(plan: &WorldPlan, shared: &Shared, role: usize) -> anyhow::Result<Self> {
        let network =
            Network::simulated(Arc::new(ProcessNet { net: Arc::clone(&shared.net), process: role }));
        let urls =
            shared.net.deployment().nodes.iter().map(|node| format!("redis://{}", node.address)).collect();
        let access = ConnectOptions { network, ..ConnectOptions::open(urls) };
        let is_parted = Arc::new(AtomicBool::new(false));
        let link = BrokerLink { rates: plan.broker, is_parted: Arc::clone(&is_parted) };
        let store: Arc<dyn Store> =
            Arc::new(SimStore { inner: Arc::clone(&shared.store), link: link.clone() });
        let context = Context {
            queue: Arc::new(SimQueue { inner: Arc::clone(&shared.queue), link }),
            history_store: Arc::clone(&store),
            store,
            distributed: true,
            max_inflight_tasks: 8,
            ..Context::in_process(BTreeMap::from([(Alias::new("main"), access.clone())]), Timing::default())
        };
        let mut rules = Rules::deleting(&[PATTERN], &[PROTECTED])?;
        rules.grace_ms = plan.grace_ms;
        if let Some(ttl_ms) = plan.ttl_ms {
            rules.action = keysweep_model::messages::Action::Expire { ttl_ms, jitter_ms: 0 };
        }
        rules.scan_batch_keys = 20;
        rules.delete_batch_keys = 10;
        let options = Options { max_delete_percent: 100, ..Options::plain(access, rules) };
        Ok(Self { context, options, is_parted, role, life: None })
    }

    /// Starts it.
    pub(crate) fn start(&mut self, lives: &mut JoinSet<()>) {
        let (context, options, role) = (self.context.clone(), self.options.clone(), self.role);
        self.life = Some(lives.spawn(async move {
            loop {
                let ended = one_life(&context, &options, role).await;
                match ended {
                    Ok(()) if role == 0 => return,
                    Ok(()) => tracing::info!("{} ended", PROCESSES[role]),
                    Err(e) => tracing::info!("{} ended: {e:#}", PROCESSES[role]),
                }
                sleep(RESTART).await;
            }
        }));
    }

    /// Ends it, wherever it is.
    pub(crate) fn kill(&mut self) {
        if let Some(life) = self.life.take() {
            life.abort();
        }
    }
}

async fn one_life(context: &Context, options: &Options, role: usize) -> anyhow::Result<()> {
    let never = CancellationToken::new();
    match PROCESSES[role].split(' ').next() {
        Some("cli") => ask(context, options).await?,
        Some("coordinator") => coordinate(context, options, PROCESSES[role]).await?,
        Some("scanner") => Scanner::new(context.clone(), never).run(2).await?,
        Some("reaper") => Reaper::new(context.clone(), never).run(2).await?,
        _ => reporter::run(context, never).await?,
    }
    Ok(())
}

/// Plans and submits a run, as `keysweep run --nats` does.
async fn ask(context: &Context, options: &Options) -> anyhow::Result<()> {
    let mut plan = preflight(options, RunId::new(), now_ms()).await?;
    plan.try_out(options).await?;
    submit(context, options, &plan).await?;
    Ok(())
}

/// Drives the run of the job whenever no other process does.
async fn coordinate(context: &Context, options: &Options, name: &str) -> anyhow::Result<()> {
    let mut seen: Option<ObservedLease> = None;
    loop {
        sleep(LOOK).await;
        let Some((hold, revision)) = lease::read_lease(&*context.store, &options.job).await? else {
            continue;
        };
        let observed = seen.get_or_insert_with(|| ObservedLease::now(hold.clone(), revision));
        observed.observe(hold, revision);
        if observed.record.phase != LeasePhase::Free
            && observed.record.is_acquirable(observed.unchanged(), context.timing.lease)
            && let Some(held) = take(context, options, observed, name).await?
        {
            match run_as_leader(context, held, &CancellationToken::new()).await? {
                LeaderExit::Ended(_) => return Ok(()),
                LeaderExit::Released | LeaderExit::LeaseLost => seen = None,
            }
        }
    }
}

/// Takes the lease of a run; frees it if the run was never stored.
async fn take(
    context: &Context,
    options: &Options,
    of: &ObservedLease,
    name: &str,
) -> anyhow::Result<Option<Lease>> {
    let stored = context.records(of.record.run).spec().await?;
    let phase = if stored.is_none() { LeasePhase::Free } else { LeasePhase::Driven };
    let hold = LeaseRecord::begin(of.record.run, options.alias.clone(), phase, name);
    let held = lease::take(&*context.store, &options.job, Some(of.revision), hold).await?;
    Ok(held.filter(|_| phase == LeasePhase::Driven))
}
