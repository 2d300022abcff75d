//! The `data` of each kind of event, as it is published. Its field names are a contract. The data of the end of a run is
//! its result, and that of a summary is the reporter's.

use keysweep_model::ids::Alias;
use keysweep_model::messages::Attempt;
use keysweep_model::metrics::Alert;
use keysweep_model::result::{RuleName, Status};
use schemars::JsonSchema;
use serde::Serialize;

use crate::alerts::AlertTransition;

/// A run started.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StartedData<'a> {
    /// The coordinator that drives the run: process and machine.
    pub coordinator: &'a str,
    /// The alias of the Redis deployment.
    pub redis: &'a Alias,
    /// Whether the run changes nothing.
    pub dry_run: bool,
    /// The action on stale keys: `delete`, `expire` or `report`.
    pub action: &'a str,
    /// The user or trigger that started the run.
    pub started_by: &'a str,
    /// The attempt at the job.
    pub attempt: Attempt,
    /// Keys on all nodes, matching or not, when the run was planned.
    pub keys: u64,
    /// Number of primaries.
    pub nodes: usize,
}

/// Another coordinator took over a run.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TakenOverData<'a> {
    /// The coordinator that drives the run from now on: process and machine.
    pub coordinator: &'a str,
    /// The number of this coordinator in the run, from 1.
    pub epoch: u64,
}

/// The progress of a run. Counts of keys are exact for tasks that have ended; for tasks in work they are the last values
/// that those reported.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProgressData {
    /// `planned`, `scanning`, `reaping`, `reporting` or `done`.
    pub state: &'static str,
    /// Keys on all nodes, matching or not, when the run was planned.
    pub keys: u64,
    /// Keys listed so far, matching or not.
    pub listed_keys: u64,
    /// Keys of nodes that have no key without TTL and were not scanned.
    pub skipped_keys: u64,
    /// Matching keys.
    pub scanned_keys: u64,
    /// Matching keys without TTL.
    #[serde(rename = "staleTTLKeys")]
    pub stale_ttl_keys: u64,
    /// Deleted keys.
    pub cleaned_keys: u64,
    /// Number of scan tasks.
    pub tasks: u64,
    /// Number of scan tasks that have ended.
    pub tasks_reported: u64,
}

/// A run found a problem.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IssueData<'a> {
    /// The problem, as a sentence. Its wording can change between versions.
    pub issue: &'a str,
    /// The rule of the job that it is about; absent if it is about none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy_rule: Option<&'a RuleName>,
}

/// An alert was raised or resolved.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AlertData<'a> {
    /// The alert at that time.
    #[serde(flatten)]
    pub alert: &'a Alert,
    /// The transition.
    pub change: AlertTransition,
    /// The order of a job's notifications: a later one has a larger number.
    pub sequence: u64,
}

/// An attempt failed without a result: before it had a run, or because the process of the run ended.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FailedAttemptData<'a> {
    /// `failed`.
    pub status: Status,
    /// The cause.
    pub issues: [&'a str; 1],
    /// The attempt at the job.
    pub attempt: Attempt,
}

/// Runs were due while no service was running.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MissedData {
    /// The number of missed times.
    pub count: u64,
    /// The first missed time, RFC 3339.
    pub first: String,
    /// The last missed time, RFC 3339.
    pub last: String,
    /// Whether a run starts now to make up for them.
    pub caught_up: bool,
}
