//! Whose caches a run removes beside stale keys: what it was asked for, and what its plan found out about that.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::key::Key;
use crate::limits::HELD_BACK_CHANCE;

/// How inactive users' caches are to be found, as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InactivePolicy {
    /// Where the user's id stands in a key; empty where idle times decide.
    pub identity: String,
    /// Who is active.
    pub source: ActivitySource,
    /// Keys that expire within so many milliseconds are left to do so.
    pub near_expiry_ms: u64,
    /// Who was not active for so many milliseconds is inactive.
    pub threshold_ms: u64,
    /// Whether it may be that no key at all belongs to an active user.
    pub allow_no_active: bool,
}

/// Where it stands who is active.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ActivitySource {
    /// In a sorted set: its members are users, their scores the times of their last activity.
    SortedSet(Key),
    /// In a set: its members are the active users.
    Set(Key),
    /// Nowhere: a key that nobody has used is one of an inactive user.
    IdleTime,
}

impl ActivitySource {
    /// As the setting says it, such as `zset:permissions:warming`.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::SortedSet(key) => format!("zset:{key}"),
            Self::Set(key) => format!("set:{key}"),
            Self::IdleTime => "idletime".to_owned(),
        }
    }
}

/// What makes a key one of an inactive user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InactiveRule {
    /// Where the user's id stands in a key, such as `permissions:{user}:*`; empty where the key's own idle time
    /// counts.
    pub identity: String,
    /// Keys that expire within so many milliseconds are left to do so.
    pub near_expiry_ms: u64,
    /// Who was not active for so many milliseconds is inactive.
    pub threshold_ms: u64,
    /// Who is inactive.
    pub activity: ActivityRule,
}

/// Where a run knows from who is active.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ActivityRule {
    /// The users who were active when the run was planned, stored with its records.
    Users {
        /// Records that hold them.
        parts: u32,
        /// How many they are; ids with one normal form count as one.
        users: u64,
        /// The seed of the hashes that stand for them.
        seed: u64,
        /// How ids are compared. Without it, the run was planned by a version that took every other spelling for
        /// another user, and no worker looks for inactive users.
        #[serde(default)]
        matching: Option<Box<UserMatching>>,
    },
    /// The key itself: nobody has used it for as long as the threshold.
    Idle,
}

/// How the ids of keys and those of the source are compared, and what the plan saw of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserMatching {
    /// A prefix that most active ids have, in normal form, such as `user:`. It makes no difference.
    pub source_prefix: ByteBuf,
    /// Prefixes that most ids in keys have, in normal form. An id is also looked for without each of them.
    #[serde(default)]
    pub key_prefixes: Vec<ByteBuf>,
    /// What the plan's sample met.
    pub sampled: SampledUsers,
    /// Whether keys of inactive users go, also where none of an active one is met.
    pub allow_no_active: bool,
}

/// The users of a sample of keys: of those with a TTL whose user the template tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SampledUsers {
    /// Keys.
    pub keys: u64,
    /// Those of active users.
    pub active_keys: u64,
    /// Different users of these keys.
    pub users: u64,
    /// Active ones among them.
    pub active_users: u64,
}

impl SampledUsers {
    /// The chance that `users` others hold none of the active ones, if they and those of the sample were dealt out by
    /// lot (Fisher's exact test): 1 if there was no active one at all.
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

    /// Whether a part of the keyspace that belongs to `users` users, none of whom is active, may be believed to be
    /// one of inactive users. It may not if the sample met no active user, so that nothing shows that ids are written
    /// alike at all; nor if, by the sample, active ones would be among them but for a chance of one in a thousand.
    #[must_use]
    pub fn may_have_no_active(&self, users: u64) -> bool {
        self.active_users > 0 && self.chance_of_none(users) >= HELD_BACK_CHANCE
    }

    /// Keys of active users in percent of all these keys; `None` if there are none.
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
    fn how_many_users_without_an_active_one_are_believed() {
        let most = |users, active| {
            let met = met(users, active);
            let believed = (0..10_000_000).rev().step_by(1_000).chain((0..1_000).rev());
            let mut believed = believed.filter(|users| met.may_have_no_active(*users));
            believed.next()
        };
        // Nothing was met: no number is.
        assert_eq!(most(0, 0), None);
        assert_eq!(most(1_000, 0), None);
        // One in a hundred: tasks of some hundred users are, and none of thousands.
        assert!(matches!(most(1_000, 10), Some(900..=1_000)), "{:?}", most(1_000, 10));
        assert!(matches!(most(10_000, 100), Some(690..=720)), "{:?}", most(10_000, 100));
        // One in two: ten users.
        assert!(matches!(most(1_000, 500), Some(10)), "{:?}", most(1_000, 500));
        // A single one says little of others.
        assert!(met(1_000, 1).may_have_no_active(900_000) && !met(1_000, 1).may_have_no_active(1_100_000));
        assert!(met(2, 1).may_have_no_active(1_000) && !met(2, 2).may_have_no_active(1_000));
        assert!(met(5, 5).may_have_no_active(0));
        // What no plan writes does no harm.
        assert!(!met(1, u64::MAX).may_have_no_active(u64::MAX));
    }

    proptest! {
        /// Tasks of a healthy run are held back by chance at most so often.
        #[test]
        fn few_are_held_back_by_chance(share in 0.001..0.9_f64, users in 1_u64..5_000, seed: u64) {
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
