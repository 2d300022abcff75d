//! The phases of a run. One pure function refuses transitions that do not exist.

use keysweep_model::result::Status;
use reporter::Fold;
use serde::{Deserialize, Serialize};
use strum::{Display, IntoStaticStr};
use thiserror::Error;

/// The phase of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Display, IntoStaticStr, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum RunPhase {
    /// Its tasks are stored.
    #[default]
    Planned,
    /// Tasks are being scanned.
    Scanning,
    /// All tasks have reports; batches are in work.
    Reaping,
    /// All batches have receipts; the result is being computed.
    Reporting,
    /// The result is stored.
    #[strum(serialize = "done")]
    Ended(Status),
}

impl RunPhase {
    /// The phase of a run that has not ended, by its name; `None` for other texts.
    #[must_use]
    pub(crate) fn in_progress(name: &str) -> Option<Self> {
        let phases = [Self::Planned, Self::Scanning, Self::Reaping, Self::Reporting];
        phases.into_iter().find(|phase| <&str>::from(phase) == name)
    }

    /// The phase according to the records in `fold`. Never goes back.
    #[must_use]
    pub(crate) fn advanced(self, fold: &Fold) -> Self {
        let steps = [
            (fold.planned(), PhaseEvent::Released),
            (fold.scanned(), PhaseEvent::Scanned),
            (fold.complete(), PhaseEvent::Reaped),
        ];
        let due = steps.into_iter().filter(|(due, _)| *due);
        due.fold(self, |phase, (_, event)| next(phase, event).unwrap_or(phase))
    }
}

/// What moves a run to another phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PhaseEvent {
    /// The tasks of the plan are known.
    Released,
    /// Every task has a report.
    Scanned,
    /// Every batch has a receipt.
    Reaped,
    /// The result is stored.
    Result(Status),
}

/// A transition that does not exist: a bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a run in phase {0:?} does not accept {1:?}")]
pub struct InvalidTransition(RunPhase, PhaseEvent);

/// The phase after `event`. A reporter may store the result while this process still waits for receipts, because it
/// reads the same records. A run that has ended stays so.
///
/// # Errors
/// If there is no such transition.
pub fn next(phase: RunPhase, event: PhaseEvent) -> Result<RunPhase, InvalidTransition> {
    match (phase, event) {
        (RunPhase::Planned, PhaseEvent::Released) => Ok(RunPhase::Scanning),
        (RunPhase::Scanning, PhaseEvent::Scanned) => Ok(RunPhase::Reaping),
        (RunPhase::Reaping, PhaseEvent::Reaped) => Ok(RunPhase::Reporting),
        (RunPhase::Reaping | RunPhase::Reporting, PhaseEvent::Result(status)) => Ok(RunPhase::Ended(status)),
        (phase, event) => Err(InvalidTransition(phase, event)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_moves_forward_only() {
        let phases = [
            RunPhase::Planned,
            RunPhase::Scanning,
            RunPhase::Reaping,
            RunPhase::Reporting,
            RunPhase::Ended(Status::Partial),
        ];
        let events = [
            PhaseEvent::Released,
            PhaseEvent::Scanned,
            PhaseEvent::Reaped,
            PhaseEvent::Result(Status::Partial),
        ];
        let transitions = [(0, 0, 1), (1, 1, 2), (2, 2, 3), (2, 3, 4), (3, 3, 4)];
        for (p, phase) in phases.iter().enumerate() {
            for (e, event) in events.iter().enumerate() {
                let expected = transitions.iter().find(|(from, by, _)| (*from, *by) == (p, e));
                assert_eq!(
                    next(*phase, *event).ok(),
                    expected.map(|(_, _, to)| phases[*to]),
                    "{phase:?} {event:?}"
                );
            }
        }
    }
}
