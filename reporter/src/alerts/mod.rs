//! Alerts: a condition is judged after each run and at each sample, an alert is raised once when it begins to hold,
//! stays while it holds, and is resolved once. Pure, with the time as an argument.

mod conditions;

use shared::alerts::{Book, Change, Notice};
use shared::metrics::Alert;
use shared::time::rfc3339;
use uuid::Uuid;

pub use conditions::{Condition, Standing, View, conditions};

/// Notices that wait for their delivery at most; the oldest go first.
const OUTBOX_MAX: usize = 100;

/// The book after `conditions` were judged at `now_ms`.
#[must_use]
pub fn judge(mut book: Book, job: &str, conditions: &[Condition], now_ms: u64) -> Book {
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
                book.outbox.push(Notice::new(Change::Raised, alert, now_ms));
            }
            (Standing::Over, Some(at)) => {
                let alert = book.active.remove(at);
                book.outbox.push(Notice::new(Change::Resolved, alert, now_ms));
            }
            (Standing::Over, None) | (Standing::Unknown, _) => {}
        }
    }
    let beyond = book.outbox.len().saturating_sub(OUTBOX_MAX);
    book.outbox.drain(..beyond);
    book
}
