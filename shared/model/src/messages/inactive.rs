//! The inactive users whose caches a run removes in addition to stale keys: the request, and what the plan found.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::key::Key;
use crate::limits::HELD_BACK_CHANCE;

/// The request: how caches of inactive users are found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InactivePolicy {
    /// The key template that contains the user's id; empty where idle times decide.
    pub identity: String,
    /// The source of the active users.
    pub source: ActivitySource,
    /// Keys that expire within so many milliseconds are left to expire.
    pub near_expiry_ms: u64,
    /// A user is inactive after so many milliseconds without activity.
    pub threshold_ms: u64,
    /// Whether the run may find no key of an active user at all.
    pub allow_no_active: bool,
}

/// The source of the active users.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ActivitySource {
    /// In a sorted set: its members are users, their scores the times of their last activity.
    SortedSet(Key),
    /// In a set: its members are the active users.
    Set(Key),
    /// None: a key is inactive if it was not accessed for the threshold.
    IdleTime,
}

impl ActivitySource {
    /// As in the setting, such as `zset:permissions:warming`.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::SortedSet(key) => format!("zset:{key}"),
            Self::Set(key) => format!("set:{key}"),
            Self::IdleTime => "idletime".to_owned(),
        }
    }
}

/// The rule for keys of inactive users.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InactiveRule {
    /// The key template that contains the user's id, such as `permissions:{user}:*`; empty where the key's own idle
    /// time counts.
    pub identity: String,
    /// Keys that expire within so many milliseconds are left to expire.
    pub near_expiry_ms: u64,
    /// A user is inactive after so many milliseconds without activity.
    pub threshold_ms: u64,
    /// How activity is decided.
    pub activity: ActivityRule,
}

/// How a run decides who is active.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ActivityRule {
    /// The users who were active when the run was planned, stored with its records.
    Users {
        /// The number of records with the users.
        parts: u32,
        /// The number of users; ids with the same normal form count once.
        users: u64,
        /// The seed of their hashes.
        seed: u64,
        /// How ids are compared. Absent if an earlier version planned the run, which compared ids literally. Workers
        /// then do not look for inactive users.
        #[serde(default)]
        matching: Option<Box<UserMatching>>,
    },
    /// By the key itself: it was not accessed for the threshold.
    Idle,
}

/// How the ids in keys are compared with those of the source, and what the plan's sample found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserMatching {
    /// A prefix that most active ids have, in normal form, such as `user:`. It is ignored in comparisons.
    pub source_prefix: ByteBuf,
    /// Prefixes that most ids in keys have, in normal form. An id is also looked up without each of them.
    #[serde(default)]
    pub key_prefixes: Vec<ByteBuf>,
    /// What the plan's sample found.
    pub sampled: SampledUsers,
    /// Whether keys of inactive users are removed even if no key of an active user was found.
    pub allow_no_active: bool,
}

/// The users in a sample of keys. The sample covers the keys with a TTL from which the template extracts a user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SampledUsers {
    /// Keys.
    pub keys: u64,
    /// Keys of active users.
    pub active_keys: u64,
    /// Different users of these keys.
    pub users: u64,
    /// The active users among them.
    pub active_users: u64,
}

impl SampledUsers {
    /// The probability that `users` other users include none of the active ones, if they and those of the sample were
    /// drawn at random (Fisher's exact test). It is 1 if the sample found no active user.
    #[expect(clippy::cast_precision_loss, reason = "a chance that is compared with a tenth of a percent")]
    fn chance_of_none(&self, users: u64) -> f64 {
        let mut chance = 1.0;
        for taken in 0..self.active_users.min(self.users) {
            let left = (self.users - taken) as f64;
            chance *= left / (left + users as f64);
            if chance < HELD_BACK_CHANCE {
                break;
            }
        }
        chance
    }

    /// Whether a part of the keyspace with `users` users, none of them active, is plausible. It is not if the sample
    /// found no active user: then it is not known whether ids are written in the same way at all. It is not either if,
    /// by the sample, the probability of finding no active user is below one in a thousand.
    #[must_use]
    pub fn may_have_no_active(&self, users: u64) -> bool {
        self.active_users > 0 && self.chance_of_none(users) >= HELD_BACK_CHANCE
    }

    /// The percentage of keys of active users; `None` without keys.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
    pub fn active_percent(&self) -> Option<f64> {
        (self.keys > 0).then(|| self.active_keys as f64 * 100.0 / self.keys as f64)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn met(users: u64, active_users: u64) -> SampledUsers {
        SampledUsers { users, active_users, ..SampledUsers::default() }
    }

    #[test]
    fn how_many_users_without_an_active_one_are_accepted() {
        let most = |users, active| {
            let met = met(users, active);
            let believed = (0..10_000_000).rev().step_by(1_000).chain((0..1_000).rev());
            let mut believed = believed.filter(|users| met.may_have_no_active(*users));
            believed.next()
        };
        // The sample found no active user: no number is accepted.
        assert_eq!(most(0, 0), None);
        assert_eq!(most(1_000, 0), None);
        // One in a hundred: tasks with some hundred users are accepted, tasks with thousands are not.
        assert!(matches!(most(1_000, 10), Some(900..=1_000)), "{:?}", most(1_000, 10));
        assert!(matches!(most(10_000, 100), Some(690..=720)), "{:?}", most(10_000, 100));
        // One in two: ten users.
        assert!(matches!(most(1_000, 500), Some(10)), "{:?}", most(1_000, 500));
        // A single active user is weak evidence.
        assert!(met(1_000, 1).may_have_no_active(900_000) && !met(1_000, 1).may_have_no_active(1_100_000));
        assert!(met(2, 1).may_have_no_active(1_000) && !met(2, 2).may_have_no_active(1_000));
        assert!(met(5, 5).may_have_no_active(0));
        // Values that no plan writes are harmless.
        assert!(!met(1, u64::MAX).may_have_no_active(u64::MAX));
    }

    proptest! {
        /// How often tasks of a healthy run are held back by chance.
        #[test]
        fn few_tasks_are_held_back_by_chance(share in 0.001..0.9_f64, users in 1_u64..5_000, seed: u64) {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut active = |users: u64| (0..users).filter(|_| rng.f64() < share).count() as u64;
            let mut held = 0;
            for _ in 0..200 {
                let met = met(2_000, active(2_000));
                held += u32::from(active(users) == 0 && met.active_users > 0 && !met.may_have_no_active(users));
            }
            prop_assert!(held <= 4, "{held} of 200");
        }
    }
}
