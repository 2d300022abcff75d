//! Ground truth: keys of known classes, and the expected result of a run: counts and keys.

use std::time::Duration;

use coordinator::limits::LOCK_LEASE;
use keysweep_model::messages::Action;
use keysweep_model::result::{Accounting, CleanupResult, Status};
use keysweep_redis::ConnectOptions;
use keysweep_runtime::limits::BATCH_LIFE;
use keysweep_servers::Seeder;
use tokio::time::{Instant, sleep};

use super::keys;

/// How long a lock may remain after a distributed run: if its driver was killed, until the lease expires.
const LOCK_LIMIT: Duration = LOCK_LEASE.saturating_mul(2);

/// The expected outcome of a key in a run that deletes `permissions:*` except for `permissions:system:*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Matches, has no TTL: deleted.
    Stale,
    /// Matches, has a TTL: kept.
    Fresh,
    /// Matches, has no TTL, is protected: kept.
    Protected,
    /// Matches, has no TTL, and its name is too long: kept, and counts as failed.
    TooLong,
    /// Does not match: not looked up.
    Other,
}

/// The keys of a test, by class.
#[derive(Default)]
pub struct GroundTruth {
    pub stale: Vec<Vec<u8>>,
    pub fresh: Vec<Vec<u8>>,
    pub protected: Vec<Vec<u8>>,
    pub too_long: Vec<Vec<u8>>,
    pub other: Vec<Vec<u8>>,
}

impl GroundTruth {
    /// Adds a key.
    pub fn add(&mut self, class: Class, key: impl Into<Vec<u8>>) {
        let keys = match class {
            Class::Stale => &mut self.stale,
            Class::Fresh => &mut self.fresh,
            Class::Protected => &mut self.protected,
            Class::TooLong => &mut self.too_long,
            Class::Other => &mut self.other,
        };
        keys.push(key.into());
    }

    /// A data set of `matching` keys of which a tenth are stale, with a hundredth of protected keys, and a hundredth
    /// of keys of another pattern. Every name contains `tag`.
    pub fn mixture(matching: u64, tag: &str) -> Self {
        let mut truth = Self::default();
        for n in 0..matching {
            let class = if n % 10 == 3 { Class::Stale } else { Class::Fresh };
            truth.add(class, format!("permissions:{tag}{n}:documents"));
        }
        for n in 0..matching / 100 {
            truth.add(Class::Protected, format!("permissions:system:{tag}{n}"));
            truth.add(Class::Other, format!("product:{tag}{n}"));
        }
        truth
    }

    /// Adds binary names of every class.
    pub fn add_binary(&mut self) {
        for n in 0..=255_u8 {
            self.add(Class::Stale, [b"permissions:\xff\x00\r\n*?[".as_slice(), &[n]].concat());
            self.add(Class::Fresh, [b"permissions:".as_slice(), &[n, 0, n, 0xfe]].concat());
        }
        self.add(Class::Stale, *b"permissions:");
        self.add(Class::Protected, *b"permissions:system:\x00\xff{}");
        self.add(Class::Other, *b"\x00permissions:");
        self.add(Class::Other, *b"Permissions:1");
    }

    /// Writes all keys. TTLs outlive every test.
    pub async fn seed(&self, access: &ConnectOptions) {
        let mut seeder = Seeder::open(access).await.unwrap();
        for key in &self.fresh {
            seeder.set(key, b"read,write", Some(3_600_000)).await.unwrap();
        }
        for key in [&self.stale, &self.protected, &self.too_long, &self.other].into_iter().flatten() {
            seeder.set(key, b"read,write", None).await.unwrap();
        }
        seeder.finish().await.unwrap();
        assert_eq!(seeder.keys().await.unwrap(), self.all(), "what was seeded is there");
    }

    /// The number of keys that match the pattern.
    pub fn scanned(&self) -> u64 {
        self.all() - self.other.len() as u64
    }

    /// The number of keys.
    pub fn all(&self) -> u64 {
        let classes = [&self.stale, &self.fresh, &self.protected, &self.too_long, &self.other];
        classes.iter().map(|keys| keys.len() as u64).sum()
    }

    /// The accounting of a run without faults.
    pub fn accounting(&self, action: Action) -> Accounting {
        let (stale, too_long) = (self.stale.len() as u64, self.too_long.len() as u64);
        let mut accounting =
            Accounting { protected: self.protected.len() as u64, balanced: true, ..Accounting::default() };
        match action.outcome() {
            Some(outcome) => (*accounting.count_of(outcome), accounting.failed) = (stale, too_long),
            None => accounting.reported = stale + too_long,
        }
        accounting.candidates = accounting.outcomes();
        accounting
    }

    /// Compares the counts of a result with the expected ones.
    pub fn check_numbers(&self, result: &CleanupResult, action: Action) {
        let accounting = self.accounting(action);
        assert_eq!(result.accounting, accounting, "{result:#?}");
        assert_eq!(result.scanned_keys, self.scanned(), "scanned");
        assert!(!result.scanned_keys_approximate, "the number of scanned keys is exact");
        assert_eq!(result.cleaned_keys, accounting.deleted, "cleaned");
        assert_eq!(result.stale_ttl_keys, accounting.candidates, "stale");
        let unprotected = accounting.candidates - accounting.protected;
        assert_eq!(result.stale_unprotected_keys, Some(unprotected), "stale and not protected");
        assert_eq!(result.inactive_user_caches, 0);
        assert!(result.coverage.complete, "{:?}", result.coverage);
        assert_eq!((&result.coverage.missing, result.coverage.causes.len()), (&None, 0));
        assert!(result.coverage.slots_covered.is_none_or(|slots| slots == 16_384), "{:?}", result.coverage);
        let expected = if accounting.failed > 0 { Status::Partial } else { Status::Completed };
        assert_eq!(result.status, expected, "{:?}", result.issues);
        assert_eq!(result.current_metrics.total_keys, Some(self.scanned() - accounting.deleted), "total");
        let sum = |of: fn(&keysweep_model::result::NodeRow) -> u64| result.nodes.iter().map(of).sum::<u64>();
        assert_eq!(sum(|node| node.listed_keys), self.all(), "{:?}", result.nodes);
        assert_eq!(sum(|node| node.cleaned_keys), accounting.deleted, "{:?}", result.nodes);
        assert_eq!(sum(|node| node.scanned_keys), self.scanned(), "{:?}", result.nodes);
        assert_eq!(sum(|node| node.stale_ttl_keys), accounting.candidates, "{:?}", result.nodes);
    }

    /// Checks every key by name: stale ones exist unless `gone`; all others exist; and there are no further keys,
    /// neither ledgers nor locks.
    pub async fn check_keys(&self, access: &ConnectOptions, gone: bool) {
        self.check_classes(access, gone).await;
        let own = keys::matching(access, "keysweep:*").await;
        assert_eq!(own, Vec::<Vec<u8>>::new(), "keys of our own are left");
        let stale = if gone { self.stale.len() as u64 } else { 0 };
        assert_eq!(keys::count(access).await, self.all() - stale, "there are unknown keys");
    }

    /// The same after a distributed run that deleted: its ledgers remain, which expire soon, and no other keys of
    /// keysweep.
    pub async fn check_keys_of_workers(&self, access: &ConnectOptions) {
        self.check_classes(access, true).await;
        // The result is stored before the lock is released.
        let until = Instant::now() + LOCK_LIMIT;
        while !keys::matching(access, "keysweep:lock:*").await.is_empty() {
            assert!(Instant::now() < until, "the lock is left");
            sleep(Duration::from_millis(100)).await;
        }
        let own = keys::matching(access, "keysweep:*").await;
        let strange = own.iter().find(|key| !key.starts_with(b"keysweep:ledger:"));
        assert_eq!(strange.map(|key| key.escape_ascii().to_string()), None, "keys of our own are left");
        let life = i64::try_from(BATCH_LIFE.as_millis()).unwrap();
        for (key, ttl) in own.iter().zip(keys::ask(access, "PTTL", &own).await) {
            // A tolerance of a minute for the grace. -2: it expired between the two queries.
            let goes = ttl == -2 || (0..=life + 60_000).contains(&ttl);
            assert!(goes, "a ledger has the TTL {ttl}: {}", key.escape_ascii());
        }
        let known = self.all() - self.stale.len() as u64 + own.len() as u64;
        assert_eq!(keys::count(access).await, known, "there are unknown keys");
    }

    async fn check_classes(&self, access: &ConnectOptions, gone: bool) {
        let left = keys::existing(access, &self.stale).await;
        if gone {
            let first = left.first().map(|key| key.escape_ascii().to_string());
            assert_eq!((left.len(), first), (0, None), "stale keys are left");
        } else {
            assert_eq!(left.len(), self.stale.len(), "stale keys are gone");
        }
        for (class, kept) in [
            ("fresh", &self.fresh),
            ("protected", &self.protected),
            ("too long", &self.too_long),
            ("other", &self.other),
        ] {
            assert_eq!(keys::existing(access, kept).await.len(), kept.len(), "{class} keys are gone");
        }
    }

    /// Both checks after a run that deletes.
    pub async fn check(&self, access: &ConnectOptions, result: &CleanupResult) {
        self.check_numbers(result, Action::Delete);
        self.check_keys(access, true).await;
    }
}
