//! The alerts of a job in the store, under `alerts/<job>`: those that hold, and the notices of them that still have
//! to be delivered, with how far each receiver is. It is replaced as a whole, so that of several who judge or deliver
//! at once one decides.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::ids::RunId;
use crate::metrics::Alert;
use crate::store::{self, Entry, Store, StoreError};
use crate::wire;

/// The beginning of the keys of all books.
pub const ALERTS: &str = "alerts/";

/// What happened to an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlertTransition {
    /// It began to hold.
    Raised,
    /// It holds no more.
    Resolved,
}

impl AlertTransition {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Raised => "raised",
            Self::Resolved => "resolved",
        }
    }
}

/// News of an alert for those who want it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AlertNotification {
    /// What happened.
    pub change: AlertTransition,
    /// The alert as it was then.
    pub alert: Alert,
    /// When, in milliseconds since the epoch.
    pub at_ms: u64,
    /// The order of the notices of a job: a later one has a larger number. 0 in books of older versions.
    #[serde(default)]
    pub sequence: u64,
    /// How its delivery stands, by receiver. One that is not here was not tried yet.
    #[serde(default)]
    pub deliveries: BTreeMap<String, NotificationDelivery>,
}

/// How the delivery of a notice to one receiver stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NotificationDelivery {
    /// Whether the receiver has it, or has refused it, or was given up.
    pub done: bool,
    /// Tries that failed.
    pub tries: u32,
    /// When it may be tried again, in milliseconds since the epoch.
    pub again_at_ms: u64,
    /// Since when a process is trying, in milliseconds since the epoch: no other process tries meanwhile.
    pub claimed_at_ms: Option<u64>,
}

impl AlertNotification {
    /// News of `alert`, at `at_ms`.
    #[must_use]
    pub fn new(change: AlertTransition, alert: Alert, at_ms: u64) -> Self {
        Self { change, alert, at_ms, sequence: 0, deliveries: BTreeMap::new() }
    }

    /// Names the notice: the same one, however often it is delivered. It is the id of its event, too.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}/alert/{}/{}", self.alert.job, self.alert.id, self.change.as_str())
    }

    /// What subscribers and webhooks are told.
    #[must_use]
    pub fn data(&self) -> serde_json::Value {
        let mut data = json!(self.alert);
        data["change"] = json!(self.change);
        data["sequence"] = json!(self.sequence);
        data
    }
}

/// The alerts of one job.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AlertStore {
    /// Those that hold.
    pub active: Vec<Alert>,
    /// Notices that were not delivered to everybody yet, in the order in which they came about.
    pub outbox: Vec<AlertNotification>,
    /// The number of the latest notice.
    #[serde(default)]
    pub sequence: u64,
    /// The newest run that the alerts were judged by: a process that knows only older runs judges nothing.
    #[serde(default)]
    pub last_run: Option<RunId>,
}

impl AlertStore {
    /// Adds a notice of what happened to `alert` at `at_ms`. Numbers grow even if the book was lost meanwhile, because
    /// they are not below the time.
    pub fn add(&mut self, change: AlertTransition, alert: Alert, at_ms: u64) {
        self.sequence = at_ms.max(self.sequence.saturating_add(1));
        self.outbox.push(AlertNotification {
            sequence: self.sequence,
            ..AlertNotification::new(change, alert, at_ms)
        });
    }
}

/// The book of a job, empty if it has none.
///
/// # Errors
/// When the store fails.
pub async fn read(store: &dyn Store, job: &str) -> Result<AlertStore, StoreError> {
    Ok(load(store, job).await?.0)
}

async fn load(store: &dyn Store, job: &str) -> Result<(AlertStore, Option<u64>), StoreError> {
    let Some(entry) = store.get(&key(job)).await? else { return Ok((AlertStore::default(), None)) };
    // A book of another make is begun anew.
    Ok((wire::from_json(&entry.value).unwrap_or_default(), Some(entry.revision)))
}

/// The first book after `revision` in the order of changes: its job, its content, and its own revision.
///
/// # Errors
/// When the store fails.
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

/// Replaces the book by what `change` makes of it, and returns the new one with what `change` says of it.
///
/// # Errors
/// When the store fails.
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
