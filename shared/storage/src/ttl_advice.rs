//! The latest TTL advice from what a service looked at, and which service looks: entries per job, `ttl-advice/<job>` and
//! `ttl-looks/<job>`, as JSON.

use keysweep_model::ttl_advice::SampledTtlAdvice;
use keysweep_model::wire;

use crate::store::{self, Entry, Store, StoreError};

/// The latest advice for a job; `None` if there is none.
///
/// # Errors
/// If the store fails.
pub async fn of(store: &dyn Store, job: &str) -> Result<Option<SampledTtlAdvice>, StoreError> {
    Ok(store.get(&key(job)).await?.as_ref().and_then(read))
}

/// Keeps an advice instead of the one before. Returns whether it says something else than that one.
///
/// # Errors
/// If the store fails.
pub async fn keep(store: &dyn Store, job: &str, latest: &SampledTtlAdvice) -> Result<bool, StoreError> {
    let value = serde_json::to_vec(latest).map_err(|e| StoreError(e.to_string()))?;
    loop {
        let before = store.get(&key(job)).await?;
        let kept = before.as_ref().and_then(read);
        let revision = before.map(|entry| entry.revision);
        if store::write(store, &key(job), value.clone(), revision).await?.is_some() {
            return Ok(!kept.is_some_and(|kept| kept.advice.is_same(&latest.advice)));
        }
    }
}

/// Claims the look of a time slot, numbered since the epoch; `false` if it or a later one is claimed already.
///
/// # Errors
/// If the store fails.
pub async fn claim_look(store: &dyn Store, job: &str, slot: u64) -> Result<bool, StoreError> {
    let key = format!("ttl-looks/{job}");
    let before = store.get(&key).await?;
    let claimed = before.as_ref().and_then(|entry| wire::from_json::<u64>(&entry.value).ok());
    if claimed.is_some_and(|claimed| claimed >= slot) {
        return Ok(false);
    }
    let revision = before.map(|entry| entry.revision);
    Ok(store::write(store, &key, slot.to_string().into_bytes(), revision).await?.is_some())
}

fn key(job: &str) -> String {
    format!("ttl-advice/{job}")
}

/// The advice in `entry`; `None` if it has another format.
fn read(entry: &Entry) -> Option<SampledTtlAdvice> {
    wire::from_json(&entry.value).ok()
}

#[cfg(test)]
mod tests {
    use keysweep_model::ttl_advice::TtlAdvice;

    use super::*;
    use crate::store::MemoryStore;

    #[tokio::test]
    async fn the_latest_advice_is_kept_and_another_one_is_noticed() {
        let store = MemoryStore::default();
        let advice = |at: &str, refusal: &str| SampledTtlAdvice {
            at: at.to_owned(),
            advice: TtlAdvice { refusal: Some(refusal.to_owned()), ..TtlAdvice::default() },
        };
        assert_eq!(of(&store, "nightly").await.unwrap(), None);
        for (at, refusal, is_new) in
            [("1", "firstLook", true), ("2", "firstLook", false), ("3", "unevenAges", true)]
        {
            let latest = advice(at, refusal);
            assert_eq!(keep(&store, "nightly", &latest).await.unwrap(), is_new, "{at}");
            assert_eq!(of(&store, "nightly").await.unwrap(), Some(latest));
        }
        assert_eq!(of(&store, "hourly").await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_look_is_claimed_once() {
        let store = MemoryStore::default();
        for (slot, is_claimed) in [(7, true), (7, false), (6, false), (8, true)] {
            assert_eq!(claim_look(&store, "nightly", slot).await.unwrap(), is_claimed, "{slot}");
        }
        assert!(claim_look(&store, "hourly", 7).await.unwrap());
    }
}
