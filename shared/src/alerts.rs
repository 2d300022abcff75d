//! The alerts of a job in the store, under `alerts/<job>`: those that hold, and the notices of them that still have
//! to be delivered. It is replaced as a whole, so that of several who judge at once one decides.

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::metrics::Alert;
use crate::store::{self, Store, StoreError};
use crate::wire;

/// What happened to an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// It began to hold.
    Raised,
    /// It holds no more.
    Resolved,
}

impl Change {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Raised => "raised",
            Self::Resolved => "resolved",
        }
    }
}

/// News of an alert for those who want it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Notice {
    /// What happened.
    pub change: Change,
    /// The alert as it was then.
    pub alert: Alert,
    /// When, in milliseconds since the epoch.
    pub at_ms: u64,
    /// How often it was tried to deliver it.
    pub tries: u32,
    /// When that may be tried again: whoever tries sets this first, so that nobody else does at the same time.
    pub again_at_ms: u64,
}

impl Notice {
    /// News of `alert`, at `at_ms`.
    #[must_use]
    pub fn new(change: Change, alert: Alert, at_ms: u64) -> Self {
        Self { change, alert, at_ms, tries: 0, again_at_ms: at_ms }
    }

    /// Names the notice: the same one, however often it is delivered. It is the id of its event, too.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}/alert/{}/{}", self.alert.job, self.alert.id, self.change.word())
    }

    /// What subscribers and webhooks are told.
    #[must_use]
    pub fn data(&self) -> serde_json::Value {
        let mut data = json!(self.alert);
        data["change"] = json!(self.change);
        data
    }
}

/// The alerts of one job.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Book {
    /// Those that hold.
    pub active: Vec<Alert>,
    /// Notices that were not delivered yet.
    pub outbox: Vec<Notice>,
}

/// The book of a job, empty if it has none.
///
/// # Errors
/// When the store fails.
pub async fn read(store: &dyn Store, job: &str) -> Result<Book, StoreError> {
    Ok(look(store, job).await?.0)
}

async fn look(store: &dyn Store, job: &str) -> Result<(Book, Option<u64>), StoreError> {
    let Some(entry) = store.get(&key(job)).await? else { return Ok((Book::default(), None)) };
    // A book of another make is begun anew.
    Ok((wire::from_json(&entry.value).unwrap_or_default(), Some(entry.revision)))
}

/// Replaces the book by what `change` makes of it, and returns the new one with what `change` says of it.
///
/// # Errors
/// When the store fails.
pub async fn replace<T>(
    store: &dyn Store,
    job: &str,
    change: impl Fn(Book) -> (Book, T),
) -> Result<(Book, T), StoreError> {
    loop {
        let (before, revision) = look(store, job).await?;
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
    format!("alerts/{job}")
}
