//! The latest count of the keys of a job's database, for decisions about when it runs: one entry per job, under
//! `counts/<job>`, as JSON. Services that serve the same job share it, so that they decide the same.

use keysweep_model::wire;
use serde::{Deserialize, Serialize};

use crate::store::{self, Store, StoreError};

/// A count of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LatestCount {
    /// The time for which it was made, in milliseconds since the epoch.
    pub at_ms: u64,
    /// All keys.
    pub keys: u64,
    /// Those without TTL.
    pub without_ttl: u64,
    /// Identifies the server processes that counted.
    pub servers: u64,
}

/// The latest count for a job; `None` if there is none.
///
/// # Errors
/// If the store fails.
pub async fn of(store: &dyn Store, job: &str) -> Result<Option<LatestCount>, StoreError> {
    let entry = store.get(&key(job)).await?;
    Ok(entry.and_then(|entry| wire::from_json(&entry.value).ok()))
}

/// Keeps a count instead of an earlier one. Returns the latest: another process may have been faster.
///
/// # Errors
/// If the store fails.
pub async fn keep(store: &dyn Store, job: &str, count: LatestCount) -> Result<LatestCount, StoreError> {
    let value = serde_json::to_vec(&count).map_err(|e| StoreError(e.to_string()))?;
    loop {
        let before = store.get(&key(job)).await?;
        let kept = before.as_ref().and_then(|entry| wire::from_json::<LatestCount>(&entry.value).ok());
        if let Some(kept) = kept.filter(|kept| kept.at_ms >= count.at_ms) {
            return Ok(kept);
        }
        let revision = before.map(|entry| entry.revision);
        if store::write(store, &key(job), value.clone(), revision).await?.is_some() {
            return Ok(count);
        }
    }
}

fn key(job: &str) -> String {
    format!("counts/{job}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;

    #[tokio::test]
    async fn the_first_count_of_the_latest_time_is_kept() {
        let store = MemoryStore::default();
        let count = |at_ms, keys| LatestCount { at_ms, keys, without_ttl: 0, servers: u64::MAX };
        assert_eq!(of(&store, "nightly").await.unwrap(), None);
        for (new, latest) in [((2, 10), (2, 10)), ((2, 11), (2, 10)), ((1, 12), (2, 10)), ((3, 13), (3, 13))]
        {
            let kept = keep(&store, "nightly", count(new.0, new.1)).await.unwrap();
            assert_eq!(kept, count(latest.0, latest.1), "{new:?}");
            assert_eq!(of(&store, "nightly").await.unwrap(), Some(kept));
        }
        assert_eq!(of(&store, "hourly").await.unwrap(), None);
    }
}
