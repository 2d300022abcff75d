//! The preflight of a run: discovers nodes, checks permissions, and estimates what the run would delete. It sends no
//! write, and no script that could write; `keysweep plan` does nothing else.

mod build_plan;
mod error;

use std::sync::Arc;

use keysweep_http::Integrations;
use keysweep_model::ids::{NodeId, RunId};
use keysweep_model::memory::ByteEstimate;
use keysweep_model::messages::{AsReplica, DeleteBackend, Guards, Measure, RunSpec, ScanTask, Verify};
use keysweep_model::slot::SlotSet;
use keysweep_model::time::now_ms;
use keysweep_policy::{Fact, FactSet};
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
pub use crate::rule_estimate::RuleEstimate;
use crate::run_time::RunTime;
use build_plan::PlanBuilder;
pub use error::PreflightError;
pub(crate) use error::no_database;

/// The plan of a run, node by node.
pub struct Preflight {
    /// The spec of the run.
    pub spec: RunSpec,
    /// Its scan tasks.
    pub tasks: Vec<ScanTask>,
    /// One row per node.
    pub nodes: Vec<NodePreflight>,
    /// Slots that no node serves.
    pub missing: SlotSet,
    /// The sum over the nodes.
    pub estimate: Estimate,
    /// What is expected of each rule; empty if the job has the short form of one.
    pub rules: Vec<RuleEstimate>,
    /// The memory that the deletions would free; if the run only reports keys, the memory of those. `None` if unknown.
    pub freed: Option<ByteEstimate>,
    /// The active users, to be stored with the run; `None` if inactive ones are not looked for.
    pub users: Option<Arc<ActiveUsers>>,
    /// Counters of servers and application before the run.
    pub sample: CounterSnapshot,
    /// Why it is unknown whether the run may write; `None` if it is known, or the run does not write.
    pub rights_unchecked: Option<String>,
    /// The connections of the preflight, until the run begins.
    pub deployment: Option<Box<RedisClient>>,
    /// The time limit of the run.
    pub time: RunTime,
}

/// A node in the plan.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodePreflight {
    /// Its identity.
    pub node: NodeId,
    /// `host:port`.
    pub address: String,
    /// Version, for display.
    pub version: String,
    /// Slots that it serves.
    pub slots: u64,
    /// Keys in its database.
    pub keys: u64,
    /// Those without TTL, of any pattern.
    pub keys_without_ttl: u64,
    /// Whether its keys are skipped, because all have a TTL.
    pub skipped: bool,
    /// Scan tasks.
    pub tasks: u64,
    /// The node that its keys are read from, if replicas are enabled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_from: Option<PlannedSource>,
    /// Its replication state, if it is a replica itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replica: Option<AsReplica>,
    /// The most frequent prefixes of its keys, of any pattern.
    #[serde(skip)]
    pub names: NameSample,
    /// The estimate from the sample.
    #[serde(flatten)]
    pub estimate: Estimate,
}

/// Runs the preflight for `options`. A caller that asks for confirmation does so between the plan and the run:
///
/// ```no_run
/// use coordinator::embedded::{self, check_deletions};
/// use coordinator::drive::Progress;
/// use coordinator::preflight::preflight;
/// use keysweep_model::{ids::RunId, time::now_ms};
///
/// # async fn example(options: coordinator::options::Options) -> Result<(), Box<dyn std::error::Error>> {
/// let mut plan = preflight(&options, RunId::new(), now_ms()).await?;
/// check_deletions(&options, &plan)?;
/// println!("{} keys would be deleted", plan.estimate.deletions(options.rules.action));
/// plan.try_out(&options).await?;
/// let (progress, _) = tokio::sync::watch::channel(Progress::start(embedded::keys(&plan)));
/// let result = embedded::run(&embedded::context(&options), &options, &plan, progress).await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When the run cannot start.
pub async fn preflight(options: &Options, run: RunId, now_ms: u64) -> Result<Preflight, PreflightError> {
    let time = RunTime::begin(now_ms, options.max_runtime);
    Box::pin(preflight_with_progress(options, run, time, &PlanProgress::default())).await
}

/// [`preflight`] for a run whose `time` has begun; reports its progress to `planning`.
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
    let mut around = PlanBuilder::new(&client, options, planning)?;
    let met = around.check_nodes(&topology).await?;
    let scripts_refused = met.iter().find_map(|there| there.rights.scripts_refused.clone());
    let rights_unchecked = met.iter().find_map(|there| there.rights.unchecked.clone());
    // Before the first sample of keys, which depends on it, and after the counters were read, which it changes.
    let mut activity = around.read_activity(&met).await;
    let listed = around.list(met, &activity).await?;
    activity.learn_prefixes(&around.keys_of_users(&listed));
    let users = around.sampled_users(&listed, &activity);
    activity.check_sample(&users);
    let mut found = around.classify(listed, &activity, run).await?;
    let rules = activity.rules(&options.rules);
    if rules.inactive.is_none() {
        found.nodes.iter_mut().for_each(|row| row.estimate.inactive_keys = None);
    }
    let estimate = Estimate::sum(found.nodes.iter().map(|row| row.estimate));
    let (asked, facts) = (options.spec(run, now_ms), around.facts());
    let measure = estimate.measure(options.rules.action);
    let spec = RunSpec {
        cluster: topology.cluster,
        rules,
        nodes: found.planned,
        guards: Guards { deletions_max: estimate.cap(options.max_delete_percent), ..asked.guards },
        rule_deletions_max: caps(options, &found.rules),
        inactive_refused: activity.refused,
        sampled_users: Some(users.counts()).filter(|met| met.keys > 0),
        scripts_refused,
        unreachable_nodes: around.down.into_nodes(),
        measure: Measure {
            whole: measure.whole || options.measures_all,
            used_memory: found.used_memory,
            ..measure
        },
        ..asked
    };
    let reads = reads(&spec, facts);
    Ok(Preflight {
        spec,
        tasks: found.tasks,
        nodes: found.nodes,
        missing: if topology.cluster { found.missing } else { SlotSet::new() },
        estimate,
        rules: found.rules,
        freed: found.freed,
        users: activity.known.map(|known| known.users),
        sample: CounterSnapshot { nodes: found.readings, reads, ..begin },
        rights_unchecked,
        deployment: Some(Box::new(client)),
        time,
    })
}

/// The most deletions by each rule.
fn caps(options: &Options, rules: &[RuleEstimate]) -> Vec<Option<u64>> {
    rules.iter().enumerate().map(|(at, rule)| rule.cap(options.rule_limit(at))).collect()
}

/// Which values a run of `spec` reads.
fn reads(spec: &RunSpec, facts: FactSet) -> RunReads {
    let values = spec.backup.is_some()
        || facts.contains(Fact::Length)
        || spec.rules.verify == Verify::Value
        || spec.delete_backend() != DeleteBackend::Lua;
    if values { RunReads::Values } else { RunReads::Scripts }
}

/// A snapshot of the counters of servers and application. Problems with the latter are shown in the result.
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
        tracing::warn!(error = %e, "failed to store a counter snapshot, the hit rate may be off");
    }
}

impl Preflight {
    /// Whether a run of this plan would cover everything, as far as is known in advance: every slot is served, and no
    /// replica is read that has lost its primary.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let linked = |node: &NodePreflight| node.replica.as_ref().is_none_or(AsReplica::is_linked);
        self.missing.is_empty() && self.nodes.iter().all(linked)
    }

    /// Stores the snapshot, so that our own lookups are known. If that fails, the hit rate is less exact.
    pub async fn note(&self, context: &Context) {
        keep(context, self.sample.clone()).await;
    }

    /// The same for a plan without a run.
    pub async fn note_plan(&self, context: &Context) {
        keep(context, CounterSnapshot { reads: RunReads::Nothing, ..self.sample.clone() }).await;
    }

    /// Stores the planned run in its `records`; the spec last, so that a run with a spec is complete.
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
