//! The part of the service that samples the cache between runs: samples at regular times, alerts evaluated on them,
//! and a summary of each week; and looks at keys for TTL advice. Several services may run: the first one to store a sample or
//! a summary wins. Samples and looks follow each other: a sample during a look would count some of its lookups as the
//! application's.

use std::time::Duration;

use jiff::Timestamp;
use keysweep_model::duration::millis;
use keysweep_model::time::{now_ms, rfc3339};
use keysweep_redis::RedisClient;
use keysweep_redis::health::check_health;
use keysweep_runtime::collect::{self, SnapshotMeta};
use keysweep_storage::counter_snapshot::{self, CounterSnapshot, SnapshotPhase};
use keysweep_storage::events::Event;
use keysweep_storage::history::RunLine;
use keysweep_storage::store::{Created, StoreError};
use reporter::alerting;
use reporter::hit_rate::CounterSnapshots;
use reporter::summary::{WEEK_MS, summary};
use serde_json::json;
use tokio::time::sleep;

use super::ttl_looks::{self, LookTimes};
use super::{ServedJob, ServiceState};

/// How long a sample in progress may take after the shutdown.
const LEFT_AFTER: Duration = Duration::from_secs(3);

/// 1970-01-05 was a Monday.
const FIRST_MONDAY_MS: u64 = 4 * 86_400_000;

/// Takes samples for job `number`, as long as these jobs are served.
pub(super) async fn run(shared: &ServiceState, number: usize) -> Result<(), StoreError> {
    let Some(job) = shared.jobs.get(number) else { return Ok(()) };
    let every_ms = millis(job.sample_every).max(1_000);
    let (mut sampled, mut looks) = (None, LookTimes::new(job.ttl_looks.every, now_ms()));
    loop {
        let slot = now_ms() / every_ms;
        let work = async {
            if sampled != Some(slot)
                && let Err(e) = sample(shared, job, slot).await
            {
                tracing::warn!(job = job.options.job, error = %e, "failed to collect counters");
            }
            if let Some(slot) = looks.due(now_ms())
                && let Err(e) = ttl_looks::look(shared, job, slot).await
            {
                tracing::warn!(job = job.options.job, error = %e, "failed to look at keys for TTL advice");
            }
        };
        tokio::select! {
            () = work => sampled = Some(slot),
            () = out_of_time(shared) => return Ok(()),
        }
        // All services take theirs at the same times.
        let next = looks.next_ms().unwrap_or(u64::MAX).min((slot + 1) * every_ms);
        let next = i64::try_from(next).ok().and_then(|next| Timestamp::from_millisecond(next).ok());
        if !shared.wait_until(next.unwrap_or(Timestamp::MAX)).await {
            return Ok(());
        }
    }
}

/// Returns when a sample or count in progress should be aborted. Aborting one does no harm, and a store that does not respond
/// must not block the shutdown.
pub(super) async fn out_of_time(shared: &ServiceState) {
    shared.until.cancelled().await;
    sleep(LEFT_AFTER).await;
}

/// Takes the sample of one time slot, evaluates alerts on it and publishes both.
async fn sample(
    shared: &ServiceState,
    job: &ServedJob,
    slot: u64,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let (env, options) = (&shared.context, &job.options);
    let client = match RedisClient::discover(options.access.clone()).await {
        Ok(client) => client,
        Err(fault) => {
            env.telemetry.unreachable(&options.alias, &fault.address);
            return Err(fault.into());
        }
    };
    let source = &options.application.hit_rate;
    let application = collect::application_counters(&client, source, (&env.integrations, &options.job))
        .await
        .unwrap_or_else(|problem| {
            tracing::warn!(job = options.job, "no hit rate: {problem}");
            None
        });
    let purpose = SnapshotMeta {
        job: options.job.clone(),
        redis: options.alias.clone(),
        run: None,
        phase: SnapshotPhase::Between,
    };
    let checked = check_health(&client).await;
    env.telemetry.checked(&options.alias, &checked.health);
    let taken = purpose.snapshot(&checked, application, now_ms());
    if !counter_snapshot::create_at(&*env.history_store, slot, &taken).await? {
        return Ok(());
    }
    let all = counter_snapshot::of(&*env.history_store, &options.alias).await?;
    let runs = alerting::runs_of(env, &options.job).await?;
    let window = CounterSnapshots::new(&all, &options.job, source).latest();
    let judged =
        alerting::evaluate_alerts(env, &options.job, &runs, (&all, source), window.as_ref(), None).await?;
    for problem in judged.problems {
        tracing::warn!(job = options.job, "{problem}");
    }
    summarise(shared, job, &runs, &all).await?;
    Ok(())
}

/// Publishes the summary of the week that has ended, once.
async fn summarise(
    shared: &ServiceState,
    job: &ServedJob,
    runs: &[RunLine],
    all: &[CounterSnapshot],
) -> Result<(), StoreError> {
    let (name, source) = (&job.options.job, &job.options.application.hit_rate);
    let week = now_ms().saturating_sub(FIRST_MONDAY_MS) / WEEK_MS;
    let monday_ms = FIRST_MONDAY_MS + week * WEEK_MS;
    // A week without samples has no summary.
    if !all.iter().any(|sample| (monday_ms - WEEK_MS..monday_ms).contains(&sample.at_ms)) {
        return Ok(());
    }
    let until: Vec<CounterSnapshot> =
        all.iter().filter(|sample| sample.at_ms <= monday_ms).cloned().collect();
    let samples = CounterSnapshots::new(&until, name, source);
    let data = json!(summary(runs, Some(&job.options.selection()), &until, &samples, WEEK_MS, monday_ms));
    let monday = rfc3339(monday_ms);
    let key = format!("summaries/{name}/{}", &monday[..10]);
    if let Created::Now(_) = shared.context.history_store.create(&key, data.to_string().into_bytes()).await? {
        tracing::info!("[{}] Last week: {data}", job.options.display_name);
        shared.context.emit_event(&Event::summary(name, &monday[..10], monday_ms, data)).await;
    }
    Ok(())
}
