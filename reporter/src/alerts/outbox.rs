//! Decides which notification is delivered to which receiver next. Each receiver gets the notifications of one alert in
//! the order of their creation: the next one waits until the previous one was delivered, refused or given up. So
//! `raised` never follows the `resolved` of the same alert, whichever process delivers. A process claims a delivery in
//! the alert store before it starts. Pure, with the time as an argument.
//!
//! A process that is suspended for longer than [`NOTIFICATION_CLAIM`] during a delivery may still deliver late: the receiver
//! detects this by the sequence number.

use std::collections::BTreeSet;
use std::time::Duration;

use keysweep_model::duration::millis;
use keysweep_storage::alerts::{AlertNotification, AlertStore, NotificationDelivery};

use crate::limits::{NOTIFICATION_CLAIM, NOTIFICATION_LIFE, NOTIFICATION_PAUSE_MAX};

/// The receivers of a job's notifications.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receivers {
    /// Their names, each once.
    pub names: BTreeSet<String>,
    /// Whether this is the complete list: no other process knows further receivers.
    pub all: bool,
}

/// A claimed delivery: one notification to one receiver.
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    /// The receiver.
    pub receiver: String,
    /// The notification, as it was before the claim.
    pub notification: AlertNotification,
    /// When it was claimed, in milliseconds since the epoch.
    pub at_ms: u64,
}

/// The result of a delivery attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryResult {
    /// The receiver accepted it.
    Delivered,
    /// It failed and may succeed later.
    Failed,
    /// The receiver refused it permanently.
    Refused,
}

impl Receivers {
    /// Whether all receivers are done with `notification`.
    fn are_done(&self, notification: &AlertNotification) -> bool {
        self.all
            && self
                .names
                .iter()
                .all(|name| notification.deliveries.get(name).is_some_and(|delivery| delivery.done))
    }
}

/// Drops the notifications that no receiver waits for.
pub fn prune(store: &mut AlertStore, receivers: &Receivers, now_ms: u64) {
    store.outbox.retain(|notification| {
        let tried = |delivery: &NotificationDelivery| delivery.tries > 0 || delivery.done;
        let given_up = is_over(notification, now_ms) && notification.deliveries.values().any(tried);
        !given_up && !receivers.are_done(notification)
    });
}

/// Claims all deliveries to `receivers` that are due.
pub fn claim(store: &mut AlertStore, receivers: &Receivers, now_ms: u64) -> Vec<Claim> {
    prune(store, receivers, now_ms);
    let mut claims = Vec::new();
    for receiver in &receivers.names {
        // Alerts that have an earlier undelivered notification.
        let mut waiting = BTreeSet::new();
        for notification in &mut store.outbox {
            let before = notification.deliveries.get(receiver);
            if before.is_some_and(|delivery| delivery.done)
                || !waiting.insert(notification.alert.alert.clone())
            {
                continue;
            }
            if before.is_none_or(|delivery| is_free(delivery, now_ms)) {
                claims.push(Claim {
                    receiver: receiver.clone(),
                    notification: notification.clone(),
                    at_ms: now_ms,
                });
                notification.deliveries.entry(receiver.clone()).or_default().claimed_at_ms = Some(now_ms);
            }
        }
    }
    claims
}

/// Records the result of a claimed delivery. Retries are delayed with exponential backoff, starting at `first`.
pub fn record_delivery(
    store: &mut AlertStore,
    claim: &Claim,
    tried: DeliveryResult,
    now_ms: u64,
    first: Duration,
) {
    let id = claim.notification.id();
    let Some(notification) = store.outbox.iter_mut().find(|notification| notification.id() == id) else {
        return;
    };
    let over = is_over(notification, now_ms);
    let delivery = notification.deliveries.entry(claim.receiver.clone()).or_default();
    if tried == DeliveryResult::Failed && delivery.claimed_at_ms != Some(claim.at_ms) {
        // The claim expired, and another process is delivering now.
        return;
    }
    delivery.claimed_at_ms = None;
    delivery.tries += u32::from(tried != DeliveryResult::Delivered);
    delivery.done |= tried != DeliveryResult::Failed || over;
    delivery.again_at_ms = now_ms.saturating_add(millis(pause(delivery.tries, first)));
}

/// The delay after `tries` failed attempts.
#[must_use]
pub fn pause(tries: u32, first: Duration) -> Duration {
    first.saturating_mul(1 << tries.saturating_sub(1).min(16)).min(NOTIFICATION_PAUSE_MAX)
}

fn is_over(notification: &AlertNotification, now_ms: u64) -> bool {
    now_ms.saturating_sub(notification.at_ms) > millis(NOTIFICATION_LIFE)
}

/// Whether an undelivered notification may be attempted. A time too far away comes from a clock that was changed since.
fn is_free(delivery: &NotificationDelivery, now_ms: u64) -> bool {
    match delivery.claimed_at_ms {
        Some(claimed) => claimed.abs_diff(now_ms) > millis(NOTIFICATION_CLAIM),
        None => {
            delivery.again_at_ms <= now_ms || delivery.again_at_ms - now_ms > millis(NOTIFICATION_PAUSE_MAX)
        }
    }
}
