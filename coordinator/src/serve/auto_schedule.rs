//! The part of the service that starts the runs of a job with `schedule = "auto"`. About every minute it counts the keys
//! of the job's database, decides from that and from earlier runs when the next run is due, and starts it then. Several
//! services may run: they share counts and decisions, and the first one to claim a time starts its run.

use std::sync::Arc;

use jiff::Timestamp;
use keysweep_model::duration::millis;
use keysweep_model::time::{now, now_ms};
use keysweep_redis::RedisClient;
use keysweep_redis::health::check_health;
use keysweep_runtime::collect::SnapshotMeta;
use keysweep_storage::counter_snapshot::{self, SnapshotPhase};
use keysweep_storage::decisions;
use keysweep_storage::events::Event;
use keysweep_storage::history::{HISTORY, RunLine};
use keysweep_storage::latest_count::{self, LatestCount, UsageAt, usage_with};
use keysweep_storage::store::{self, StoreError};
use serde_json::json;

use super::sampling::out_of_time;
use super::schedules::{claim_soon, last_claimed, start};
use super::shown::ShownWork;
use super::{ServedJob, ServiceState};
use crate::limits::{AUTO_RUNS_MAX, COUNT_EVERY};
use crate::schedule::auto::memory::{self, Usage};
use crate::schedule::auto::{self, Bounds, Decision, KeyCount, Lesson, PastRun, Situation, explain, past};
use crate::shared_run;

/// When the next run of a job is due.
#[derive(Clone, Debug)]
pub(crate) struct NextRun {
    /// The time; in the past while a run that is due cannot start.
    pub(super) due: Timestamp,
    /// The decision in words, for readers at the time of the latest count.
    pub(super) sentence: String,
}

/// What is known of the runs of a job. Read again when its history has changed.
#[derive(Default)]
struct Past {
    read: u64,
    runs: Vec<PastRun>,
    in_progress: Option<RunLine>,
}

/// Decides about a job, and starts its runs, as long as these jobs are served.
pub(super) async fn run(
    shared: &Arc<ServiceState>,
    job: &ServedJob,
    bounds: &Bounds,
) -> Result<(), StoreError> {
    let every_ms = millis(COUNT_EVERY.min(bounds.min_interval)).max(1_000);
    let (mut past, mut shown) = (Past::default(), None);
    loop {
        let slot_ms = now_ms() / every_ms * every_ms;
        let looked = tokio::select! {
            looked = look(shared, job, bounds, &mut past, slot_ms) => looked,
            () = out_of_time(shared) => return Ok(()),
        };
        let mut wanted = moment(slot_ms + every_ms);
        match looked {
            Ok((decision, starts)) => {
                show(shared, job, past.next_run(&decision), &mut shown);
                if decision.at > now() {
                    wanted = wanted.min(decision.at);
                } else if starts && claim_soon(shared, job, moment(slot_ms)).await {
                    start(shared, job, "schedule").await;
                }
            }
            Err(e) => {
                tracing::warn!(job = job.options.job, error = %e, "failed to decide when the next run is due, will retry");
            }
        }
        if !shared.wait_until(wanted).await {
            return Ok(());
        }
    }
}

/// What is decided in the time slot that begins at `slot_ms`, and whether a run that is due may start.
async fn look(
    shared: &ServiceState,
    job: &ServedJob,
    bounds: &Bounds,
    past: &mut Past,
    slot_ms: u64,
) -> Result<(Decision, bool), StoreError> {
    let latest = count(shared, job, slot_ms).await?;
    past.refresh(shared, job).await?;
    let decision = decide(shared, job, bounds, past, latest.as_ref()).await?;
    let starts = decision.at <= now() && may_start(shared, job, bounds, past).await?;
    Ok((decision, starts))
}

/// The time in milliseconds since the epoch.
fn moment(ms: u64) -> Timestamp {
    i64::try_from(ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or(Timestamp::MAX)
}

/// The decision after what was `counted` last, kept and published if it is another one than before.
async fn decide(
    shared: &ServiceState,
    job: &ServedJob,
    bounds: &Bounds,
    past: &Past,
    counted: Option<&LatestCount>,
) -> Result<Decision, StoreError> {
    let (store, name) = (&*shared.context.history_store, &job.options.job);
    let kept = decisions::of(store, name).await?;
    let previous = past::previous(&kept, &past.runs);
    let now = now();
    let latest = counted.map(key_count);
    let memory =
        counted.and_then(|counted| memory::trend(&counted.usage.iter().map(usage).collect::<Vec<_>>()));
    let (runs, next_look) = (past.runs.as_slice(), COUNT_EVERY.min(bounds.min_interval));
    let situation = Situation { now, job: name, latest, runs, previous, memory, next_look };
    let decision = auto::next(&situation, bounds);
    if past.is_settled(latest) {
        let record = explain::record(&decision, now);
        if decisions::keep(store, name, &record).await? {
            tracing::info!("[{}] Schedule: {}", job.options.display_name, record.sentence);
            shared.context.emit_event(&Event::decided(name, now_ms(), json!(record))).await;
        }
    }
    Ok(decision)
}

/// The keys at the beginning of a time slot; `None` if the servers cannot be asked. Only the first of several services
/// asks them.
async fn count(
    shared: &ServiceState,
    job: &ServedJob,
    slot_ms: u64,
) -> Result<Option<LatestCount>, StoreError> {
    let (store, options) = (&*shared.context.history_store, &job.options);
    let before = latest_count::of(store, &options.job).await?;
    if let Some(latest) = before.as_ref().filter(|latest| latest.at_ms == slot_ms) {
        return Ok(Some(latest.clone()));
    }
    let client = match RedisClient::discover(options.access.clone()).await {
        Ok(client) => client,
        Err(fault) => {
            tracing::warn!(job = options.job, error = %fault, "the keys are not counted");
            return Ok(None);
        }
    };
    let purpose = SnapshotMeta {
        job: options.job.clone(),
        redis: options.alias.clone(),
        run: None,
        phase: SnapshotPhase::Between,
    };
    let snapshot = purpose.snapshot(&check_health(&client).await, None, slot_ms);
    let Some(KeyCount { keys, without_ttl, servers, .. }) = past::sample(&snapshot) else { return Ok(None) };
    // What other processes used says nothing of the growth.
    let kept = before.filter(|before| before.servers == servers).map(|before| before.usage);
    let now = snapshot.memory_usage_percent.map(|percent| UsageAt { at_ms: slot_ms, percent });
    let usage = now.map(|now| usage_with(&kept.unwrap_or_default(), now)).unwrap_or_default();
    let latest = LatestCount { at_ms: slot_ms, keys, without_ttl, servers, usage };
    Ok(Some(latest_count::keep(store, &options.job, latest).await?))
}

fn key_count(latest: &LatestCount) -> KeyCount {
    let LatestCount { at_ms, keys, without_ttl, servers, .. } = *latest;
    KeyCount { at: moment(at_ms), keys, without_ttl, servers }
}

fn usage(point: &UsageAt) -> Usage {
    Usage { at: moment(point.at_ms), percent: point.percent }
}

/// Shows the next run to viewers of the service.
fn show(
    shared: &ServiceState,
    job: &ServedJob,
    next: NextRun,
    shown: &mut Option<ShownWork<String, NextRun>>,
) {
    match shown {
        Some(shown) => shown.change(next),
        None => *shown = Some(shared.decided.enter(job.options.job.clone(), next)),
    }
}

/// Whether a run that is due may start: neither is one in progress, nor has a service claimed one that is not in the
/// history yet.
async fn may_start(
    shared: &ServiceState,
    job: &ServedJob,
    bounds: &Bounds,
    past: &Past,
) -> Result<bool, StoreError> {
    if let Some(line) = &past.in_progress {
        // The next run of the job closes one whose process is gone. Workers carry theirs to the end.
        return match shared.here {
            Some(_) => shared_run::is_silent(&shared.context, line, now_ms()).await,
            None => Ok(false),
        };
    }
    let Some(claimed) = last_claimed(shared, job).await? else { return Ok(true) };
    let follows = past.runs.last().is_some_and(|last| last.started >= claimed);
    let lasts = claimed.saturating_add(bounds.min_interval).unwrap_or(Timestamp::MAX) > now();
    Ok(follows || !lasts)
}

impl Past {
    async fn refresh(&mut self, shared: &ServiceState, job: &ServedJob) -> Result<(), StoreError> {
        let (store, options) = (&*shared.context.history_store, &job.options);
        let changed = store::all_after(store, HISTORY, self.read).await?;
        let Some(read) = changed.last().map(|entry| entry.revision) else { return Ok(()) };
        let is_own = |line: &RunLine| line.job == options.job;
        if changed.iter().filter_map(RunLine::read).any(|line| is_own(&line)) {
            let entries = store::all(store, HISTORY).await?;
            let mut lines: Vec<RunLine> = entries.iter().filter_map(RunLine::read).filter(is_own).collect();
            // Run ids are ordered by time.
            lines.sort_by_key(|line| line.run_id);
            lines.drain(..lines.len().saturating_sub(AUTO_RUNS_MAX));
            let snapshots = counter_snapshot::of(store, &options.alias).await?;
            self.runs = past::runs(&lines, &snapshots, &options.selection());
            let last = lines.into_iter().rfind(past::counts);
            self.in_progress = last.filter(|line| line.status.is_none());
        }
        self.read = read;
        Ok(())
    }

    /// What viewers see of a decision. A run that is due during another one is not late: that one is what was due.
    fn next_run(&self, decision: &Decision) -> NextRun {
        let now = now();
        if self.in_progress.is_some() && decision.at <= now {
            return NextRun { due: now, sentence: "when the run in progress has ended".to_owned() };
        }
        NextRun { due: decision.at, sentence: explain::sentence(decision, now) }
    }

    /// Whether a decision is worth keeping: a run in progress, or keys that were counted before its end, change it soon.
    fn is_settled(&self, latest: Option<KeyCount>) -> bool {
        let Some(last) = self.runs.last() else { return true };
        last.lesson != Lesson::InProgress && latest.is_none_or(|latest| latest.at >= last.ended)
    }
}
