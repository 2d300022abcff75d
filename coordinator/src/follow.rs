//! Follows a run on workers by its records.

use keysweep_model::messages::RunSpec;
use keysweep_model::result::CleanupResult;
use keysweep_storage::records::{Decision, Record, RecordError, Records};
use keysweep_storage::task_notes::ReadSoFar;
use reporter::Fold;
use tokio::sync::watch;

use crate::drive::Progress;
use crate::run_phase::RunPhase;

/// Follows a run to its result, and sends its progress.
///
/// # Errors
/// When the records fail for good.
pub async fn follow(
    records: &Records,
    progress: &watch::Sender<Progress>,
) -> Result<CleanupResult, RecordError> {
    let (mut watch, mut so_far) = (records.watch().await?, records.watch_so_far().await?);
    let (mut fold, mut phase, mut read_so_far) = (Fold::default(), RunPhase::Planned, ReadSoFar::default());
    loop {
        let record = tokio::select! {
            record = watch.next() => record?,
            read = so_far.next() => {
                read_so_far = read_so_far.max(read?);
                progress.send_modify(|progress| {
                    *progress = Progress::new(progress.phase, progress.keys, progress.totals, read_so_far);
                });
                continue;
            }
        };
        if let Record::Result(result) = record {
            progress.send_modify(|progress| progress.phase = RunPhase::Ended(result.status));
            return Ok(*result);
        }
        if let Record::Decision { decision: Decision::LeaderElected { epoch: 2.., who }, .. } = &record {
            tracing::warn!("the coordinator of the run is gone; {who} took it over");
        }
        fold.apply(&record);
        phase = phase.advanced(&fold);
        progress.send_modify(|progress| {
            *progress =
                Progress::new(phase, fold.spec().map_or(0, RunSpec::keys), fold.totals(), read_so_far);
        });
    }
}
