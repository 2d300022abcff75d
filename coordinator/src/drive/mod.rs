//! Drives one run to its result: publishes its tasks, plans what they return, enforces the limits and checks for
//! failovers. A pure state machine ([`RunState`]) decides, and an executor carries out its effects. All that a leader
//! knows it reads from the records, so a successor can continue. The lease is renewed elsewhere
//! (`coordinator/src/leader.rs`).

mod detail;
mod display;
mod effect;
mod election;
mod executor;
mod failover_check;
mod grants;
mod input;
mod node_queries;
mod plan_request;
mod progress;
mod recorded_state;
mod reschedule;
mod run_state;
mod scan_map;
#[cfg(test)]
mod tests;
mod watchdog;

use std::time::Duration;

use keysweep_model::ids::RunId;
use keysweep_model::result::CleanupResult;
use keysweep_model::time::now_ms;
use keysweep_model::wire::WireError;
use keysweep_runtime::context::Context;
use keysweep_storage::records::RecordError;
use thiserror::Error;
use tokio::time::sleep_until;

use self::executor::Executor;
use crate::task_ids::TaskIds;

pub(crate) use detail::shown_prefixes;
pub use detail::{PacedNow, RunDetail};
pub use display::{RunDisplay, ShownRun};
pub use effect::{Effect, Notice, RunEvent};
pub use election::Epoch;
pub use input::{HistoryReply, Input, OpenBatch};
pub use plan_request::{NodeAnswer, NodeQuery, PlanPart, PlanRequest};
pub use progress::Progress;
pub use recorded_state::RecordedState;
pub use run_state::{LeaderConfig, RunState};
pub use scan_map::{MapUnit, PartCounts, PartState, ScanMap, Span, Strip};

/// Why a run could not be driven to its end.
#[derive(Debug, Error)]
pub enum DriveError {
    /// The records failed.
    #[error(transparent)]
    Records(#[from] RecordError),
    /// A message failed.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The run does not exist.
    #[error("there is no run `{0}`")]
    NoSpec(RunId),
    /// Another process is the leader, and refuses this one's decisions.
    #[error("another coordinator has taken run `{0}` over")]
    Fenced(RunId),
}

/// The longest time between two ticks.
const TICK: Duration = Duration::from_millis(50);

/// Drives `run`, whose plan is stored, to its result, as the leader `process_id`, and shows it at `display`. The preceding
/// leader is fenced from here on.
///
/// # Errors
/// When the records fail for good, or another process becomes the leader.
pub async fn drive(
    context: &Context,
    run: RunId,
    process_id: &str,
    display: impl Into<RunDisplay>,
) -> Result<CleanupResult, DriveError> {
    let mut display = display.into();
    let records = context.records(run);
    let epoch = election::elect(&records, process_id).await?;
    let spec = records.spec().await?.ok_or(DriveError::NoSpec(run))?;
    let config = LeaderConfig {
        epoch,
        timing: context.timing,
        max_inflight_tasks: context.max_inflight_tasks,
        publishes: context.is_kept(),
        one_process: !context.distributed,
        runtime_before: spec.runtime(now_ms()),
        task_ids: TaskIds::random(),
    };
    let mut executor = Executor::new(context, RunState::new(spec, config), process_id);
    let mut notes = context.notes.listen(run).await;
    let mut watch = records.watch().await?;
    loop {
        executor.step(Input::Tick).await?;
        let input = tokio::select! {
            record = watch.next() => Some(Input::Record(Box::new(record?))),
            note = notes.next() => Some(Input::Note(note)),
            () = sleep_until(executor.next_tick()) => None,
        };
        if let Some(input) = input
            && let Some(result) = executor.step(input).await?
        {
            return Ok(*result);
        }
        display.show(&executor);
    }
}
