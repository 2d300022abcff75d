//! The processes of a world: each role as a task that is started again when it ends, as a supervisor would do.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use coordinator::drive::Progress;
use coordinator::embedded::{self, RunError};
use coordinator::leader::{LeaderExit, run_as_leader};
use coordinator::lease::{self, Lease, LeasePhase, LeaseRecord, ObservedLease};
use coordinator::options::Options;
use coordinator::plan::TaskSizes;
use coordinator::preflight::preflight;
use coordinator::submit::{SubmitError, submit};
use keysweep_backup::BackupTargets;
use keysweep_config::BackupPlace;
use keysweep_model::ids::RunId;
use keysweep_model::messages::{ActivitySource, CancelKind, InactivePolicy, ReadFrom};
use keysweep_model::result::CleanupResult;
use keysweep_model::time::now_ms;
use keysweep_redis::{ConnectOptions, Network};
use keysweep_runtime::context::{Context, Timing};
use keysweep_storage::object_store::ObjectStore;
use keysweep_storage::queue::Queue;
use keysweep_storage::store::Store;
use reaper::Reaper;
use scanner::Scanner;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::broker::{BrokerLink, SimQueue, SimStore};
use crate::bucket::SimObjects;
use crate::coverage::Failure;
use crate::keys::{self, IDLE_MS, NEAR_EXPIRY_MS};
use crate::life::Life;
use crate::network::{Net, ProcessNet};
use crate::plan::{PROCESSES, Profile, WORKERS, WorldPlan};
use crate::rates::Rates;
use crate::witness::Witness;

/// The pause before a process that has ended starts again.
const RESTART: Duration = Duration::from_millis(500);

/// The pause before a person asks again for a run that was refused: planning one is dear.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// Keys per part of a table: there are fewer parts than buckets.
const PART_KEYS: u64 = 16;

/// How often a coordinator looks for a run to drive.
const LOOK: Duration = Duration::from_millis(200);

/// A process.
pub(crate) struct Process {
    pub(crate) life: Arc<Life>,
    options: Options,
    shared: Arc<Shared>,
    role: usize,
}

/// What all processes share.
pub(crate) struct Shared {
    pub(crate) profile: Profile,
    pub(crate) rates: Arc<Rates>,
    pub(crate) net: Arc<Net>,
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) witness: Arc<Witness>,
    /// The result of a run in one process, and why it was cancelled.
    pub(crate) result: Mutex<Option<(CleanupResult, Option<CancelKind>)>>,
    /// The store of the only process, since it has started.
    pub(crate) own_store: Mutex<Option<Arc<dyn Store>>>,
    /// The run that the last start of the only process has planned.
    pub(crate) own_run: Mutex<Option<RunId>>,
    /// Why no run was begun, if its limit did not allow it.
    pub(crate) refusal: Mutex<Option<String>>,
    /// Where the state file is.
    pub(crate) state_dir: Option<PathBuf>,
    /// The addresses that every process has in its settings.
    pub(crate) addresses: Vec<SocketAddr>,
}

/// What a lock contains.
pub(crate) fn locked<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Process {
    /// A process that has not started.
    ///
    /// # Errors
    /// Never: the patterns of the world are right.
    pub(crate) fn new(plan: &WorldPlan, shared: &Arc<Shared>, role: usize) -> anyhow::Result<Self> {
        let life = Arc::new(Life::default());
        let (net, process) = (Arc::clone(&shared.net), role);
        let network = Network::simulated(Arc::new(ProcessNet { net, process, life: Arc::clone(&life) }));
        let urls = shared.addresses.iter().map(|address| format!("redis://{address}")).collect();
        let access = ConnectOptions { network, ..ConnectOptions::open(urls) };
        let mut rules = keys::rules(plan.profile)?;
        rules.grace_ms = plan.grace_ms;
        rules.scan_batch_keys = 20;
        rules.delete_batch_keys = 10;
        let task_sizes =
            TaskSizes { keys_min: plan.task_keys, part_keys_min: PART_KEYS, ..TaskSizes::default() };
        let mut options = Options {
            max_delete_percent: plan.max_delete_percent,
            task_sizes,
            ..Options::plain(access, rules)
        };
        match plan.profile {
            Profile::Inactive => {
                options.aggressive = true;
                options.inactive = Some(InactivePolicy {
                    identity: String::new(),
                    source: ActivitySource::IdleTime,
                    near_expiry_ms: NEAR_EXPIRY_MS,
                    threshold_ms: IDLE_MS,
                    allow_no_active: true,
                });
            }
            Profile::Replicas => options.read_from = ReadFrom::Replica { lag_max_ms: 2_000 },
            Profile::Backup => {
                options.backup = Some((BackupPlace::Bucket("saved".to_owned()), 1 << 20));
            }
            Profile::State => options.state.dir.clone_from(&shared.state_dir),
            _ => {}
        }
        Ok(Self { life, options, shared: Arc::clone(shared), role })
    }

    /// Starts it, and starts it again whenever it ends or dies. The one that asks for a run ends when it has asked.
    pub(crate) fn start(&self, lives: &mut JoinSet<()>) -> AbortHandle {
        let (life, options) = (Arc::clone(&self.life), self.options.clone());
        let (shared, role) = (Arc::clone(&self.shared), self.role);
        lives.spawn(async move {
            loop {
                let name = PROCESSES[role];
                let one_life = Box::pin(one_life(&shared, &life, &options, role));
                match life.lives(one_life).await {
                    Ok(Ok(())) if role == 0 => return,
                    Ok(Err(e)) if is_over_limit(&e) => {
                        *locked(&shared.refusal) = Some(format!("{e:#}"));
                        return;
                    }
                    Ok(Ok(())) => tracing::info!("{name} ended"),
                    Ok(Err(e)) => tracing::info!("{name} ended: {e:#}"),
                    Err(back_ms) => {
                        tracing::info!("{name} died");
                        shared.died(role);
                        sleep(Duration::from_millis(back_ms)).await;
                    }
                }
                sleep(if role == 0 { ASK_AGAIN } else { RESTART }).await;
            }
        })
    }
}

impl Shared {
    fn died(&self, role: usize) {
        self.witness.seen().has_stopped |= WORKERS.contains(&role);
        if self.profile.is_one_process() && !self.witness.seen().windows.is_empty() {
            self.witness.reached(Failure::Killed);
        }
    }

    /// What a process that begins its life works with.
    async fn context(&self, life: &Arc<Life>, options: &Options) -> anyhow::Result<Context> {
        let link = BrokerLink {
            rates: Arc::clone(&self.rates),
            life: Arc::clone(life),
            witness: Arc::clone(&self.witness),
        };
        if self.profile.is_one_process() {
            let context = coordinator::state::context(options).await?;
            *locked(&self.own_store) = Some(Arc::clone(&context.store));
            let (inner, store) = (Arc::clone(&context.queue), Arc::clone(&context.store));
            let queue = Arc::new(SimQueue { inner, store: Arc::clone(&store), link: link.clone() });
            return Ok(Context { queue, store: Arc::new(SimStore { inner: store, link }), ..context });
        }
        let access = BTreeMap::from([(options.alias.clone(), options.access.clone())]);
        let (inner, store) = (Arc::clone(&self.queue), Arc::clone(&self.store));
        let queue = Arc::new(SimQueue { inner, store: Arc::clone(&store), link: link.clone() });
        let store: Arc<dyn Store> = Arc::new(SimStore { inner: store, link: link.clone() });
        let objects: Arc<dyn ObjectStore> = Arc::new(SimObjects { link });
        Ok(Context {
            queue,
            history_store: Arc::clone(&store),
            store,
            distributed: true,
            max_inflight_tasks: 8,
            backups: Arc::new(BackupTargets::new([], Some(objects))),
            ..Context::in_process(access, Timing::default())
        })
    }
}

/// Whether a run was refused because it would delete too many keys.
fn is_over_limit(error: &anyhow::Error) -> bool {
    let refusal = match error.downcast_ref::<SubmitError>() {
        Some(SubmitError::Run(refusal)) => Some(refusal),
        _ => error.downcast_ref::<RunError>(),
    };
    matches!(refusal, Some(RunError::TooMany { .. } | RunError::TooManyOfRule { .. }))
}

async fn one_life(shared: &Shared, life: &Arc<Life>, options: &Options, role: usize) -> anyhow::Result<()> {
    let (context, never) = (shared.context(life, options).await?, CancellationToken::new());
    match PROCESSES[role].split(' ').next() {
        Some("cli") if shared.profile.is_one_process() => run_alone(shared, &context, options).await?,
        Some("cli") => ask(&context, options).await?,
        Some("coordinator") => coordinate(&context, options, PROCESSES[role], shared).await?,
        Some("scanner") => Scanner::new(context, never).run(2).await?,
        Some("reaper") => Reaper::new(context, never).run(2).await?,
        _ => reporter::run(&context, never).await?,
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

/// Plans a run and carries it out, as `keysweep run` does.
async fn run_alone(shared: &Shared, context: &Context, options: &Options) -> anyhow::Result<()> {
    *locked(&shared.own_run) = None;
    let run = RunId::new();
    let mut plan = preflight(options, run, now_ms()).await?;
    plan.try_out(options).await?;
    *locked(&shared.own_run) = Some(run);
    let (progress, _) = watch::channel(Progress::start(embedded::keys(&plan)));
    let result = embedded::run(context, options, &plan, progress).await?;
    let cancel = context.records(result.run_id).cancel().await?.map(|cancel| cancel.kind);
    *locked(&shared.result) = Some((result, cancel));
    Ok(())
}

/// Drives the run of the job whenever no other process does.
async fn coordinate(context: &Context, options: &Options, name: &str, shared: &Shared) -> anyhow::Result<()> {
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
            if observed.record.phase == LeasePhase::Driven {
                shared.witness.taken_over();
            }
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
