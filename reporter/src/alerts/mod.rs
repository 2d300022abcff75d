//! Alerts: each condition is evaluated after every run and at every sample. An alert is raised once when its condition
//! starts to hold, keeps firing while it holds, and is resolved once; its notifications are delivered in that order.
//! Pure, with the time as an argument.

mod conditions;
pub mod outbox;
mod rules;
pub(crate) mod text;

use keysweep_model::ids::{RunId, unique};
use keysweep_model::metrics::Alert;
use keysweep_model::time::rfc3339;
use keysweep_storage::alerts::{AlertStore, AlertTransition};

use crate::limits::NOTIFICATIONS_MAX;

pub use conditions::{AlertState, Condition, ConditionInput, conditions};
pub use rules::RulesFound;

/// The names of all alerts.
#[must_use]
pub fn names() -> Vec<&'static str> {
    conditions::ALERTS
        .iter()
        .map(|alert| alert.name)
        .chain(rules::RULE_ALERTS.map(|(name, _)| name))
        .collect()
}

/// Updates the store with `conditions`, which were evaluated at `now_ms` from runs up to `newest`. If a newer run was
/// evaluated before, the store stays as it is.
#[must_use]
pub fn evaluate(
    mut store: AlertStore,
    job: &str,
    conditions: &[Condition],
    newest: Option<RunId>,
    now_ms: u64,
) -> AlertStore {
    if newest < store.last_run {
        return store;
    }
    store.last_run = newest;
    for condition in conditions {
        let at = store.active.iter().position(|alert| is_of(alert, condition));
        match (&condition.state, at) {
            (AlertState::Firing { message, evidence }, Some(at)) => {
                let alert = &mut store.active[at];
                (alert.message, alert.evidence) = (message.clone(), evidence.clone());
                alert.policy_rule.clone_from(&condition.policy_rule);
            }
            (AlertState::Firing { message, evidence }, None) => {
                let alert = Alert {
                    id: unique(),
                    alert: condition.alert.to_owned(),
                    job: job.to_owned(),
                    severity: condition.severity,
                    message: message.clone(),
                    since: rfc3339(now_ms),
                    evidence: evidence.clone(),
                    policy_rule: condition.policy_rule.clone(),
                };
                store.active.push(alert.clone());
                store.add(AlertTransition::Raised, alert, now_ms);
            }
            (AlertState::Resolved, Some(at)) => {
                let alert = store.active.remove(at);
                store.add(AlertTransition::Resolved, alert, now_ms);
            }
            (AlertState::Resolved, None) | (AlertState::Unknown, _) => {}
        }
    }
    let excess = store.outbox.len().saturating_sub(NOTIFICATIONS_MAX);
    store.outbox.drain(..excess);
    store
}

fn is_of(alert: &Alert, condition: &Condition) -> bool {
    let is_same_rule = match (&alert.policy_rule, &condition.policy_rule) {
        (Some(one), Some(other)) => one.is_same_rule(other),
        (one, other) => one.is_none() && other.is_none(),
    };
    alert.alert == condition.alert && is_same_rule
}
