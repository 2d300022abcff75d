//! Users with their caches, the active ones among them, and the expected outcome of a run that removes caches of
//! inactive users: counts and keys.

use coordinator::inactive_policy::{ActivitySource, InactivePolicy};
use coordinator::options::Options;
use keysweep_model::key::Key;
use keysweep_model::messages::Action;
use keysweep_model::result::{Accounting, CleanupResult, Status};
use keysweep_model::time::now_ms;
use keysweep_redis::ConnectOptions;

use super::keys;
use keysweep_servers::Seeder;

/// The activity set: a key that matches the patterns itself.
pub const WARMING: &str = "permissions:warming";

pub const DAY_MS: u64 = 86_400_000;

/// A TTL that outlives every test, and one that counts as near expiry.
pub const TTL_MS: u64 = 3_600_000;
const NEAR_MS: u64 = 200_000;
pub const NEAR_EXPIRY_MS: u64 = 300_000;

const DAYS: u64 = 30;

/// The keys of a test, by expected outcome.
#[derive(Default)]
pub struct Population {
    /// Caches of inactive users: deleted.
    pub inactive: Vec<Vec<u8>>,
    /// Caches of inactive users that expire soon: kept.
    pub near: Vec<Vec<u8>>,
    /// Without TTL, of active and inactive users, and without user: deleted.
    pub stale: Vec<Vec<u8>>,
    /// Caches of active and of possibly active users: kept.
    pub active: Vec<Vec<u8>>,
    /// With a TTL, and no user by the template: kept.
    pub unknown: Vec<Vec<u8>>,
    /// Protected, of inactive users: kept.
    pub protected: Vec<Vec<u8>>,
    /// Of another pattern: kept.
    pub other: Vec<Vec<u8>>,
    /// Users with the time of their last activity, in seconds or milliseconds.
    pub members: Vec<(Vec<u8>, f64)>,
}

/// Difficult ids: with colons, braces, and bytes that are not text.
fn id(n: u64) -> Vec<u8> {
    match n % 5 {
        0 => format!("user-{n}").into_bytes(),
        1 => format!("team:{n}:member").into_bytes(),
        2 => format!("{{tag{n}}}").into_bytes(),
        // A number that ends with a brace would be a prefix of one that ends with a colon.
        3 => [b"\xff\x00\r\n*?[".as_slice(), &(n << 8 | 0xfe).to_be_bytes()].concat(),
        _ => format!("a}}b{{{n}:c").into_bytes(),
    }
}

fn cache(id: &[u8], what: &str) -> Vec<u8> {
    [b"permissions:", id, b":", what.as_bytes()].concat()
}

impl Population {
    /// This many users: six in ten active, two inactive for long, one never seen, one inactive with caches that expire
    /// soon.
    pub fn of(users: u64) -> Self {
        let (mut population, now_ms) = (Self::default(), now_ms());
        for n in 0..users {
            let id = id(n);
            // Alternately in milliseconds and in seconds.
            #[expect(clippy::cast_precision_loss, reason = "times in milliseconds need 41 bits")]
            let mut seen = |days_ago: i64| {
                let at_ms = now_ms.wrapping_add_signed(-days_ago * DAY_MS.cast_signed());
                let score = if n % 2 == 0 { at_ms as f64 } else { (at_ms / 1_000) as f64 };
                population.members.push((id.clone(), score));
            };
            match n % 10 {
                0..=3 => seen(0),
                4 => seen(29),
                // A clock that is ahead.
                5 => seen(-3),
                6 => seen(31),
                7 | 9 => seen(400),
                _ => {}
            }
            let caches = match n % 10 {
                0..=5 => &mut population.active,
                9 => &mut population.near,
                _ => &mut population.inactive,
            };
            caches.extend(["documents", "folders"].map(|what| cache(&id, what)));
            if n % 7 == 0 {
                population.stale.push(cache(&id, "stale"));
            }
            if n % 50 == 0 {
                population.unknown.push([b"permissions:", id.as_slice()].concat().replace_colons());
                population.protected.push(format!("permissions:system:{n}:rights").into_bytes());
                population.other.push(format!("product:{n}").into_bytes());
            }
        }
        // An active department, with inactive users: the keys may belong to either.
        population.members.push((b"dept".to_vec(), population.members[0].1));
        population.active.extend((0..20).map(|n| cache(format!("dept:{n}").as_bytes(), "documents")));
        population.stale.push(b"permissions:none".to_vec());
        population
    }

    /// Writes all keys, and the activity as a sorted set.
    pub async fn seed(&self, access: &ConnectOptions) {
        self.seed_keys(access).await;
        let mut seeder = Seeder::open(access).await.unwrap();
        for (member, score) in &self.members {
            let score = score.to_string();
            let args = [b"ZADD", WARMING.as_bytes(), score.as_bytes(), member];
            seeder.command(WARMING.as_bytes(), &args).await.unwrap();
        }
        seeder.finish().await.unwrap();
    }

    /// Writes all keys except for the activity.
    pub async fn seed_keys(&self, access: &ConnectOptions) {
        let mut seeder = Seeder::open(access).await.unwrap();
        let ttls = [
            (&self.inactive, Some(TTL_MS)),
            (&self.near, Some(NEAR_MS)),
            (&self.stale, None),
            (&self.active, Some(TTL_MS)),
            (&self.unknown, Some(TTL_MS)),
            (&self.protected, Some(TTL_MS)),
            (&self.other, None),
        ];
        for (keys, ttl) in ttls {
            for key in keys {
                seeder.set(key, b"read,write", ttl).await.unwrap();
            }
        }
        seeder.finish().await.unwrap();
        assert_eq!(seeder.keys().await.unwrap(), self.all(), "what was seeded is there");
    }

    /// The number of keys except for the activity.
    pub fn all(&self) -> u64 {
        self.scanned() + self.other.len() as u64
    }

    /// The number of matching keys.
    pub fn scanned(&self) -> u64 {
        let classes = [&self.inactive, &self.near, &self.stale, &self.active, &self.unknown, &self.protected];
        classes.iter().map(|keys| keys.len() as u64).sum()
    }

    /// Users who were active within the threshold.
    pub fn active_users(&self) -> u64 {
        let since_ms = (now_ms() - DAYS * DAY_MS) as f64;
        let ms = |score: f64| if score >= 1e11 { score } else { score * 1_000.0 };
        self.members.iter().filter(|(_, score)| ms(*score) >= since_ms).count() as u64
    }

    /// The accounting of a run without faults.
    pub fn accounting(&self, action: Action) -> Accounting {
        let (stale, inactive) = (self.stale.len() as u64, self.inactive.len() as u64);
        let protected = self.protected.len() as u64;
        let mut accounting = Accounting { protected, balanced: true, ..Accounting::default() };
        match action.outcome() {
            Some(outcome) => {
                accounting.deleted = inactive;
                *accounting.count_of(outcome) += stale;
            }
            None => accounting.reported = stale + inactive,
        }
        accounting.candidates = accounting.outcomes();
        accounting
    }

    /// Compares the counts of a result with the expected ones.
    pub fn check_numbers(&self, result: &CleanupResult, action: Action) {
        let accounting = self.accounting(action);
        assert_eq!(result.accounting, accounting, "{result:#?}");
        assert_eq!(result.status, Status::Completed, "{:?}", result.issues);
        assert_eq!(result.scanned_keys, self.scanned(), "scanned");
        assert_eq!(result.stale_ttl_keys, self.stale.len() as u64, "stale");
        assert_eq!(result.cleaned_keys, accounting.deleted, "cleaned");
        let deleted = if action == Action::Report { 0 } else { self.inactive.len() as u64 };
        assert_eq!(result.inactive_user_caches, deleted, "deleted as inactive");
        let inactive = &result.inactive;
        assert!(inactive.searched && inactive.refused.is_none(), "{inactive:?}");
        assert_eq!(inactive.found, Some((self.inactive.len() + self.protected.len()) as u64));
        assert_eq!(inactive.near_expiry, Some(self.near.len() as u64));
        assert_eq!(inactive.unknown_user, Some(self.unknown.len() as u64));
        assert_eq!(result.current_metrics.total_keys, Some(self.scanned() - accounting.deleted));
    }

    /// Checks every key by name: stale and inactive ones are gone, if so expected, and all others exist.
    pub async fn check_keys(&self, access: &ConnectOptions, (stale, inactive): (bool, bool)) {
        for (class, keys, gone) in [
            ("inactive", &self.inactive, inactive),
            ("near", &self.near, false),
            ("stale", &self.stale, stale),
            ("active", &self.active, false),
            ("unknown", &self.unknown, false),
            ("protected", &self.protected, false),
            ("other", &self.other, false),
        ] {
            let left = keys::existing(access, keys).await;
            let expected = if gone { 0 } else { keys.len() };
            assert_eq!(left.len(), expected, "{class} keys that are left");
        }
        let gone = if stale { self.stale.len() } else { 0 } + if inactive { self.inactive.len() } else { 0 };
        let activity = keys::existing(access, &[WARMING.as_bytes().to_vec()]).await.len() as u64;
        let own = keys::matching(access, "keysweep:*").await.len() as u64;
        assert_eq!(keys::count(access).await, self.all() - gone as u64 + activity + own);
    }
}

trait ReplaceColons {
    /// Without a colon after the id, the template does not match.
    fn replace_colons(self) -> Self;
}

impl ReplaceColons for Vec<u8> {
    fn replace_colons(mut self) -> Self {
        let prefix = b"permissions:".len();
        self[prefix..].iter_mut().filter(|byte| **byte == b':').for_each(|byte| *byte = b'_');
        self
    }
}

/// The given number of foreign lookups had a hit during the run, and none had a miss: own lookups must not be
/// included.
pub fn check_lookups(result: &CleanupResult, hits: u64) {
    let metrics = &result.current_metrics;
    assert_eq!((metrics.hits, metrics.misses), (Some(hits), Some(0)), "look-ups of others");
}

/// Options of a run that removes caches of inactive users by `source`.
pub fn options(urls: Vec<String>, source: ActivitySource) -> Options {
    let mut options = super::options(urls);
    options.max_delete_percent = 100;
    options.rules.sources.push(Key::new(WARMING.as_bytes()));
    options.aggressive = true;
    options.inactive = Some(InactivePolicy {
        identity: if source == ActivitySource::IdleTime {
            String::new()
        } else {
            "permissions:{user}:*".to_owned()
        },
        source,
        near_expiry_ms: NEAR_EXPIRY_MS,
        threshold_ms: DAYS * DAY_MS,
        allow_no_active: false,
    });
    options
}

/// The sorted set as source.
pub fn zset() -> ActivitySource {
    ActivitySource::SortedSet(Key::new(WARMING.as_bytes()))
}
