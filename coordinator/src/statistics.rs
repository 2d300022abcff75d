//! How the job queue, the cache and Redis do: the document's `getCleanupStatistics`.

use std::time::Instant;

use serde::{Deserialize, Serialize};
use shared::cluster::{Deployment, node};
use shared::env::Env;
use shared::history::{self, RunLine};
use shared::ids::Alias;
use shared::records::RecordError;
use shared::result::Status;

use crate::hold::{self, Phase};

/// The document's shape, with more beside its fields.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Statistics {
    /// Runs that are remembered.
    pub job_queue: JobQueue,
    /// The cache, as the last run that ended saw it.
    pub cache_health: CacheHealth,
    /// Redis, now.
    pub redis_health: RedisHealth,
}

/// Runs by how they stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobQueue {
    /// Started, and driven by nobody at the moment.
    pub waiting: u64,
    /// Being driven.
    pub active: u64,
    /// Ended with everything done.
    pub completed: u64,
    /// Failed.
    pub failed: u64,
    /// Ended with something missed.
    pub partial: u64,
    /// Stopped.
    pub cancelled: u64,
}

/// The cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CacheHealth {
    /// 0 to 100 % of the application's look-ups while the run went on; null without traffic or run.
    pub hit_rate: Option<f64>,
    /// Matching keys after the run; null without a run.
    pub total_keys: Option<u64>,
    /// Look-ups of the application that found a key, while the run went on.
    pub hits: Option<u64>,
    /// Look-ups of the application that found none, while the run went on.
    pub misses: Option<u64>,
    /// Errors that the application counted; null, because Redis does not know them.
    pub errors: Option<u64>,
}

/// Redis.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RedisHealth {
    /// How it is.
    pub status: Health,
    /// The slowest primary's answer to a PING, in milliseconds; null if none answered.
    pub latency: Option<f64>,
    /// The fullest primary's memory, 0 to 100 % of its limit; null without one.
    pub memory_usage_percent: Option<f64>,
    /// What is wrong, if anything is.
    pub problems: Vec<String>,
}

/// How a deployment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// Every primary answers, and no memory is nearly full.
    Healthy,
    /// Some do not answer, or a memory is nearly full.
    Degraded,
    /// None answers.
    Unhealthy,
}

/// The document's limit, beyond which memory is nearly full.
const MEMORY_PERCENT_MAX: f64 = 80.0;

/// The statistics of all jobs of a deployment, or of one.
///
/// # Errors
/// When the store fails. A Redis that does not answer is no error, but what the statistics say.
pub async fn cleanup_statistics(
    env: &Env,
    redis: &Alias,
    job: Option<&str>,
) -> Result<Statistics, RecordError> {
    let mut lines = history::read(&*env.store).await?;
    lines.retain(|line| line.redis == *redis && job.is_none_or(|job| job == line.job));
    Ok(Statistics {
        job_queue: queue(env, &lines).await?,
        cache_health: cache(env, &lines).await?,
        redis_health: health(env, redis).await,
    })
}

async fn queue(env: &Env, lines: &[RunLine]) -> Result<JobQueue, RecordError> {
    let mut queue = JobQueue::default();
    for line in lines {
        match line.status {
            Some(Status::Completed) => queue.completed += 1,
            Some(Status::Partial) => queue.partial += 1,
            Some(Status::Failed) => queue.failed += 1,
            Some(Status::Cancelled) => queue.cancelled += 1,
            None => {
                let hold = hold::look(&*env.store, &line.job).await?;
                let driven = |hold: &hold::Hold| hold.run == line.run_id && hold.phase == Phase::Driven;
                if hold.is_some_and(|(hold, _)| driven(&hold)) {
                    queue.active += 1;
                } else {
                    queue.waiting += 1;
                }
            }
        }
    }
    Ok(queue)
}

async fn cache(env: &Env, lines: &[RunLine]) -> Result<CacheHealth, RecordError> {
    for line in lines.iter().rev().filter(|line| line.status.is_some()) {
        let Some(result) = env.records(line.run_id).result().await? else { continue };
        let metrics = result.current_metrics;
        return Ok(CacheHealth {
            hit_rate: metrics.hit_rate,
            total_keys: Some(metrics.total_keys),
            hits: Some(metrics.hits),
            misses: Some(metrics.misses),
            errors: None,
        });
    }
    Ok(CacheHealth::default())
}

async fn health(env: &Env, redis: &Alias) -> RedisHealth {
    let mut health = RedisHealth {
        status: Health::Unhealthy,
        latency: None,
        memory_usage_percent: None,
        problems: Vec::new(),
    };
    let Some(access) = env.access(redis, 0) else {
        health.problems.push(format!("this process knows no deployment `{redis}`"));
        return health;
    };
    let deployment = match Deployment::discover(access, "keysweep-stats").await {
        Ok(deployment) => deployment,
        Err(fault) => {
            health.problems.push(fault.to_string());
            return health;
        }
    };
    let mut answered = false;
    for primary in &deployment.topology().primaries {
        match ping(&deployment, &primary.node).await {
            Ok((latency, memory)) => {
                answered = true;
                health.latency = Some(health.latency.unwrap_or_default().max(latency));
                health.memory_usage_percent = match (health.memory_usage_percent, memory) {
                    (Some(most), Some(memory)) => Some(f64::max(most, memory)),
                    (most, memory) => most.or(memory),
                };
            }
            Err(fault) => health.problems.push(fault.to_string()),
        }
    }
    env.telemetry.memory(redis, health.memory_usage_percent);
    if let Some(memory) = health.memory_usage_percent.filter(|memory| *memory > MEMORY_PERCENT_MAX) {
        health.problems.push(format!("memory is {memory:.1} % full"));
    }
    health.status = match (answered, health.problems.is_empty()) {
        (false, _) => Health::Unhealthy,
        (true, false) => Health::Degraded,
        (true, true) => Health::Healthy,
    };
    health
}

/// The time that an answer takes, in milliseconds, and how full the memory is, in percent.
async fn ping(
    deployment: &Deployment,
    id: &shared::ids::NodeId,
) -> Result<(f64, Option<f64>), shared::cluster::Fault> {
    let conn = deployment.conn(id).await?;
    let asked = Instant::now();
    conn.words("PING").await?;
    let latency = asked.elapsed().as_secs_f64() * 1_000.0;
    Ok((latency, node::memory_percent(&conn).await?))
}
