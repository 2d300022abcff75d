//! The lease of a job: one entry per job in the store says which process drives its run. The holder renews it. Any
//! process that finds it unchanged for a whole lease duration, by its own clock, may take it. No two clocks are
//! compared, so a wrong clock or a clock that jumps cannot give a job two drivers.

use std::time::Duration;

use keysweep_model::ids::{Alias, RunId};
use keysweep_model::time::{now_ms, rfc3339};
use keysweep_model::wire;
use keysweep_storage::store::{Entry, Store, StoreError};
use keysweep_tasks::pause::pause;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

/// The prefix of the keys of all leases.
pub const LEASES: &str = "locks/";

/// The entry of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LeaseRecord {
    /// The run.
    pub run: RunId,
    /// The deployment that the run cleans.
    pub redis: Alias,
    /// The phase of the run.
    pub phase: LeasePhase,
    /// The holder, for display.
    pub process_id: String,
    /// Since when, RFC 3339, for display.
    pub since: String,
    /// When it was last renewed, in milliseconds since the epoch. A hint only: see [`LeaseRecord::recently_renewed`].
    pub renewed_ms: u64,
}

/// The phase of a job's run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LeasePhase {
    /// The run is being planned; its records may be incomplete.
    Starting,
    /// The run is stored, and waits for a driver.
    Waiting,
    /// The run is being driven.
    Driven,
    /// Nothing runs.
    Free,
}

impl LeaseRecord {
    /// A record for `run` that begins now.
    #[must_use]
    pub fn begin(run: RunId, redis: Alias, phase: LeasePhase, who: &str) -> Self {
        let now = now_ms();
        Self { run, redis, phase, process_id: who.to_owned(), since: rfc3339(now), renewed_ms: now }
    }

    /// Decodes `entry`; `None` if it is not a lease record.
    #[must_use]
    pub fn read(entry: &Entry) -> Option<Self> {
        wire::from_json(&entry.value).ok()
    }

    /// Whether the holder was alive a moment ago, if its clock and ours agree: it plans the run, drives it, or has
    /// just stored it for a driver. If so, a client can be refused at once, without waiting for the lease to expire.
    #[must_use]
    pub fn recently_renewed(&self, lease: Duration) -> bool {
        let ago = now_ms().abs_diff(self.renewed_ms);
        self.phase != LeasePhase::Free && Duration::from_millis(ago) < lease
    }

    /// Whether the same holder wrote both records.
    fn is_of(&self, other: &Self) -> bool {
        (&self.process_id, &self.since, self.run) == (&other.process_id, &other.since, other.run)
    }

    /// Whether a process may take a lease that has not changed for `unchanged`.
    #[must_use]
    pub fn is_acquirable(&self, unchanged: Duration, lease: Duration) -> bool {
        match self.phase {
            LeasePhase::Free | LeasePhase::Waiting => true,
            LeasePhase::Starting | LeasePhase::Driven => unchanged >= lease,
        }
    }
}

/// The key of a job's lease.
#[must_use]
pub fn key(job: &str) -> String {
    format!("{LEASES}{job}")
}

/// The lease of a job, with its revision.
///
/// # Errors
/// When the store fails.
pub async fn read_lease(store: &dyn Store, job: &str) -> Result<Option<(LeaseRecord, u64)>, StoreError> {
    let Some(entry) = store.get(&key(job)).await? else { return Ok(None) };
    let unreadable = || StoreError(format!("the lease of job `{job}` cannot be decoded"));
    Ok(Some((LeaseRecord::read(&entry).ok_or_else(unreadable)?, entry.revision)))
}

/// A lease that this process holds.
#[derive(Clone, Debug)]
pub struct Lease {
    /// The job.
    pub job: String,
    /// The entry.
    pub record: LeaseRecord,
    revision: u64,
}

/// Takes the lease of a job at `revision`, or creates it; `None` if another process was first.
///
/// # Errors
/// When the store fails.
pub async fn take(
    store: &dyn Store,
    job: &str,
    revision: Option<u64>,
    hold: LeaseRecord,
) -> Result<Option<Lease>, StoreError> {
    let value = encode(&hold)?;
    let written = keysweep_storage::store::write(store, &key(job), value, revision).await?;
    Ok(written.map(|revision| Lease { job: job.to_owned(), record: hold, revision }))
}

fn encode(hold: &LeaseRecord) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(hold).map_err(|e| StoreError(e.to_string()))
}

impl Lease {
    /// Renews the lease, and sets the phase. `false`: the lease is not ours any more.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn set_phase(&mut self, store: &dyn Store, phase: LeasePhase) -> Result<bool, StoreError> {
        let hold = LeaseRecord { phase, renewed_ms: now_ms(), ..self.record.clone() };
        match store.update(&key(&self.job), encode(&hold)?, self.revision).await? {
            Some(revision) => {
                (self.revision, self.record) = (revision, hold);
                Ok(true)
            }
            None => Ok(false),
        }
    }

    /// Whether the entry of the job is still the one that we wrote.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn is_ours(store: &dyn Store, job: &str, hold: &LeaseRecord) -> Result<bool, StoreError> {
        Ok(read_lease(store, job).await?.is_some_and(|(there, _)| there.is_of(hold)))
    }

    /// Renews the lease in its current phase until `done`, and then returns it. `None` if it was lost: another process
    /// took it, or the store did not respond for so long that another process may have.
    pub async fn renew_until(
        mut self,
        store: &dyn Store,
        lease: Duration,
        done: &CancellationToken,
    ) -> Option<Self> {
        let (mut renewed, phase) = (Instant::now(), self.record.phase);
        loop {
            if !pause(lease / 4, done).await {
                return Some(self);
            }
            let asked = Instant::now();
            // A write after this time does no harm: other processes count from when they see it.
            if matches!(timeout(lease / 4, self.set_phase(store, phase)).await, Ok(Ok(true))) {
                renewed = asked;
                continue;
            }
            // The reply may be lost although the entry was renewed: continue from the stored entry.
            let still_ours = timeout(lease / 4, self.find_again(store)).await;
            if matches!(still_ours, Ok(Ok(false))) || renewed.elapsed() >= lease * 3 / 4 {
                return None;
            }
        }
    }

    /// Reads the entry; `false` if it is not the one that we wrote.
    async fn find_again(&mut self, store: &dyn Store) -> Result<bool, StoreError> {
        let Some((hold, revision)) = read_lease(store, &self.job).await? else { return Ok(false) };
        let ours = hold.is_of(&self.record);
        if ours {
            self.revision = revision;
        }
        Ok(ours)
    }
}

/// A lease as another process observes it, and for how long it has not changed.
#[derive(Clone, Debug)]
pub struct ObservedLease {
    /// The record.
    pub record: LeaseRecord,
    /// Its revision.
    pub revision: u64,
    since: Instant,
    /// Whether it has changed since it was first observed: then its holder is alive, independent of clocks.
    pub changed: bool,
}

impl ObservedLease {
    /// A lease that is observed now.
    #[must_use]
    pub fn now(record: LeaseRecord, revision: u64) -> Self {
        Self { record, revision, since: Instant::now(), changed: false }
    }

    /// For how long it has not changed.
    #[must_use]
    pub fn unchanged(&self) -> Duration {
        self.since.elapsed()
    }

    /// Records a later observation.
    pub fn observe(&mut self, hold: LeaseRecord, revision: u64) {
        if revision != self.revision {
            *self = Self { changed: true, ..Self::now(hold, revision) };
        }
    }
}

#[cfg(test)]
mod tests {
    use keysweep_storage::store::MemoryStore;

    use super::*;

    const LEASE: Duration = Duration::from_secs(15);

    fn hold(phase: LeasePhase, who: &str) -> LeaseRecord {
        LeaseRecord::begin(RunId::new(), Alias::new("main"), phase, who)
    }

    #[tokio::test(start_paused = true)]
    async fn one_of_many_gets_the_lease_and_the_next_one_after_it_expires() {
        let store = MemoryStore::default();
        let mut ours = take(&store, "j", None, hold(LeasePhase::Driven, "a")).await.unwrap().unwrap();
        assert!(take(&store, "j", None, hold(LeasePhase::Driven, "b")).await.unwrap().is_none());
        let (seen, revision) = read_lease(&store, "j").await.unwrap().unwrap();
        let mut observed = ObservedLease::now(seen, revision);
        tokio::time::advance(LEASE / 2).await;
        assert!(!observed.record.is_acquirable(observed.unchanged(), LEASE));
        assert!(ours.set_phase(&store, LeasePhase::Driven).await.unwrap());
        let (seen, revision) = read_lease(&store, "j").await.unwrap().unwrap();
        observed.observe(seen, revision);
        tokio::time::advance(LEASE - Duration::from_secs(1)).await;
        assert!(!observed.record.is_acquirable(observed.unchanged(), LEASE), "it was renewed");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(observed.record.is_acquirable(observed.unchanged(), LEASE));
        let next = take(&store, "j", Some(observed.revision), hold(LeasePhase::Driven, "b")).await.unwrap();
        assert!(next.is_some());
        assert!(!ours.set_phase(&store, LeasePhase::Driven).await.unwrap(), "the old holder is refused");
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_is_renewed_until_it_is_released_or_taken() {
        let store = MemoryStore::default();
        let ours = take(&store, "j", None, hold(LeasePhase::Driven, "a")).await.unwrap().unwrap();
        let done = CancellationToken::new();
        let keep = ours.renew_until(&store, LEASE, &done);
        let others = async {
            tokio::time::sleep(LEASE * 10).await;
            let (_, revision) = read_lease(&store, "j").await.unwrap().unwrap();
            take(&store, "j", Some(revision), hold(LeasePhase::Driven, "b")).await.unwrap().unwrap()
        };
        let (kept, theirs) = tokio::join!(keep, others);
        assert!(kept.is_none(), "it was taken");
        let (kept, ()) = tokio::join!(theirs.renew_until(&store, LEASE, &done), async { done.cancel() });
        assert!(kept.is_some());
    }

    #[test]
    fn a_run_that_was_just_stored_cannot_be_taken() {
        let check = |phase, ago: Duration, expected| {
            let before = u64::try_from(ago.as_millis()).unwrap();
            let hold = LeaseRecord { renewed_ms: now_ms() - before, ..hold(phase, "a") };
            assert_eq!(hold.recently_renewed(LEASE), expected, "{phase:?} renewed {ago:?} ago");
        };
        check(LeasePhase::Waiting, Duration::ZERO, true);
        check(LeasePhase::Waiting, LEASE * 2, false);
        check(LeasePhase::Driven, Duration::ZERO, true);
        check(LeasePhase::Driven, LEASE * 2, false);
        check(LeasePhase::Free, Duration::ZERO, false);
    }

    #[test]
    fn acquirable_leases() {
        let check = |phase, unchanged, expected| {
            assert_eq!(
                hold(phase, "a").is_acquirable(unchanged, LEASE),
                expected,
                "{phase:?} after {unchanged:?}"
            );
        };
        check(LeasePhase::Free, Duration::ZERO, true);
        check(LeasePhase::Waiting, Duration::ZERO, true);
        check(LeasePhase::Starting, Duration::ZERO, false);
        check(LeasePhase::Driven, LEASE - Duration::from_millis(1), false);
        check(LeasePhase::Driven, LEASE, true);
        check(LeasePhase::Starting, LEASE, true);
    }
}
