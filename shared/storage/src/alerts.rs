//! The alerts of a job in the store, under `alerts/<job>`: those that are firing, and the pending notifications with
//! the delivery state of each receiver. Replaced with compare-and-set, so that of several concurrent evaluations or
//! deliveries only one succeeds.

use std::collections::BTreeMap;

use keysweep_model::ids::RunId;
use keysweep_model::metrics::Alert;
use keysweep_model::wire;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use strum::{Display, VariantArray};

use crate::events::AlertData;
use crate::store::{self, Entry, Store, StoreError};

/// The key prefix of all alert states.
pub const ALERTS: &str = "alerts/";

/// A transition of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Display, VariantArray)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum AlertTransition {
    /// It started firing.
    Raised,
    /// It stopped firing.
    Resolved,
}

/// A transition of an alert, to be delivered to receivers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AlertNotification {
    /// The transition.
    pub change: AlertTransition,
    /// The alert at that time.
    pub alert: Alert,
    /// When, in milliseconds since the epoch.
    pub at_ms: u64,
    /// The sequence number among the notifications of a job. 0 in records of older versions.
    #[serde(default)]
    pub sequence: u64,
    /// The delivery state by receiver. Receivers without an entry were not tried yet.
    #[serde(default)]
    pub deliveries: BTreeMap<String, NotificationDelivery>,
}

/// The delivery state of a notification at one receiver.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NotificationDelivery {
    /// Whether the receiver has accepted or rejected it, or delivery was abandoned.
    pub done: bool,
    /// Failed attempts.
    pub tries: u32,
    /// The time of the next attempt, in milliseconds since the epoch.
    pub again_at_ms: u64,
    /// When a process claimed the delivery, in milliseconds since the epoch: no other process tries meanwhile.
    pub claimed_at_ms: Option<u64>,
}

impl AlertNotification {
    /// A notification about `alert`, at `at_ms`.
    #[must_use]
    pub fn new(change: AlertTransition, alert: Alert, at_ms: u64) -> Self {
        Self { change, alert, at_ms, sequence: 0, deliveries: BTreeMap::new() }
    }

    /// The id of the notification, the same for each delivery. It is the id of its event, too.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}/alert/{}/{}", self.alert.job, self.alert.id, self.change)
    }

    /// The event for subscribers and webhooks.
    #[must_use]
    pub fn data(&self) -> serde_json::Value {
        json!(AlertData { alert: &self.alert, change: self.change, sequence: self.sequence })
    }
}

/// The alerts of one job.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AlertStore {
    /// The firing alerts.
    pub active: Vec<Alert>,
    /// Notifications that are still pending for some receiver, the oldest first.
    pub outbox: Vec<AlertNotification>,
    /// The sequence number of the latest notification.
    #[serde(default)]
    pub sequence: u64,
    /// The newest run by which the alerts were evaluated: a process that knows only older runs does not evaluate them.
    #[serde(default)]
    pub last_run: Option<RunId>,
}

impl AlertStore {
    /// Adds a notification about a transition of `alert` at `at_ms`. Sequence numbers increase even if the record was
    /// lost, because they are not below the time.
    pub fn add(&mut self, change: AlertTransition, alert: Alert, at_ms: u64) {
        self.sequence = at_ms.max(self.sequence.saturating_add(1));
        self.outbox.push(AlertNotification {
            sequence: self.sequence,
            ..AlertNotification::new(change, alert, at_ms)
        });
    }
}

/// The alerts of a job, empty if it has none.
///
/// # Errors
/// If the store fails.
pub async fn read(store: &dyn Store, job: &str) -> Result<AlertStore, StoreError> {
    Ok(load(store, job).await?.0)
}

async fn load(store: &dyn Store, job: &str) -> Result<(AlertStore, Option<u64>), StoreError> {
    let Some(entry) = store.get(&key(job)).await? else { return Ok((AlertStore::default(), None)) };
    // A record of another format is replaced by an empty one.
    Ok((wire::from_json(&entry.value).unwrap_or_default(), Some(entry.revision)))
}

/// The first record after `revision` in the order of changes: its job, its content, and its own revision.
///
/// # Errors
/// If the store fails.
pub async fn next_after(
    store: &dyn Store,
    revision: u64,
) -> Result<Option<(String, AlertStore, u64)>, StoreError> {
    let Some(Entry { key, value, revision, .. }) = store.next_after(ALERTS, revision).await? else {
        return Ok(None);
    };
    let job = key.strip_prefix(ALERTS).unwrap_or(&key).to_owned();
    Ok(Some((job, wire::from_json(&value).unwrap_or_default(), revision)))
}

/// Replaces the record by the result of `change`, and returns it together with the value that `change` returned.
///
/// # Errors
/// If the store fails.
pub async fn replace<T>(
    store: &dyn Store,
    job: &str,
    change: impl Fn(AlertStore) -> (AlertStore, T),
) -> Result<(AlertStore, T), StoreError> {
    loop {
        let (before, revision) = load(store, job).await?;
        let (after, said) = change(before.clone());
        if after == before {
            return Ok((after, said));
        }
        let value = serde_json::to_vec(&after).map_err(|e| StoreError(e.to_string()))?;
        if store::write(store, &key(job), value, revision).await?.is_some() {
            return Ok((after, said));
        }
    }
}

fn key(job: &str) -> String {
    format!("{ALERTS}{job}")
}
