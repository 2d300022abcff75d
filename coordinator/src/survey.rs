//! The look around before a run: what is there, whether we may do what we are about to do, and how much that
//! would be. Nothing that is sent is a write, or a script that could be one; it is all that `keysweep plan` does.

use std::sync::Arc;

use scanner::Selector;
use scanner::names::Names;
use serde::Serialize;
use shared::activity::ActiveUsers;
use shared::at_once::at_once;
use shared::cluster::health::Look;
use shared::cluster::{Deployment, Fault, FaultKind};
use shared::env::Env;
use shared::ids::{NodeId, RunId};
use shared::limits::{SAMPLE_KEYS, SAMPLE_KEYS_LEAST, SAMPLE_KEYS_SUM};
use shared::memory::ByteEstimate;
use shared::messages::{Guards, Measure, Rules, RunSpec, ScanTask};
use shared::pace::Breaks;
use shared::records::{RecordError, Records};
use shared::samples::{self, Moment, Sample};
use shared::sampling::{self, Purpose};
use shared::slot::SlotSet;
use shared::web::Outside;
use thiserror::Error;

use crate::activity;
use crate::discover::discover;
use crate::down::Down;
use crate::estimate::Estimate;
use crate::look::{LookedAt, Looking, look_at};
use crate::meet::{Met, meet};
use crate::options::Options;
use crate::plan::Planner;
pub use crate::planned_source::PlannedSource;
use crate::planning::{Planning, Step};
use crate::users_met::UsersMet;

/// Why a run cannot start.
#[derive(Debug, Error)]
pub enum SurveyError {
    /// A server failed.
    #[error("{}", with_way_out(.0))]
    Redis(#[from] Fault),
    /// The cluster has no numbered databases.
    #[error(
        "`--db {db}`: the cluster of redis at `{address}` has only database 0; leave `--db` out (clusters have others \
         from Valkey 9 on, if `cluster-databases` says so)"
    )]
    OneDatabase {
        /// The server.
        address: String,
        /// The database asked for.
        db: u32,
    },
    /// The server has fewer databases.
    #[error("`--db {db}`: redis at `{address}` has no such database; `CONFIG GET {setting}` says how many")]
    NoDatabase {
        /// The server.
        address: String,
        /// The database asked for.
        db: u32,
        /// The server's setting that says how many it has.
        setting: &'static str,
    },
    /// The server is too old.
    #[error(
        "redis at `{address}` is {version}; this version of keysweep needs Redis 6.2 or newer, or Valkey"
    )]
    TooOld {
        /// The server.
        address: String,
        /// Its version.
        version: String,
    },
    /// The address is that of a replica.
    #[error(
        "redis at `{address}` is a replica and takes no writes; give the address of its primary, `{primary}`"
    )]
    Replica {
        /// The replica.
        address: String,
        /// Its primary.
        primary: String,
    },
    /// The user may not do what a run does.
    #[error(
        "user `{user}` lacks rights on redis at `{address}`: {commands}; allow them with `ACL SETUSER {user} {rules}`"
    )]
    Rights {
        /// The server.
        address: String,
        /// Our user there.
        user: String,
        /// The commands, with what the server said.
        commands: String,
        /// The rules that are missing.
        rules: String,
    },
    /// The server does not have commands that a run takes.
    #[error(
        "redis at `{address}` has no command {commands}: renamed or switched off there (`rename-command` in its \
         configuration), and a run cannot do without"
    )]
    Commands {
        /// The server.
        address: String,
        /// The commands, each in backticks.
        commands: String,
    },
    /// Nobody serves any slot.
    #[error("the cluster serves no slot at all; see `redis-cli --cluster check`")]
    NoSlots,
}

/// A fault, and what somebody can do about it.
fn with_way_out(fault: &Fault) -> String {
    let hint = match fault.kind {
        FaultKind::Unreachable => "check `--redis` or `REDIS_URL`, and that the server is running",
        FaultKind::Lost => {
            "check that `--redis` or `REDIS_URL` names a Redis server, and that it is not stuck"
        }
        FaultKind::Protocol => "check the host and the port in `--redis` or `REDIS_URL`",
        FaultKind::Forbidden => {
            let rule = fault.rule().map(|rule| format!("; allow it with the ACL rule `{rule}`"));
            return format!("{fault}{}", rule.unwrap_or_default());
        }
        FaultKind::NotReady => "try again when it is; `redis-cli INFO` and `CLUSTER INFO` say more",
        FaultKind::Full => {
            "raise `maxclients` there, or close connections that `redis-cli CLIENT LIST` shows"
        }
        FaultKind::TooLarge => {
            "raise the limit of `normal` clients there (`CONFIG GET client-output-buffer-limit`)"
        }
        FaultKind::NotWritable => "try again when it takes writes, or look only, with `--dry-run`",
        // They name their own way out.
        FaultKind::Tls | FaultKind::Misnamed => return fault.to_string(),
        FaultKind::Authentication if fault.detail.contains("--sentinel-user") => return fault.to_string(),
        FaultKind::Authentication => {
            "check `--user`, and the password in `--password-file`, `REDISCLI_AUTH` or the URL"
        }
        FaultKind::Refused if fault.is_unknown_command() => {
            "the command was renamed or switched off there (`rename-command` in its configuration), and keysweep cannot \
             do without"
        }
        FaultKind::Moved | FaultKind::NoScript | FaultKind::Stranger | FaultKind::Refused => {
            return fault.to_string();
        }
    };
    format!("{fault}; {hint}")
}

/// What a run would do, node by node.
pub struct Survey {
    /// The run as it would be started.
    pub spec: RunSpec,
    /// Its tasks.
    pub tasks: Vec<ScanTask>,
    /// One row per node.
    pub nodes: Vec<NodeSurvey>,
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
    pub sample: Sample,
    /// Why it is not known whether the run may write, if it would and it is not.
    pub rights_unchecked: Option<String>,
    /// The connections over which it looked, until the run begins.
    pub deployment: Option<Box<Deployment>>,
}

/// A node's part of a survey.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeSurvey {
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
    /// What its keys are called, of whatever pattern.
    #[serde(skip)]
    pub names: Names,
    /// What the sample says.
    #[serde(flatten)]
    pub estimate: Estimate,
}

/// Looks around for a run with `options`.
///
/// # Errors
/// When the run cannot start.
pub async fn survey(options: &Options, run: RunId, now_ms: u64) -> Result<Survey, SurveyError> {
    survey_telling(options, run, now_ms, &Planning::default()).await
}

/// [`survey`], which says in `planning` what it does.
///
/// # Errors
/// When the run cannot start.
pub async fn survey_telling(
    options: &Options,
    run: RunId,
    now_ms: u64,
    planning: &Planning,
) -> Result<Survey, SurveyError> {
    let deployment = discover(options).await.map_err(|fault| no_database(options.access.db, false, fault))?;
    let topology = deployment.topology();
    if topology.primaries.is_empty() {
        return Err(SurveyError::NoSlots);
    }
    // What is wrong with it, the result says.
    let outside = Outside::new([(options.job.clone(), options.reach())]);
    let source = &options.application.hit_rate;
    let application =
        sampling::application(&deployment, source, (&outside, &options.job)).await.ok().flatten();
    let purpose = Purpose {
        job: options.job.clone(),
        redis: options.alias.clone(),
        run: Some(run),
        moment: Moment::Begin,
    };
    let begin = purpose.sample(&Look::default(), application, now_ms);
    let planner = Planner { run, alias: options.alias.clone(), replans: 0, round: 0 };
    let mut down =
        Down { primaries: topology.primaries.len(), slots: SlotSet::new(), left_out: Vec::new(), last: None };
    planning.at(Step::Checking { servers: topology.primaries.len() });
    let mut met = Vec::new();
    let meeting = topology.primaries.iter().map(|primary| {
        let met = meet(&deployment, primary, options, topology.cluster);
        async move { (primary, met.await) }
    });
    for (primary, there) in at_once(meeting.collect()).await {
        met.extend(down.unless_down(primary, there)?);
    }
    let scripts_refused = met.iter().find_map(|there: &Met<'_>| there.rights.scripts_refused.clone());
    let rights_unchecked = met.iter().find_map(|there: &Met<'_>| there.rights.unchecked.clone());
    // Before the first sample of keys, which depends on it, and after the counters were read, which it changes.
    let mut activity = match options.looks_for_inactive() {
        Some(order) => {
            planning.at(Step::ReadingActivity);
            activity::find_out(&deployment, order, met.iter().map(|there: &Met<'_>| &there.status)).await
        }
        None => activity::Found::default(),
    };
    let mut rules =
        Rules { inactive: activity.known.as_ref().map(|known| known.rule.clone()), ..options.rules.clone() };
    let selector = Selector::new(&rules, activity.known.as_ref().map(|known| &known.activity));
    let (mut planned, mut tasks, mut nodes, mut readings) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut missing, mut users_met) = (SlotSet::all(), UsersMet::default());
    let (mut freed, mut used_memory) = (Some(ByteEstimate::NOTHING), Some(0_u64));
    let sampled_max = (SAMPLE_KEYS_SUM / met.len().max(1) as u64).clamp(SAMPLE_KEYS_LEAST, SAMPLE_KEYS);
    let breaks = Breaks::of(&options.pace);
    planning.at(Step::Looking { done: 0, of: met.len(), slots: topology.cluster });
    let looking = met.into_iter().map(|there| {
        let (deployment, selector, cluster) = (&deployment, &selector, topology.cluster);
        // Where nobody's keys are looked for but those without TTL, a node without such keys has none for us.
        let status = &there.status;
        let skip =
            !options.every_key && !options.aggressive && status.keys > 0 && status.expires >= status.keys;
        let looking =
            Looking { skip, sampled_max, action: rules.action, inactive: rules.inactive.is_some(), breaks };
        async move {
            let looked = look_at((deployment, &there), selector, cluster, looking).await;
            planning.looked();
            (there, looked.map_err(SurveyError::from))
        }
    });
    for (there, looked) in at_once(looking.collect()).await {
        missing = missing.difference(&there.primary.slots);
        let Some(looked) = down.unless_down(there.primary, looked)? else { continue };
        let LookedAt { node, keys, mut row, mut reading, freed: its_freed, used_memory: its_memory, users } =
            looked;
        users_met.add(users);
        freed = freed.zip(its_freed).map(|(sum, its)| sum.plus(its));
        used_memory = used_memory.zip(its_memory).map(|(sum, its)| sum.saturating_add(its));
        for (_, own) in activity.lookups.iter().filter(|(at, _)| *at == node.node) {
            reading.own_after += *own;
        }
        readings.push(reading);
        let its_tasks = match (row.skipped, topology.cluster) {
            (true, _) => vec![planner.skipped(&keys, &there.primary.slots)],
            (false, true) => planner.slots(&keys, &SlotSet::new()),
            (false, false) => planner.database(&keys),
        };
        row.tasks = its_tasks.len() as u64;
        planned.push(node);
        nodes.push(row);
        tasks.extend(its_tasks);
    }
    missing = missing.union(&down.slots);
    if let (true, Some(fault)) = (planned.is_empty(), down.last) {
        let all = format!(
            "{}, like all {} primaries of the cluster; if the addresses that it announces mean nothing from here, say \
             where they are with `--nat`",
            fault.detail, down.primaries
        );
        return Err(Fault { detail: all, ..fault }.into());
    }
    if !activity.settle(&users_met, &mut rules) {
        // What would be freed was estimated with keys of inactive users.
        nodes.iter_mut().for_each(|row| row.estimate.inactive_keys = 0);
        freed = None;
    }
    let estimate = Estimate::sum(nodes.iter().map(|row| row.estimate));
    let asked = options.spec(run, now_ms);
    let spec = RunSpec {
        cluster: topology.cluster,
        rules,
        nodes: planned,
        guards: Guards { deletions_max: estimate.cap(options.max_delete_percent), ..asked.guards },
        inactive_refused: activity.refused,
        scripts_refused,
        left_out: down.left_out,
        measure: Measure { used_memory, ..estimate.measure(options.rules.action) },
        ..asked
    };
    let missing = if topology.cluster { missing } else { SlotSet::new() };
    let users = activity.known.map(|known| known.users);
    let sample = Sample { nodes: readings, ..begin };
    Ok(Survey {
        spec,
        tasks,
        nodes,
        missing,
        estimate,
        freed,
        users,
        sample,
        rights_unchecked,
        deployment: Some(Box::new(deployment)),
    })
}

impl Survey {
    /// Keeps the sample, so that our own look-ups are known. If that fails, the hit rate is less exact.
    pub async fn note(&self, env: &Env) {
        if let Err(e) = samples::create(&*env.past, self.sample.clone()).await {
            tracing::warn!(error = %e, "failed to keep a sample, the hit rate may be off");
        }
    }

    /// Stores the run that was planned, in its `records`; its spec last, so that a run that is there is whole.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn store(&self, records: &Records) -> Result<(), RecordError> {
        if let Some(users) = &self.users {
            shared::activity::store(records, users).await?;
        }
        records.create_plan(&self.spec, &self.tasks).await.map(drop)
    }
}

/// A fault that is about the database that was asked for, as such. Whether a cluster has it, its servers say when they
/// are asked for it.
pub(crate) fn no_database(db: u32, cluster: bool, fault: Fault) -> SurveyError {
    if fault.detail.contains("SELECT is not allowed in cluster mode") {
        return SurveyError::OneDatabase { address: fault.address, db };
    }
    if fault.detail.contains("DB index is out of range") {
        let setting = if cluster { "cluster-databases" } else { "databases" };
        return SurveyError::NoDatabase { address: fault.address, db, setting };
    }
    fault.into()
}
