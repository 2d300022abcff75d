//! The past of a job as decisions see it, from what is kept: the lines of its runs, and snapshots of counters.

use jiff::Timestamp;
use keysweep_model::ids::RunId;
use keysweep_model::result::Status;
use keysweep_model::selection::Selection;
use keysweep_storage::counter_snapshot::{CounterSnapshot, SnapshotPhase};
use keysweep_storage::decisions::DecisionRecord;
use keysweep_storage::history::RunLine;
use std::time::Duration;
use xxhash_rust::xxh3::Xxh3;

use super::simulate::Arrivals;
use super::{KeyCount, Lesson, PastRun, lossy, surplus, whole};

/// The runs of `lines`, the oldest first, as far as decisions count from them: all but dry runs of other starters than the schedule.
#[must_use]
pub fn runs(lines: &[RunLine], snapshots: &[CounterSnapshot], selection: &Selection) -> Vec<PastRun> {
    let mut runs: Vec<PastRun> =
        lines.iter().filter(|line| counts(line)).filter_map(|line| run(line, snapshots, selection)).collect();
    runs.sort_by_key(|run| run.started);
    runs
}

/// Whether decisions count from a run.
#[must_use]
pub fn counts(line: &RunLine) -> bool {
    line.scheduled || !line.dry_run
}

fn run(line: &RunLine, snapshots: &[CounterSnapshot], selection: &Selection) -> Option<PastRun> {
    let started: Timestamp = line.started_at.parse().ok()?;
    let ended = line.finished_at.as_ref().and_then(|at| at.parse().ok());
    let counted = |phase| snapshot(snapshots, line.run_id, phase).and_then(sample);
    Some(PastRun {
        started,
        ended: ended.unwrap_or(started),
        lesson: lesson(line, selection),
        before: counted(SnapshotPhase::Begin),
        after: counted(SnapshotPhase::End),
        usage_after: snapshot(snapshots, line.run_id, SnapshotPhase::End)
            .and_then(|snapshot| snapshot.memory_usage_percent),
    })
}

/// What a run says: only one that was complete, changed keys, and looked at the same keys as the next one will.
fn lesson(line: &RunLine, selection: &Selection) -> Lesson {
    match line.status {
        None => Lesson::InProgress,
        Some(Status::Completed) if line.dry_run || !line.writes => Lesson::Nothing,
        Some(Status::Completed) if line.selection.as_ref() != Some(selection) => Lesson::Nothing,
        Some(Status::Completed) => Lesson::Found(line.stale_unprotected_keys.unwrap_or(line.stale_ttl_keys)),
        Some(_) => Lesson::Failed,
    }
}

fn snapshot(all: &[CounterSnapshot], run: RunId, phase: SnapshotPhase) -> Option<&CounterSnapshot> {
    all.iter().find(|snapshot| snapshot.run_id == Some(run) && snapshot.phase == phase)
}

/// The keys in a snapshot; `None` if a server did not count those without TTL, as in snapshots of earlier versions.
#[must_use]
pub fn sample(snapshot: &CounterSnapshot) -> Option<KeyCount> {
    let at_ms = i64::try_from(snapshot.at_ms).ok()?;
    let (mut keys, mut without_ttl, mut servers) = (0_u64, 0_u64, Vec::new());
    for node in &snapshot.nodes {
        keys = keys.saturating_add(node.keys);
        without_ttl = without_ttl.saturating_add(node.without_ttl?);
        servers.push((node.node.to_string(), node.process.as_str()));
    }
    servers.sort_unstable();
    let mut hash = Xxh3::new();
    for (node, process) in &servers {
        [node.as_str(), process].into_iter().for_each(|part| {
            hash.update(part.as_bytes());
            hash.update(&[0]);
        });
    }
    let at = Timestamp::from_millisecond(at_ms).ok()?;
    (!servers.is_empty()).then(|| KeyCount { at, keys, without_ttl, servers: hash.digest() })
}

/// The latest count of keys.
#[must_use]
pub fn latest(snapshots: &[CounterSnapshot]) -> Option<KeyCount> {
    snapshots.iter().max_by_key(|snapshot| snapshot.at_ms).and_then(sample)
}

/// The interval that was decided before the last run.
#[must_use]
pub fn previous(kept: &[DecisionRecord], runs: &[PastRun]) -> Option<Duration> {
    let last = runs.last()?.started;
    let newest = kept.last()?;
    let followed = newest.last_run.as_ref().and_then(|run| run.parse::<Timestamp>().ok());
    let seconds = if followed.is_some_and(|followed| followed >= last) {
        newest.previous_interval_seconds?
    } else {
        newest.interval_seconds
    };
    Some(Duration::from_secs(seconds))
}

/// What the complete runs found, the oldest first.
#[must_use]
pub fn found(runs: &[PastRun]) -> Vec<u64> {
    let found = |run: &PastRun| if let Lesson::Found(found) = run.lesson { Some(found) } else { None };
    runs.iter().filter_map(found).collect()
}

/// Whether the surplus was what the last complete runs found.
#[must_use]
pub fn surplus_fits(runs: &[PastRun]) -> bool {
    surplus::is_of_the_job(&complete(runs))
}

fn complete(runs: &[PastRun]) -> Vec<&PastRun> {
    runs.iter().filter(|run| matches!(run.lesson, Lesson::Found(_))).collect()
}

/// When the stale keys of complete runs arrived: as the keys without TTL grew between two runs, if those were counted, or
/// else evenly.
#[must_use]
pub fn arrivals(runs: &[PastRun], snapshots: &[CounterSnapshot]) -> Arrivals {
    let complete = complete(runs);
    let mut samples: Vec<KeyCount> = snapshots.iter().filter_map(sample).collect();
    samples.sort_by_key(|sample| sample.at);
    let mut arrivals = Arrivals(complete.first().map(|first| (first.started, 0)).into_iter().collect());
    let mut total = 0_u64;
    for pair in complete.windows(2) {
        let ([earlier, run], Lesson::Found(found)) = (pair, pair[1].lesson) else { continue };
        let grown = earlier
            .after
            .zip(run.before)
            .and_then(|(left, begun)| Some((left, surplus::between(left, begun).ok()?)));
        let mut highest = total;
        for sample in samples.iter().filter(|sample| sample.at > earlier.started && sample.at < run.started) {
            let Some((left, grown)) = grown.filter(|(_, grown)| *grown > 0) else { break };
            let part = surplus::between(left, *sample).map(|now| lossy(now) / lossy(grown));
            let arrived = total.saturating_add(whole(part.unwrap_or_default().min(1.0) * lossy(found)));
            highest = highest.max(arrived);
            arrivals.0.push((sample.at, highest));
        }
        total = total.saturating_add(found);
        arrivals.0.push((run.started, total));
    }
    arrivals
}
