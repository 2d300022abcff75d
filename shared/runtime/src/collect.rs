//! Collects a counter snapshot: its metadata, and the application's counters from their source.

use keysweep_http::{Integrations, prometheus};
use keysweep_model::counters::Counters;
use keysweep_model::ids::{Alias, RunId};
use keysweep_model::messages::HitRateSource;
use keysweep_redis::health::HealthCheck;
use keysweep_redis::{RedisClient, counters};
use keysweep_storage::counter_snapshot::{CounterSnapshot, RunReads, SnapshotPhase};

/// Metadata of a snapshot.
#[derive(Clone, Debug)]
pub struct SnapshotMeta {
    /// The job.
    pub job: String,
    /// The deployment.
    pub redis: Alias,
    /// The run; `None` between runs.
    pub run: Option<RunId>,
    /// The phase of the run.
    pub phase: SnapshotPhase,
}

impl SnapshotMeta {
    /// The snapshot with the counters of `look`, read at `at_ms`.
    #[must_use]
    pub fn snapshot(self, look: &HealthCheck, application: Option<Counters>, at_ms: u64) -> CounterSnapshot {
        CounterSnapshot {
            job: self.job,
            redis: self.redis,
            run_id: self.run,
            phase: self.phase,
            at_ms,
            nodes: look.readings.clone(),
            application,
            memory_usage_percent: look.health.memory_usage_percent,
            used_memory_bytes: look.used_memory_bytes,
            latency: look.health.latency,
            reads: RunReads::Nothing,
        }
    }
}

/// The hits and misses that the application of `job` has counted; `None` if Redis counts them.
///
/// # Errors
/// What is wrong with the source, as text for users.
pub async fn application_counters(
    client: &RedisClient,
    source: &HitRateSource,
    (outside, job): (&Integrations, &str),
) -> Result<Option<Counters>, String> {
    match source {
        HitRateSource::Redis => Ok(None),
        HitRateSource::Hash(key) => counters::read(client, key).await.map(Some),
        HitRateSource::Prometheus => query_prometheus(outside, job).await.map(Some),
    }
}

/// The counters from Prometheus.
async fn query_prometheus(outside: &Integrations, job: &str) -> Result<Counters, String> {
    let source = outside.prometheus(job);
    let source = source.ok_or("the settings of this process name no Prometheus for the job")?;
    let client = outside.client().map_err(|e| e.to_string())?;
    let one = async |query: &str| match prometheus::query(client, &source.url, query).await {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is checked to fit")]
        Ok(Some(value)) if (0.0..1e18).contains(&value) => Ok(Some(value as u64)),
        Ok(Some(value)) => Err(format!("the query `{query}` gives {value}, which is not a count")),
        Ok(None) => Ok(None),
        Err(e) => Err(e.to_string()),
    };
    let none = |query: &str| format!("the query `{query}` has no result in Prometheus");
    Ok(Counters {
        hits: one(&source.hits).await?.ok_or_else(|| none(&source.hits))?,
        misses: one(&source.misses).await?.ok_or_else(|| none(&source.misses))?,
        errors: match &source.errors {
            Some(query) => one(query).await?,
            None => None,
        },
    })
}
