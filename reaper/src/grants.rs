//! The grant of a task: which of its batches may act, and how long one waits that has none yet.

use std::time::Duration;

use keysweep_model::ids::TaskId;
use keysweep_model::messages::{Grant, ReapBatch, RunSpec};
use keysweep_storage::records::{RecordError, Records};

use crate::run::GRACE_WAIT_MAX;

/// The shortest and the longest delay before a batch is checked again that should have its grant by now. A batch of an
/// interrupted scan attempt is requeued until the task has a grant, which does not list it, or until its run ends.
const GRANT_WAITS: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));

/// How long a batch without a grant waits. This uses our clock, not the node's: it only decides when the batch is
/// checked again.
pub(crate) fn until_granted(batch: &ReapBatch, now_ms: u64) -> Duration {
    let early = Duration::from_millis(batch.not_before_ms.saturating_sub(now_ms));
    let late = Duration::from_millis(now_ms.saturating_sub(batch.not_before_ms));
    let (shortest, longest) = GRANT_WAITS;
    if early.is_zero() { (late / 4).clamp(shortest, longest) } else { (early + shortest).min(GRACE_WAIT_MAX) }
}

/// Which batches of `task` may act; `None` until that is decided.
pub(crate) async fn grant(
    records: &Records,
    spec: &RunSpec,
    task: TaskId,
) -> Result<Option<Grant>, RecordError> {
    if spec.grants {
        return records.grant(task).await;
    }
    Ok(records.report(task).await?.map(|report| Grant::claimed(&report)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::work::tests::batch_of;

    #[test]
    fn a_batch_without_grant_is_checked_when_due_and_then_less_often() {
        let batch = ReapBatch { not_before_ms: 10_000, not_after_ms: 20_000, ..batch_of(Vec::new(), 0) };
        let check = |now_ms, expected| {
            assert_eq!(until_granted(&batch, now_ms), Duration::from_millis(expected), "{now_ms}");
        };
        check(0, 500);
        check(9_900, 105);
        check(10_000, 5);
        check(10_100, 25);
        check(11_000, 250);
        check(u64::MAX, 1_000);
        let never = ReapBatch { not_before_ms: u64::MAX, ..batch };
        assert_eq!(until_granted(&never, 0), GRACE_WAIT_MAX);
    }
}
