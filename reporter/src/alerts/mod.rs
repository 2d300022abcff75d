//! Alerts: a condition is judged after each run and at each sample, an alert is raised once when it begins to hold,
//! stays while it holds, and is resolved once; its notices are delivered in that order. Pure, with the time as an
//! argument.

mod conditions;
pub mod outbox;
pub mod sentence;

use shared::alerts::{AlertStore, AlertTransition};
use shared::ids::RunId;
use shared::limits::NOTICES_MAX;
use shared::metrics::Alert;
use shared::time::rfc3339;
use uuid::Uuid;

pub use conditions::{AlertState, Condition, ConditionInput, conditions};

/// The names of all alerts.
pub const NAMES: [&str; 5] = ["failed-runs", "stale-keys", "hit-rate-low", "errors-high", "success-rate-low"];

/// The book after `conditions`, which rest on `newest` and earlier runs, were judged at `now_ms`. If a newer run was
/// judged already, the book stays as it is.
#[must_use]
pub fn evaluate(
    mut book: AlertStore,
    job: &str,
    conditions: &[Condition],
    newest: Option<RunId>,
    now_ms: u64,
) -> AlertStore {
    if newest < book.last_run {
        return book;
    }
    book.last_run = newest;
    for condition in conditions {
        let at = book.active.iter().position(|alert| alert.alert == condition.alert);
        match (&condition.standing, at) {
            (AlertState::Firing { sentence, evidence }, Some(at)) => {
                let alert = &mut book.active[at];
                (alert.sentence, alert.evidence) = (sentence.clone(), evidence.clone());
            }
            (AlertState::Firing { sentence, evidence }, None) => {
                let alert = Alert {
                    id: Uuid::now_v7(),
                    alert: condition.alert.to_owned(),
                    job: job.to_owned(),
                    severity: condition.severity,
                    sentence: sentence.clone(),
                    since: rfc3339(now_ms),
                    evidence: evidence.clone(),
                };
                book.active.push(alert.clone());
                book.add(AlertTransition::Raised, alert, now_ms);
            }
            (AlertState::Resolved, Some(at)) => {
                let alert = book.active.remove(at);
                book.add(AlertTransition::Resolved, alert, now_ms);
            }
            (AlertState::Resolved, None) | (AlertState::Unknown, _) => {}
        }
    }
    let beyond = book.outbox.len().saturating_sub(NOTICES_MAX);
    book.outbox.drain(..beyond);
    book
}
