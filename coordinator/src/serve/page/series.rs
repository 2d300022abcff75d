//! `GET /api/series`: what the charts of the page show of a job's cache over time, from the samples and the history.

use axum::extract::State;
use axum::response::Response;
use keysweep_model::ids::RunId;
use keysweep_model::messages::HitRateSource;
use keysweep_model::metrics::{Heaviest, HitPoint, TtlDistribution};
use keysweep_model::result::CleanupResult;
use keysweep_model::time::rfc3339;
use keysweep_storage::counter_snapshot::{self, CounterSnapshot};
use keysweep_storage::history::{self, RunLine};
use reporter::hit_rate::{CounterSnapshots, INCLUDES};
use schemars::JsonSchema;
use serde::Serialize;

use crate::drive::shown_prefixes;
use crate::limits::SERIES_POINTS_MAX;
use crate::serve::handlers::{ApiResult, JobRequest, failed};
use crate::serve::http::{HttpApi, Pairs, SharedApi, answered, asked};

/// A job's cache over time, the oldest first.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::serve) struct CacheSeries {
    /// The job.
    job: String,
    /// The hit rate of the last seven days.
    hit_rates: Vec<HitPoint>,
    /// Which other lookups the hit rates may include; null if the application counts its own.
    hit_rate_includes: Option<String>,
    /// The memory of the servers.
    memory: Vec<MemoryPoint>,
    /// The keys that runs of the same keys have found and left.
    runs: Vec<RunPoint>,
    /// What the last run with a result found; null without one.
    last: Option<LastRun>,
}

/// The memory of the servers at one time.
#[derive(Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct MemoryPoint {
    /// RFC 3339.
    at: String,
    /// Bytes that all primaries use; null if one of them did not answer.
    used_bytes: Option<u64>,
    /// The fullest primary, in percent of its limit; null without one.
    usage_percent: Option<f64>,
}

/// Keys at the end of a run.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct RunPoint {
    /// The run.
    run_id: RunId,
    /// When it ended, RFC 3339.
    at: String,
    /// Matching keys that were left.
    total_keys: u64,
    /// Keys without TTL that it found.
    #[serde(rename = "staleTTLKeys")]
    stale_ttl_keys: u64,
    /// Keys that it deleted.
    cleaned_keys: u64,
}

/// What a run found.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct LastRun {
    /// The run.
    run_id: RunId,
    /// When it ended, RFC 3339.
    at: String,
    /// The remaining TTLs of matching keys.
    ttl: TtlDistribution,
    /// The heaviest prefixes of keys without TTL.
    prefixes: Heaviest,
}

pub(in crate::serve) async fn series(State(api): SharedApi, query: Pairs) -> Response {
    answered(200, async { read(&api, asked(query)?).await }.await)
}

async fn read(api: &HttpApi, request: JobRequest) -> ApiResult<CacheSeries> {
    let service = api.service()?;
    let job = request.job_of(&service)?;
    let (name, source) = (&job.options.job, &job.options.application.hit_rate);
    let store = &*service.context.history_store;
    let samples = counter_snapshot::of(store, &job.options.alias).await.map_err(failed)?;
    let mut lines = history::read(store).await.map_err(failed)?;
    lines.retain(|line| line.job == *name);
    let selection = job.options.selection();
    let point = |line: &RunLine| {
        let (total_keys, at) = (line.left_of(&selection)?, line.finished_at.clone()?);
        let RunLine { run_id, stale_ttl_keys, cleaned_keys, .. } = *line;
        Some(RunPoint { run_id, at, total_keys, stale_ttl_keys, cleaned_keys })
    };
    let runs: Vec<RunPoint> = lines.iter().filter_map(point).collect();
    let last = match lines.iter().rev().find(|line| line.total_keys.is_some()) {
        Some(line) => service.context.records(line.run_id).result().await.map_err(failed)?,
        None => None,
    };
    Ok(CacheSeries {
        job: name.clone(),
        hit_rates: CounterSnapshots::new(&samples, name, source).hit_rates().history,
        hit_rate_includes: (*source == HitRateSource::Redis).then(|| INCLUDES.to_owned()),
        memory: thinned(&samples),
        runs: runs.into_iter().rev().take(SERIES_POINTS_MAX).rev().collect(),
        last: last.map(LastRun::of),
    })
}

/// The memory by those of `samples` that have it, at [`SERIES_POINTS_MAX`] times at most: the last sample of each part. Those
/// from the beginning of a run have counters only.
fn thinned(samples: &[CounterSnapshot]) -> Vec<MemoryPoint> {
    let knows = |sample: &&CounterSnapshot| {
        sample.used_memory_bytes.is_some() || sample.memory_usage_percent.is_some()
    };
    let samples: Vec<&CounterSnapshot> = samples.iter().filter(knows).collect();
    let per_point = samples.len().div_ceil(SERIES_POINTS_MAX).max(1);
    // From the end, so that the newest one is shown.
    let mut points: Vec<MemoryPoint> = samples
        .rchunks(per_point)
        .filter_map(|part| part.last())
        .map(|sample| MemoryPoint::of(sample))
        .collect();
    points.reverse();
    points
}

impl MemoryPoint {
    fn of(sample: &CounterSnapshot) -> Self {
        Self {
            at: rfc3339(sample.at_ms),
            used_bytes: sample.used_memory_bytes,
            usage_percent: sample.memory_usage_percent,
        }
    }
}

impl LastRun {
    fn of(result: CleanupResult) -> Self {
        let prefixes = result.metrics.prefixes.by_stale;
        let prefixes = Heaviest { rows: shown_prefixes(prefixes.rows), ..prefixes };
        Self { run_id: result.run_id, at: result.finished_at, ttl: result.metrics.ttl, prefixes }
    }
}

#[cfg(test)]
mod tests {
    use keysweep_model::ids::Alias;
    use keysweep_storage::counter_snapshot::{RunReads, SnapshotPhase};

    use super::*;

    /// The time of a sample without memory.
    const HAS_NONE: u64 = 1 << 40;

    #[test]
    fn samples_are_thinned_and_the_newest_stays() {
        let sample = |at_ms: u64| CounterSnapshot {
            job: "nightly".to_owned(),
            redis: Alias::new("main"),
            run_id: None,
            phase: SnapshotPhase::Between,
            at_ms,
            nodes: Vec::new(),
            application: None,
            memory_usage_percent: None,
            used_memory_bytes: (at_ms != HAS_NONE).then_some(at_ms),
            latency: None,
            reads: RunReads::Nothing,
        };
        let check = |samples: u64, points: usize| {
            let thin = thinned(&(0..samples).map(sample).collect::<Vec<_>>());
            assert_eq!(thin.len(), points, "{samples} samples");
            assert_eq!(thin.last().and_then(|point| point.used_bytes), samples.checked_sub(1));
            assert!(thin.is_sorted_by_key(|point| point.used_bytes), "{thin:?}");
        };
        let max = SERIES_POINTS_MAX;
        check(0, 0);
        check(1, 1);
        check(max as u64, max);
        check(max as u64 + 1, max / 2 + 1);
        check(10 * max as u64, max);
        assert_eq!(thinned(&[sample(1), sample(HAS_NONE)]).len(), 1);
    }
}
