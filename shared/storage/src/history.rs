//! One line per run, kept after its records expire: the content of `keysweep runs list`, and the source from which
//! reporters list runs. JSON, under `history/<run>`.

use keysweep_model::ids::{Alias, RunId};
use keysweep_model::messages::{Attempt, RunSpec};
use keysweep_model::result::{CleanupResult, Status};
use keysweep_model::selection::Selection;
use keysweep_model::time::rfc3339;
use keysweep_model::wire;
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::store::{self, Entry, Store, StoreError};

/// The key prefix of all lines.
pub const HISTORY: &str = "history/";

/// Counts that the line of a run in progress does not have yet.
const UNKNOWN_IN_PROGRESS: [&str; 4] = ["scannedKeys", "staleTTLKeys", "cleanedKeys", "inactiveUserCaches"];

/// A run in one line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = null_in_progress)]
pub struct RunLine {
    /// The run.
    pub run_id: RunId,
    /// The job's name.
    pub job: String,
    /// The deployment.
    pub redis: Alias,
    /// The selection of keys: figures of runs are compared only if this is equal. Null, and so not comparable, in
    /// lines of earlier versions and of attempts that failed before they had a run.
    #[serde(default)]
    pub selection: Option<Selection>,
    /// How it ended; null while it is in progress.
    pub status: Option<Status>,
    /// RFC 3339, UTC.
    pub started_at: String,
    /// RFC 3339, UTC.
    pub finished_at: Option<String>,
    /// The user or service that started it.
    pub started_by: String,
    /// Whether a schedule started it; false in lines of earlier versions, which lack the field.
    #[serde(default)]
    pub scheduled: bool,
    /// The attempt at the job.
    pub attempt: Attempt,
    /// Whether actions were turned into reports.
    pub dry_run: bool,
    /// Whether it changes keys, and so has the job's lock until its end; false in lines of earlier versions.
    #[serde(default)]
    pub writes: bool,
    /// How many rules its job had; 0 if it had patterns instead, and in lines of earlier versions.
    #[serde(default)]
    pub rules: u32,
    /// Matching keys.
    pub scanned_keys: u64,
    /// Those without TTL.
    #[serde(rename = "staleTTLKeys")]
    pub stale_ttl_keys: u64,
    /// Those of them that match no protected pattern; null if unknown, as in lines of earlier versions.
    #[serde(default)]
    pub stale_unprotected_keys: Option<u64>,
    /// Keys deleted.
    pub cleaned_keys: u64,
    /// Keys deleted because their user was inactive.
    #[serde(default)]
    pub inactive_user_caches: u64,
    /// Matching keys that remain; null if unknown.
    #[serde(default)]
    pub total_keys: Option<u64>,
    /// The maximum error of that number: 0 if it is exact; null if unknown, as in lines of earlier versions.
    #[serde(default)]
    pub total_keys_error: Option<u64>,
    /// Mean TTL, in seconds; null if unknown, or if no key has one.
    #[serde(default, rename = "avgTTL")]
    pub avg_ttl: Option<f64>,
    /// Hit rate of the application since the previous run, in percent of its lookups.
    pub hit_rate: Option<f64>,
    /// Its lookups that found a key, in the same time.
    #[serde(default)]
    pub hits: Option<u64>,
    /// Its lookups that found none.
    #[serde(default)]
    pub misses: Option<u64>,
    /// Its errors, if they are counted.
    #[serde(default)]
    pub errors: Option<u64>,
    /// Why it failed or was stopped.
    pub cause: Option<String>,
}

impl RunLine {
    /// The line of a run that starts.
    #[must_use]
    pub fn begin(spec: &RunSpec) -> Self {
        Self {
            selection: Some(spec.selection()),
            started_by: spec.started_by.clone(),
            scheduled: spec.scheduled,
            attempt: spec.attempt,
            dry_run: spec.dry_run,
            writes: spec.rules.writes(),
            rules: spec
                .rules
                .policy
                .as_ref()
                .map_or(0, |policy| u32::try_from(policy.rules.len()).unwrap_or(u32::MAX)),
            ..Self::blank(spec.run, &spec.job, &spec.alias, spec.started_at_ms)
        }
    }

    /// The line of an attempt that failed before it had a run.
    #[must_use]
    pub fn failed(run: RunId, job: &str, redis: &Alias, now_ms: u64, cause: &str) -> Self {
        Self {
            status: Some(Status::Failed),
            finished_at: Some(rfc3339(now_ms)),
            cause: Some(cause.to_owned()),
            ..Self::blank(run, job, redis, now_ms)
        }
    }

    fn blank(run: RunId, job: &str, redis: &Alias, started_at_ms: u64) -> Self {
        Self {
            run_id: run,
            job: job.to_owned(),
            redis: redis.clone(),
            selection: None,
            status: None,
            started_at: rfc3339(started_at_ms),
            finished_at: None,
            started_by: String::new(),
            scheduled: false,
            attempt: Attempt::default(),
            dry_run: false,
            writes: false,
            rules: 0,
            scanned_keys: 0,
            stale_ttl_keys: 0,
            stale_unprotected_keys: None,
            cleaned_keys: 0,
            inactive_user_caches: 0,
            total_keys: None,
            total_keys_error: None,
            avg_ttl: None,
            hit_rate: None,
            hits: None,
            misses: None,
            errors: None,
            cause: None,
        }
    }

    /// The line of a run that ended with `result`.
    #[must_use]
    pub fn end(self, result: &CleanupResult) -> Self {
        let (metrics, rates) = (&result.current_metrics, &result.metrics.hit_rates);
        let cause = || result.issues.iter().find(|issue| !issue.starts_with("Found ")).cloned();
        Self {
            status: Some(result.status),
            finished_at: Some(result.finished_at.clone()),
            scanned_keys: result.scanned_keys,
            stale_ttl_keys: result.stale_ttl_keys,
            stale_unprotected_keys: result.stale_unprotected_keys,
            cleaned_keys: result.cleaned_keys,
            inactive_user_caches: result.inactive_user_caches,
            total_keys: metrics.total_keys,
            total_keys_error: result.keys_error().filter(|_| metrics.total_keys.is_some()),
            avg_ttl: metrics.avg_ttl,
            hit_rate: metrics.hit_rate,
            hits: metrics.hits,
            misses: metrics.misses,
            errors: rates.current().errors,
            cause: if result.status == Status::Completed { None } else { cause() },
            ..self
        }
    }

    /// Matching keys that remain, if they are those of `selection` and known.
    #[must_use]
    pub fn left_of(&self, selection: &Selection) -> Option<u64> {
        self.total_keys.filter(|_| self.selection.as_ref() == Some(selection))
    }

    /// The line in `entry`; `None` if it has another format.
    #[must_use]
    pub fn read(entry: &Entry) -> Option<Self> {
        wire::from_json(&entry.value).ok()
    }

    /// The line as JSON for clients. A run in progress has no counts in its line yet.
    #[must_use]
    pub fn as_json(&self) -> Value {
        let mut value = json!(self);
        if self.status.is_none() {
            for count in UNKNOWN_IN_PROGRESS {
                value[count] = Value::Null;
            }
        }
        value
    }

    fn key(&self) -> String {
        key(self.run_id)
    }
}

/// Makes the schema of a line that of [`RunLine::as_json`].
fn null_in_progress(schema: &mut Schema) {
    for count in UNKNOWN_IN_PROGRESS {
        if let Some(kind) = schema.pointer_mut(&format!("/properties/{count}/type")) {
            *kind = json!([kind.take(), "null"]);
        }
    }
}

/// The key of the line of a run.
#[must_use]
pub fn key(run: RunId) -> String {
    format!("{HISTORY}{run}")
}

/// Writes the line of a run, replacing the previous one.
///
/// # Errors
/// If the store fails.
pub async fn write(store: &dyn Store, line: &RunLine) -> Result<(), StoreError> {
    let value = serde_json::to_vec(line).map_err(|e| StoreError(e.to_string()))?;
    loop {
        let before = store.get(&line.key()).await?.map(|entry| entry.revision);
        if store::write(store, &line.key(), value.clone(), before).await?.is_some() {
            return Ok(());
        }
    }
}

/// Writes the line of a run that starts, unless it has one.
///
/// # Errors
/// If the store fails.
pub async fn begin(store: &dyn Store, spec: &RunSpec) -> Result<(), StoreError> {
    let line = RunLine::begin(spec);
    let value = serde_json::to_vec(&line).map_err(|e| StoreError(e.to_string()))?;
    store.create(&line.key(), value).await.map(drop)
}

/// The line of a run, if there is one.
///
/// # Errors
/// If the store fails.
pub async fn of(store: &dyn Store, run: RunId) -> Result<Option<RunLine>, StoreError> {
    Ok(store.get(&key(run)).await?.as_ref().and_then(RunLine::read))
}

/// All lines, the oldest run first.
///
/// # Errors
/// If the store fails.
pub async fn read(store: &dyn Store) -> Result<Vec<RunLine>, StoreError> {
    let mut lines: Vec<RunLine> =
        store::all(store, HISTORY).await?.iter().filter_map(RunLine::read).collect();
    // Run ids are ordered by time.
    lines.sort_by_key(|line| line.run_id);
    Ok(lines)
}
