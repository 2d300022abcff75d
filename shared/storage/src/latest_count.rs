//! The latest count of the keys of a job's database, and the memory usage until then, for decisions about when it runs: one
//! entry per job, under `counts/<job>`, as JSON. Services that serve the same job share it, so that they decide the same.

use keysweep_model::wire;
use serde::{Deserialize, Serialize};

use crate::store::{self, Store, StoreError};

/// The time between two points of the memory usage, and for how long they are kept.
const USAGE_EVERY_MS: u64 = 1_800_000;
const USAGE_KEPT_MS: u64 = 86_400_000;

/// A count of keys.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    /// The memory usage of the fullest of them in the last day, the oldest first; the last one is of this count. Empty
    /// without a limit, and in counts of earlier versions.
    #[serde(default)]
    pub usage: Vec<UsageAt>,
}

/// The memory usage of the fullest server.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UsageAt {
    /// When it was read, in milliseconds since the epoch.
    pub at_ms: u64,
    /// In percent of its limit.
    pub percent: f64,
}

/// The usage that was kept `before` and that of now, one each half an hour of the last day, and the latest.
#[must_use]
pub fn usage_with(before: &[UsageAt], now: UsageAt) -> Vec<UsageAt> {
    let from_ms = now.at_ms.saturating_sub(USAGE_KEPT_MS);
    let mut kept: Vec<UsageAt> =
        before.iter().copied().filter(|point| (from_ms..now.at_ms).contains(&point.at_ms)).collect();
    if let [.., earlier, last] = kept[..]
        && last.at_ms - earlier.at_ms < USAGE_EVERY_MS
    {
        kept.pop();
    }
    kept.push(now);
    kept
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
        let count =
            |at_ms, keys| LatestCount { at_ms, keys, without_ttl: 0, servers: u64::MAX, usage: Vec::new() };
        assert_eq!(of(&store, "nightly").await.unwrap(), None);
        for (new, latest) in [((2, 10), (2, 10)), ((2, 11), (2, 10)), ((1, 12), (2, 10)), ((3, 13), (3, 13))]
        {
            let kept = keep(&store, "nightly", count(new.0, new.1)).await.unwrap();
            assert_eq!(kept, count(latest.0, latest.1), "{new:?}");
            assert_eq!(of(&store, "nightly").await.unwrap(), Some(kept));
        }
        assert_eq!(of(&store, "hourly").await.unwrap(), None);
    }

    #[test]
    fn the_usage_of_a_day_is_kept_with_a_point_each_half_an_hour() {
        let mut usage = Vec::new();
        for minute in 0..3 * 1_440_u64 {
            usage = usage_with(&usage, UsageAt { at_ms: minute * 60_000, percent: minute as f64 });
            assert!(usage.len() <= 50, "{}", usage.len());
        }
        let (first, last) = (usage[0].at_ms, usage[usage.len() - 1].at_ms);
        assert_eq!(last, (3 * 1_440 - 1) * 60_000);
        assert!((1_400..=1_440).contains(&((last - first) / 60_000)), "{usage:?}");
        let apart = |pair: &[UsageAt]| (pair[1].at_ms - pair[0].at_ms) / 60_000;
        assert!(usage[..usage.len() - 1].windows(2).all(|pair| (30..32).contains(&apart(pair))), "{usage:?}");
    }
}
