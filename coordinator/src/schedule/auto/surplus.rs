//! Stale keys without looking at one: the keys without TTL that servers count, less those that the last complete run
//! left. Right only as long as the same processes count, and only if most keys that lose their TTL are the job's: both is
//! checked, and the surplus is not used otherwise.

use thiserror::Error;

use super::{KeyCount, Lesson, PastRun, Situation};

/// How many runs show whether the surplus is what runs find.
const RUNS: usize = 7;

/// By how much they may differ: one part in this many.
const DIFFERENCE_PART: u64 = 4;

/// Why the surplus is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Hold {
    /// There is no count of keys.
    #[error("the keys without TTL are not counted")]
    NoSample,
    /// A run is in progress, and changes the counts.
    #[error("a run is in progress")]
    InProgress,
    /// There is no complete run, or none whose end was counted.
    #[error("no complete run has counted what it left")]
    NoBaseline,
    /// A server was restarted or has failed over, slots have moved, or one does not answer.
    #[error("other server processes count the keys than at the last complete run")]
    OtherServers,
    /// There are fewer keys without TTL than the last run left.
    #[error("fewer keys are without TTL than the last complete run left")]
    Negative,
    /// The last two complete runs left numbers that differ by more than the threshold.
    #[error("the last two complete runs left very different numbers of keys without TTL")]
    BaselineJumped,
    /// Runs have found far less, or more, than the surplus was.
    #[error("the keys without TTL are not only those of the job: its runs found other numbers")]
    NotOfTheJob,
}

/// The stale keys by the surplus.
///
/// # Errors
/// Why it is not used.
pub(super) fn surplus(of: &Situation<'_>, threshold: u64) -> Result<u64, Hold> {
    let latest = of.latest.ok_or(Hold::NoSample)?;
    if of.runs.last().is_some_and(|last| last.lesson == Lesson::InProgress) {
        return Err(Hold::InProgress);
    }
    let complete: Vec<&PastRun> =
        of.runs.iter().filter(|run| matches!(run.lesson, Lesson::Found(_))).collect();
    let baseline = complete.last().and_then(|run| run.after).ok_or(Hold::NoBaseline)?;
    if latest.at < baseline.at {
        // It was counted before the run that it would have to be compared with.
        return Err(Hold::NoSample);
    }
    let surplus = between(baseline, latest)?;
    let earlier = complete.iter().rev().nth(1).and_then(|run| run.after);
    let jumped = |earlier: KeyCount| earlier.without_ttl.abs_diff(baseline.without_ttl) > threshold;
    if earlier.filter(|earlier| earlier.servers == baseline.servers).is_some_and(jumped) {
        return Err(Hold::BaselineJumped);
    }
    if is_of_the_job(&complete) { Ok(surplus) } else { Err(Hold::NotOfTheJob) }
}

/// The keys without TTL that were added from `before` to `after`.
pub(super) fn between(before: KeyCount, after: KeyCount) -> Result<u64, Hold> {
    if before.servers != after.servers {
        return Err(Hold::OtherServers);
    }
    after.without_ttl.checked_sub(before.without_ttl).ok_or(Hold::Negative)
}

/// Whether the last runs found what the surplus was when they began; true as long as nothing is known. The sums are
/// compared: a coefficient of determination would reject an even growth, which has no variance to explain.
pub(super) fn is_of_the_job(complete: &[&PastRun]) -> bool {
    let (mut differences, mut larger) = (0_u64, 0_u64);
    for pair in complete.windows(2).rev().take(RUNS) {
        let ([earlier, run], Lesson::Found(found)) = (pair, pair[1].lesson) else { continue };
        let Some(Ok(surplus)) = earlier.after.zip(run.before).map(|(left, begun)| between(left, begun))
        else {
            continue;
        };
        differences = differences.saturating_add(surplus.abs_diff(found));
        larger = larger.saturating_add(surplus.max(found));
    }
    differences <= larger / DIFFERENCE_PART
}
