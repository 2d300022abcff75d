//! The states of a run. One pure function refuses illegal moves.

use shared::result::Status;
use thiserror::Error;

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunState {
    /// Its tasks are stored.
    Planned,
    /// Tasks are being read.
    Scanning,
    /// All tasks have reports; batches are at work.
    Reaping,
    /// All batches have receipts; the result is being made.
    Reporting,
    /// The result is stored.
    Ended(Status),
}

impl RunState {
    /// The word for it, for people.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Scanning => "scanning",
            Self::Reaping => "reaping",
            Self::Reporting => "reporting",
            Self::Ended(_) => "done",
        }
    }
}

/// What happens to a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunEvent {
    /// The first task was handed out, or there is none.
    Released,
    /// Every task has a report.
    Scanned,
    /// Every batch has a receipt.
    Reaped,
    /// The result is stored.
    Result(Status),
}

/// A move that the state does not allow: a bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a run that is {0:?} cannot take {1:?}")]
pub struct InvalidTransition(RunState, RunEvent);

/// The state after `event`. Another reporter may store the result at any time, because it reads the same
/// records; nothing moves a run that has ended.
///
/// # Errors
/// If the move is illegal.
pub fn next(state: RunState, event: RunEvent) -> Result<RunState, InvalidTransition> {
    match (state, event) {
        (RunState::Planned, RunEvent::Released) => Ok(RunState::Scanning),
        (RunState::Scanning, RunEvent::Scanned) => Ok(RunState::Reaping),
        (RunState::Reaping, RunEvent::Reaped) => Ok(RunState::Reporting),
        (RunState::Reaping | RunState::Reporting, RunEvent::Result(status)) => Ok(RunState::Ended(status)),
        (state, event) => Err(InvalidTransition(state, event)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_moves_forward_only() {
        let states = [
            RunState::Planned,
            RunState::Scanning,
            RunState::Reaping,
            RunState::Reporting,
            RunState::Ended(Status::Partial),
        ];
        let events =
            [RunEvent::Released, RunEvent::Scanned, RunEvent::Reaped, RunEvent::Result(Status::Partial)];
        let legal = [(0, 0, 1), (1, 1, 2), (2, 2, 3), (2, 3, 4), (3, 3, 4)];
        for (s, state) in states.iter().enumerate() {
            for (e, event) in events.iter().enumerate() {
                let expected = legal.iter().find(|(from, by, _)| (*from, *by) == (s, e));
                assert_eq!(
                    next(*state, *event).ok(),
                    expected.map(|(_, _, to)| states[*to]),
                    "{state:?} {event:?}"
                );
            }
        }
    }
}
