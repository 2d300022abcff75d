//! Watching a run that workers do, from its records.

use reporter::Fold;
use shared::messages::RunSpec;
use shared::records::{Decision, Record, RecordError, Records};
use shared::result::CleanupResult;
use tokio::sync::watch;

use crate::drive::{Progress, advance};
use crate::state::RunState;

/// Follows a run to its result, and tells how far it is.
///
/// # Errors
/// When the records fail for good.
pub async fn follow(
    records: &Records,
    progress: &watch::Sender<Progress>,
) -> Result<CleanupResult, RecordError> {
    let mut watch = records.watch().await?;
    let (mut fold, mut state) = (Fold::default(), RunState::Planned);
    loop {
        let record = watch.next().await?;
        if let Record::Result(result) = record {
            progress.send_modify(|progress| progress.state = RunState::Ended(result.status));
            return Ok(*result);
        }
        if let Record::Decision { decision: Decision::Took { epoch: 2.., who }, .. } = &record {
            tracing::warn!("the run was left by its coordinator; {who} goes on with it");
        }
        fold.apply(&record);
        state = advance(state, &fold);
        progress.send_modify(|progress| {
            *progress = Progress { state, keys: fold.spec().map_or(0, RunSpec::keys), totals: fold.totals() }
        });
    }
}
