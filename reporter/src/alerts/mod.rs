//! Alerts: a condition is judged after each run and at each sample, an alert is raised once when it begins to hold,
//! stays while it holds, and is resolved once; its notices are delivered in that order. Pure, with the time as an
//! argument.

mod conditions;
pub mod outbox;
pub mod told;

use shared::alerts::{Book, Change};
use shared::ids::RunId;
use shared::limits::NOTICES_MAX;
use shared::metrics::Alert;
use shared::time::rfc3339;
use uuid::Uuid;

pub use conditions::{Condition, Standing, View, conditions};

/// The names of all alerts.
pub const NAMES: [&str; 5] = ["failed-runs", "stale-keys", "hit-rate-low", "errors-high", "success-rate-low"];

/// The book after `conditions`, which rest on `newest` and earlier runs, were judged at `now_ms`. If a newer run was
/// judged already, the book stays as it is.
#[must_use]
pub fn judge(
    mut book: Book,
    job: &str,
    conditions: &[Condition],
    newest: Option<RunId>,
    now_ms: u64,
) -> Book {
    if newest < book.judged {
        return book;
    }
    book.judged = newest;
    for condition in conditions {
        let at = book.active.iter().position(|alert| alert.alert == condition.alert);
        match (&condition.standing, at) {
            (Standing::Holds { sentence, evidence }, Some(at)) => {
                let alert = &mut book.active[at];
                (alert.sentence, alert.evidence) = (sentence.clone(), evidence.clone());
            }
            (Standing::Holds { sentence, evidence }, None) => {
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
                book.add(Change::Raised, alert, now_ms);
            }
            (Standing::Over, Some(at)) => {
                let alert = book.active.remove(at);
                book.add(Change::Resolved, alert, now_ms);
            }
            (Standing::Over, None) | (Standing::Unknown, _) => {}
        }
    }
    let beyond = book.outbox.len().saturating_sub(NOTICES_MAX);
    book.outbox.drain(..beyond);
    book
}
