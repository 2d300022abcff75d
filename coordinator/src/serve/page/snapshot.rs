//! What viewers of the page see. The shapes of `GET /api/live`. Pure.

use std::collections::BTreeMap;

use keysweep_model::ids::RunId;
use keysweep_model::messages::Attempt;
use keysweep_model::metrics::Severity;
use keysweep_model::result::Status;
use schemars::JsonSchema;
use schemars::generate::SchemaGenerator;
use serde::Serialize;
use serde_json::{Value, json};

use crate::drive::RunDetail;

/// The name of the event that has a whole snapshot.
pub(in crate::serve) const SNAPSHOT: &str = "snapshot";

/// The name of the event that has those fields of it that have changed.
pub(in crate::serve) const PATCH: &str = "patch";

/// One state of the page.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::serve) struct Snapshot {
    /// The jobs, in the order of the job file.
    pub(in crate::serve) jobs: Vec<JobRow>,
    /// The runs in progress, the newest first.
    pub(in crate::serve) running: Vec<Running>,
    /// Where they are, by run. Only of runs whose process shows it: in the state file, or because this process drives them.
    pub(in crate::serve) details: BTreeMap<RunId, RunDetail>,
    /// The last runs, those in progress included, the newest first.
    pub(in crate::serve) runs: Vec<RunRow>,
    /// The alerts that are firing.
    pub(in crate::serve) alerts: Vec<AlertRow>,
    /// The alerts that were resolved last, the newest first.
    pub(in crate::serve) resolved: Vec<ResolvedRow>,
    /// The workers and their queues; null if this service does their work itself.
    pub(in crate::serve) workers: Option<Workers>,
    /// Why the rest may be out of date; null if it is not.
    pub(in crate::serve) problem: Option<String>,
}

/// A job and its schedule.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::serve) struct JobRow {
    /// Its name.
    pub(in crate::serve) job: String,
    /// The alias of its deployment.
    pub(in crate::serve) redis: String,
    /// The schedule in words.
    pub(in crate::serve) schedule: String,
    /// The cron expression, or `auto`.
    pub(in crate::serve) cron: String,
    /// The next time by the schedule, RFC 3339; null if there is none.
    pub(in crate::serve) next_due: Option<String>,
    /// The next attempt, if the last one has failed.
    pub(in crate::serve) next_attempt: Option<AttemptRow>,
    /// Why the next run is due then, with `auto`; null with a cron expression. Its wording can change between versions.
    pub(in crate::serve) decided: Option<String>,
    /// Whether one run makes up for times at which no service was running.
    pub(in crate::serve) catch_up: bool,
    /// What a run does to stale keys: `delete`, `expire` or `report`; `rules` if each rule of the job states it.
    pub(in crate::serve) action: &'static str,
    /// Whether its runs change nothing unless a request asks for it.
    pub(in crate::serve) dry_run: bool,
    /// The patterns of keys that it never touches; null if one of them is not plain text.
    pub(in crate::serve) protect: Option<Vec<String>>,
}

/// An attempt that waits for its time.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::serve) struct AttemptRow {
    /// RFC 3339.
    pub(in crate::serve) due: String,
    /// Which one it is.
    pub(in crate::serve) attempt: Attempt,
}

/// A run in a line.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::serve) struct RunRow {
    /// Its id.
    pub(in crate::serve) run_id: RunId,
    /// The name of its job.
    pub(in crate::serve) job: String,
    /// Null while it is in progress.
    pub(in crate::serve) status: Option<Status>,
    /// RFC 3339.
    pub(in crate::serve) started_at: String,
    /// RFC 3339; null while it is in progress.
    pub(in crate::serve) finished_at: Option<String>,
    /// The user or service that started it.
    pub(in crate::serve) started_by: String,
    /// Whether it changes nothing.
    pub(in crate::serve) dry_run: bool,
    /// Stale keys; null while it is in progress.
    #[serde(rename = "staleTTLKeys")]
    pub(in crate::serve) stale_ttl_keys: Option<u64>,
    /// Deleted keys; null while it is in progress.
    pub(in crate::serve) cleaned_keys: Option<u64>,
    /// Why it failed or was stopped.
    pub(in crate::serve) cause: Option<String>,
}

/// A run in progress.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::serve) struct Running {
    /// Its line.
    #[serde(flatten)]
    pub(in crate::serve) run: RunRow,
    /// How far it is.
    #[serde(flatten)]
    pub(in crate::serve) progress: ProgressRow,
}

/// How far a run is. What is unknown is null.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::serve) struct ProgressRow {
    /// Its phase.
    pub(in crate::serve) state: Option<&'static str>,
    /// Keys that the plan expects to list.
    pub(in crate::serve) keys: Option<u64>,
    /// Keys listed so far, matching or not.
    pub(in crate::serve) listed_keys: Option<u64>,
    /// Matching keys without TTL so far.
    pub(in crate::serve) stale_so_far: Option<u64>,
    /// Keys deleted so far.
    pub(in crate::serve) deleted_so_far: Option<u64>,
    /// When its process said so, RFC 3339.
    pub(in crate::serve) as_of: Option<String>,
}

/// An alert that is firing.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::serve) struct AlertRow {
    /// The name of its job.
    pub(in crate::serve) job: String,
    /// Its name.
    pub(in crate::serve) alert: String,
    /// Its severity.
    pub(in crate::serve) severity: Severity,
    /// The text for people.
    pub(in crate::serve) message: String,
    /// RFC 3339.
    pub(in crate::serve) since: String,
}

/// An alert that has been resolved.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::serve) struct ResolvedRow {
    /// The alert as it was.
    #[serde(flatten)]
    pub(in crate::serve) alert: AlertRow,
    /// RFC 3339.
    pub(in crate::serve) resolved_at: String,
}

/// The workers of a service over NATS.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::serve) struct Workers {
    /// The queues between coordinator and workers.
    pub(in crate::serve) queues: Vec<QueueRow>,
    /// Processes that have said in the last ten minutes that they work, by role.
    pub(in crate::serve) workers: Vec<WorkerRow>,
}

/// A work queue. Numbers are null if it does not answer.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::serve) struct QueueRow {
    /// `tasks` or `batches`.
    pub(in crate::serve) queue: &'static str,
    /// Messages that wait for a worker.
    pub(in crate::serve) waiting: Option<u64>,
    /// Messages that a worker has.
    pub(in crate::serve) in_hand: Option<u64>,
    /// Those of them that were delivered before.
    pub(in crate::serve) redelivered: Option<u64>,
}

/// A role of a worker process.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::serve) struct WorkerRow {
    /// `scanner`, `reaper` or `reporter`.
    pub(in crate::serve) role: String,
    /// The machine.
    pub(in crate::serve) host: String,
    /// The process there.
    pub(in crate::serve) process: u32,
    /// Messages that it is working on; null for a reporter, which takes none.
    pub(in crate::serve) in_hand: Option<u64>,
    /// When it said so, RFC 3339.
    pub(in crate::serve) last_seen: String,
}

/// The schema of an event: its name, and the document in its data.
pub(crate) fn live_event(generator: &mut SchemaGenerator) -> Value {
    let mut patch = Snapshot::json_schema(generator);
    patch.remove("required");
    patch.insert("minProperties".to_owned(), json!(1));
    patch.insert("description".to_owned(), json!("Those fields of the snapshot that have changed."));
    let event = |name: &str, data: Value| {
        json!({
            "type": "object",
            "properties": { "event": { "const": name }, "data": data },
            "required": ["event", "data"],
        })
    };
    let snapshot = generator.subschema_for::<Snapshot>();
    json!({ "oneOf": [event(SNAPSHOT, snapshot.into()), event(PATCH, patch.into())] })
}
