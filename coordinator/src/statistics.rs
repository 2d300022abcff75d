//! The state of job queue, cache and Redis, for programs and `keysweep stats`.

use std::collections::BTreeSet;

use keysweep_model::ids::{Alias, RunId};
use keysweep_model::messages::{Action, HitRateSource};
use keysweep_model::metrics::{Alert, HitRateWindow, RedisHealth};
use keysweep_model::result::Status;
use keysweep_model::selection::Selection;
use keysweep_model::time::now_ms;
use keysweep_redis::RedisClient;
use keysweep_redis::health::{self, HealthCheck};
use keysweep_runtime::context::Context;
use keysweep_storage::alerts;
use keysweep_storage::counter_snapshot;
use keysweep_storage::history::{self, RunLine};
use keysweep_storage::records::RecordError;
use reporter::hit_rate::{CounterSnapshots, INCLUDES};
use reporter::summary::{Summary, WEEK_MS, summary};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::lease::{self, LeasePhase};
use crate::options::Options;
use crate::preflight::preflight;
use crate::shared_run;

/// The state of job queue, cache and Redis. Its field names are a contract.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Statistics {
    /// Counts of remembered runs.
    pub job_queue: JobQueue,
    /// The cache, at the end of the last run.
    pub cache_health: CacheHealth,
    /// Redis, now.
    pub redis_health: RedisHealth,
    /// The application's lookups in the last 24 hours, as far as there are samples; null with fewer than two.
    pub last_day: Option<HitRateWindow>,
    /// Which other lookups the hit rates may include; null if the application counts its own.
    #[serde(default)]
    pub hit_rate_includes: Option<String>,
    /// What happened in the last seven days.
    pub last_week: Summary,
    /// Alerts that are firing.
    pub alerts: Vec<Alert>,
}

/// Runs by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobQueue {
    /// Stored, and without a driver at the moment.
    pub waiting: u64,
    /// Being driven.
    pub active: u64,
    /// Ended with everything done.
    pub completed: u64,
    /// Failed.
    pub failed: u64,
    /// Ended with a gap.
    pub partial: u64,
    /// Cancelled.
    pub cancelled: u64,
}

/// The cache.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CacheHealth {
    /// 0 to 100 % of the application's lookups since the previous run; null without traffic or run.
    pub hit_rate: Option<f64>,
    /// Matching keys after the run; without a run of these keys, an estimate from a sample; null without either, and
    /// if the sample has none.
    pub total_keys: Option<u64>,
    /// Whether `totalKeys` is approximate: from a sample, or from a run that says so (or does not say, being one of
    /// an earlier version).
    #[serde(default)]
    pub approximate: bool,
    /// Their mean TTL, in seconds.
    #[serde(rename = "avgTTL")]
    pub avg_ttl: Option<f64>,
    /// Lookups of the application that found a key, in the same period.
    pub hits: Option<u64>,
    /// Lookups of the application that found none.
    pub misses: Option<u64>,
    /// Errors that the application counted; null if it does not report them.
    pub errors: Option<u64>,
    /// When the run ended, RFC 3339; null without one.
    pub at: Option<String>,
}

/// The statistics of all jobs of a deployment, or of one, whose hits are counted by `source`. Figures of keys are
/// those of `selection`, or of the last run that has them.
///
/// # Errors
/// When the store fails. A Redis that does not respond is reported in the statistics.
pub async fn cleanup_statistics(
    context: &Context,
    redis: &Alias,
    job: Option<&str>,
    source: &HitRateSource,
    selection: Option<&Selection>,
) -> Result<Statistics, RecordError> {
    let mut lines = history::read(&*context.history_store).await?;
    lines.retain(|line| line.redis == *redis && job.is_none_or(|job| job == line.job));
    let all = counter_snapshot::of(&*context.history_store, redis).await?;
    // If no job is named, the last run describes the cache.
    let last = lines.last().map(|line| line.job.clone());
    let name = job.map(str::to_owned).or(last).unwrap_or_default();
    let samples = CounterSnapshots::new(&all, &name, source);
    let mine: Vec<RunLine> = lines.iter().filter(|line| line.job == name).cloned().collect();
    let jobs: BTreeSet<&str> = job.into_iter().chain(lines.iter().map(|line| line.job.as_str())).collect();
    let mut active = Vec::new();
    for job in jobs {
        active.extend(alerts::read(&*context.history_store, job).await?.active);
    }
    Ok(Statistics {
        job_queue: queue(context, &lines).await?,
        cache_health: cache(&mine, selection),
        redis_health: health(context, redis).await,
        last_day: samples.last_day(),
        hit_rate_includes: (*source == HitRateSource::Redis).then(|| INCLUDES.to_owned()),
        last_week: summary(&mine, selection, &all, &samples, WEEK_MS, now_ms()),
        alerts: active,
    })
}

/// `statistics` with an estimate from a quick sample of a job's keys, if no run has counted them.
pub async fn with_sample(statistics: Statistics, context: &Context, options: &Options) -> Statistics {
    if statistics.cache_health.total_keys.is_some() {
        return statistics;
    }
    // With the options of a dry run: reads only.
    let mut rules = options.rules.clone();
    rules.set_dry_run(true, Action::Report);
    let options = Options { dry_run: true, rules, ..options.clone() };
    let looked = match preflight(&options, RunId::new(), now_ms()).await {
        Ok(looked) => looked,
        Err(e) => {
            tracing::warn!("no run has counted the keys, and sampling them failed: {e}");
            return statistics;
        }
    };
    looked.note_plan(context).await;
    // A sample says nothing about slots that no node serves.
    let whole = looked.missing.is_empty() && looked.spec.unreachable_nodes.is_empty();
    let estimate = looked.estimate;
    let total_keys = Some(estimate.matching_keys).filter(|keys| whole && (*keys > 0 || estimate.exact));
    let cache_health = CacheHealth { total_keys, approximate: true, ..statistics.cache_health };
    Statistics { cache_health, ..statistics }
}

async fn queue(context: &Context, lines: &[RunLine]) -> Result<JobQueue, RecordError> {
    let mut queue = JobQueue::default();
    for line in lines {
        match line.status {
            Some(Status::Completed) => queue.completed += 1,
            Some(Status::Partial) => queue.partial += 1,
            Some(Status::Failed) => queue.failed += 1,
            Some(Status::Cancelled) => queue.cancelled += 1,
            None => {
                let hold = lease::read_lease(&*context.store, &line.job).await?;
                let driven =
                    |hold: &lease::LeaseRecord| hold.run == line.run_id && hold.phase == LeasePhase::Driven;
                let is_active = hold.is_some_and(|(hold, _)| driven(&hold))
                    || shared_run::is_running(context, line.run_id, now_ms()).await?;
                if is_active {
                    queue.active += 1;
                } else {
                    queue.waiting += 1;
                }
            }
        }
    }
    Ok(queue)
}

/// The cache by the last run that counted keys, of `selection` if that is given.
fn cache(lines: &[RunLine], selection: Option<&Selection>) -> CacheHealth {
    let knows = |line: &&RunLine| match selection {
        Some(selection) => line.left_of(selection).is_some(),
        None => line.total_keys.is_some(),
    };
    let Some(line) = lines.iter().rev().find(knows) else {
        return CacheHealth::default();
    };
    CacheHealth {
        hit_rate: line.hit_rate,
        total_keys: line.total_keys,
        avg_ttl: line.avg_ttl,
        hits: line.hits,
        misses: line.misses,
        errors: line.errors,
        at: line.finished_at.clone(),
        approximate: line.total_keys_error != Some(0),
    }
}

async fn health(context: &Context, redis: &Alias) -> RedisHealth {
    let Some(access) = context.access(redis, 0) else {
        return HealthCheck::failed(format!(
            "this process has no connection settings for Redis deployment `{redis}`"
        ))
        .health;
    };
    match RedisClient::discover(access).await {
        Ok(deployment) => {
            let health = health::check_health(&deployment).await.health;
            context.telemetry.checked(redis, &health);
            health
        }
        Err(fault) => {
            context.telemetry.unreachable(redis, &fault.address);
            HealthCheck::failed(fault.to_string()).health
        }
    }
}
