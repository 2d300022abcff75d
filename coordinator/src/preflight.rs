//! The look around before a run: what is there, whether we may do what we are about to do, and how much that
//! would be. Nothing that is sent is a write, or a script that could be one; it is all that `keysweep plan` does.

mod build_plan;
mod error;

use std::sync::Arc;

use keysweep_http::Integrations;
use keysweep_model::ids::{NodeId, RunId};
use keysweep_model::memory::ByteEstimate;
use keysweep_model::messages::{AsReplica, DeleteBackend, Guards, Measure, RunSpec, ScanTask, Verify};
use keysweep_model::slot::SlotSet;
use keysweep_model::time::now_ms;
use keysweep_redis::RedisClient;
use keysweep_redis::health::HealthCheck;
use keysweep_runtime::activity::ActiveUsers;
use keysweep_runtime::collect::{self, SnapshotMeta};
use keysweep_runtime::context::Context;
use keysweep_storage::counter_snapshot::{self, CounterSnapshot, RunReads, SnapshotPhase};
use keysweep_storage::records::{RecordError, Records};
use scanner::name_sample::NameSample;
use serde::Serialize;

use crate::discover::discover;
use crate::estimate::Estimate;
use crate::options::Options;
use crate::plan_progress::PlanProgress;

pub use crate::planned_source::PlannedSource;
use crate::run_time::RunTime;
use build_plan::PlanBuilder;
pub use error::PreflightError;
pub(crate) use error::no_database;

/// What a run would do, node by node.
pub struct Preflight {
    /// The run as it would be started.
    pub spec: RunSpec,
    /// Its tasks.
    pub tasks: Vec<ScanTask>,
    /// One row per node.
    pub nodes: Vec<NodePreflight>,
    /// Slots that nobody serves.
    pub missing: SlotSet,
    /// The sum over the nodes.
    pub estimate: Estimate,
    /// The memory that deleting what would be deleted frees; if nothing would be, because keys are only reported, the
    /// memory of those. `None` if it is not known.
    pub freed: Option<ByteEstimate>,
    /// The users who are active, to be stored with the run; `None` if inactive ones are not looked for.
    pub users: Option<Arc<ActiveUsers>>,
    /// What servers and application had counted before.
    pub sample: CounterSnapshot,
    /// Why it is not known whether the run may write, if it would and it is not.
    pub rights_unchecked: Option<String>,
    /// The connections over which it looked, until the run begins.
    pub deployment: Option<Box<RedisClient>>,
    /// The time of the run.
    pub time: RunTime,
}

/// A node's part of a survey.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodePreflight {
    /// Its identity.
    pub node: NodeId,
    /// `host:port`.
    pub address: String,
    /// Version, for people.
    pub version: String,
    /// Slots that it serves.
    pub slots: u64,
    /// Keys in its database.
    pub keys: u64,
    /// Those without TTL, of whatever pattern.
    pub keys_without_ttl: u64,
    /// Whether its keys need no look, because none is without TTL.
    pub skipped: bool,
    /// Scan tasks.
    pub tasks: u64,
    /// Whom its keys are read from, if replicas are asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_from: Option<PlannedSource>,
    /// How it stands with its primary, if it is a replica itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replica: Option<AsReplica>,
    /// What its keys are called, of whatever pattern.
    #[serde(skip)]
    pub names: NameSample,
    /// What the sample says.
    #[serde(flatten)]
    pub estimate: Estimate,
}

/// Looks around for a run with `options`.
///
/// # Errors
/// When the run cannot start.
pub async fn preflight(options: &Options, run: RunId, now_ms: u64) -> Result<Preflight, PreflightError> {
    let time = RunTime::begin(now_ms, options.max_runtime);
    Box::pin(preflight_with_progress(options, run, time, &PlanProgress::default())).await
}

/// [`preflight`] for a run whose `time` has begun, which says in `planning` what it does.
///
/// # Errors
/// When the run cannot start.
pub async fn preflight_with_progress(
    options: &Options,
    run: RunId,
    time: RunTime,
    planning: &PlanProgress,
) -> Result<Preflight, PreflightError> {
    time.within("the plan was made", inspect_nodes(options, run, time, planning)).await
}

async fn inspect_nodes(
    options: &Options,
    run: RunId,
    time: RunTime,
    planning: &PlanProgress,
) -> Result<Preflight, PreflightError> {
    let now_ms = time.started_at_ms;
    let client = discover(options).await.map_err(|fault| no_database(options.access.db, false, fault))?;
    let topology = client.topology();
    if topology.primaries.is_empty() {
        return Err(PreflightError::NoSlots);
    }
    let begin = counted_before(&client, options, run, now_ms).await;
    let mut around = PlanBuilder::new(&client, options, planning);
    let met = around.meet(&topology).await?;
    let scripts_refused = met.iter().find_map(|there| there.rights.scripts_refused.clone());
    let rights_unchecked = met.iter().find_map(|there| there.rights.unchecked.clone());
    // Before the first sample of keys, which depends on it, and after the counters were read, which it changes.
    let mut activity = around.read_activity(&met).await;
    let listed = around.list(met, &activity).await?;
    activity.learn_prefixes(&listed.iter().flat_map(|(_, listed)| listed.expiring()).collect::<Vec<_>>());
    let mut found = around.classify(listed, &activity, run).await?;
    let mut rules = activity.rules(&options.rules);
    if !activity.check_sample(&found.users, &mut rules) {
        // It was estimated with keys of inactive users.
        found.freed = None;
    }
    if rules.inactive.is_none() {
        found.nodes.iter_mut().for_each(|row| row.estimate.inactive_keys = None);
    }
    let estimate = Estimate::sum(found.nodes.iter().map(|row| row.estimate));
    let asked = options.spec(run, now_ms);
    let spec = RunSpec {
        cluster: topology.cluster,
        rules,
        nodes: found.planned,
        guards: Guards { deletions_max: estimate.cap(options.max_delete_percent), ..asked.guards },
        inactive_refused: activity.refused,
        sampled_users: Some(found.users.counts()).filter(|met| met.keys > 0),
        scripts_refused,
        unreachable_nodes: around.down.into_nodes(),
        measure: Measure { used_memory: found.used_memory, ..estimate.measure(options.rules.action) },
        ..asked
    };
    let reads = reads(&spec);
    Ok(Preflight {
        spec,
        tasks: found.tasks,
        nodes: found.nodes,
        missing: if topology.cluster { found.missing } else { SlotSet::new() },
        estimate,
        freed: found.freed,
        users: activity.known.map(|known| known.users),
        sample: CounterSnapshot { nodes: found.readings, reads, ..begin },
        rights_unchecked,
        deployment: Some(Box::new(client)),
        time,
    })
}

/// Which values a run of `spec` reads.
fn reads(spec: &RunSpec) -> RunReads {
    let values = spec.backup.is_some()
        || spec.rules.verify == Verify::Value
        || spec.delete_backend() != DeleteBackend::Lua;
    if values { RunReads::Values } else { RunReads::Scripts }
}

/// A sample with what the application itself has counted so far. What is wrong with that, the result says.
async fn counted_before(client: &RedisClient, options: &Options, run: RunId, now_ms: u64) -> CounterSnapshot {
    let outside = Integrations::new([(options.job.clone(), options.integrations.clone())]);
    let source = &options.application.hit_rate;
    let application = collect::application_counters(client, source, (&outside, &options.job)).await;
    let purpose = SnapshotMeta {
        job: options.job.clone(),
        redis: options.alias.clone(),
        run: Some(run),
        phase: SnapshotPhase::Begin,
    };
    purpose.snapshot(&HealthCheck::default(), application.ok().flatten(), now_ms)
}

async fn keep(context: &Context, sample: CounterSnapshot) {
    if let Err(e) = counter_snapshot::create(&*context.history_store, sample).await {
        tracing::warn!(error = %e, "failed to keep a sample, the hit rate may be off");
    }
}

impl Preflight {
    /// Whether a run of it would read everything, as far as can be known before: every slot is served, and no replica is
    /// read that lost its primary.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let linked = |node: &NodePreflight| node.replica.as_ref().is_none_or(AsReplica::is_linked);
        self.missing.is_empty() && self.nodes.iter().all(linked)
    }

    /// Keeps the sample, so that our own look-ups are known. If that fails, the hit rate is less exact.
    pub async fn note(&self, context: &Context) {
        keep(context, self.sample.clone()).await;
    }

    /// The same where only a plan was asked for, which ends with it.
    pub async fn note_plan(&self, context: &Context) {
        keep(context, CounterSnapshot { reads: RunReads::Nothing, ..self.sample.clone() }).await;
    }

    /// Stores the run that was planned, in its `records`; its spec last, so that a run that is there is whole.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn store(&self, records: &Records) -> Result<(), RecordError> {
        if let Some(users) = &self.users {
            keysweep_runtime::activity::store(records, users).await?;
        }
        let guards = Guards { runtime_from_ms: Some(self.time.counts_from_ms(now_ms())), ..self.spec.guards };
        let spec = RunSpec { guards, ..self.spec.clone() };
        records.create_plan(&spec, &self.tasks).await.map(drop)
    }
}
