//! The active users of a run, as all its scanners and reapers see them: one snapshot, taken when the run is planned
//! and stored with its records, and the classification of keys by it.
//!
//! A user is stored as a 64-bit hash, with a seed per run, of the normal form of the id, without the prefix that most
//! ids of the source have. An id in a key is looked up with and without the prefixes that most of those have. Two ids
//! may have the same normal form, or two forms the same hash: then a key of an inactive user is kept, never the
//! reverse.

mod users;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use keysweep_model::ids::RunId;
use keysweep_model::key_template::{KeyTemplate, TemplateError, User};
use keysweep_model::messages::{ActivityRule, InactiveRule, Rules, UserMatching};
use keysweep_storage::records::{RecordError, Records};
use serde_bytes::ByteBuf;
use thiserror::Error;
use tokio::sync::Mutex;
use tokio::time::sleep;

use crate::context::Context;

pub use users::{ActiveUsers, ActiveUsersBuilder};

/// Bytes of a user.
const USER_BYTES: usize = size_of::<u64>();

/// Runs whose users a process caches. Workers have tasks of more than one only where jobs overlap.
const KEPT: usize = 2;

/// How often the cache checks whether runs have ended.
const SWEEP_EVERY: Duration = Duration::from_secs(30);

/// The rule for keys of inactive users, ready to be applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activity {
    /// Keys that expire within this many milliseconds are left to expire.
    pub near_expiry_ms: u64,
    /// The source of activity.
    pub who: ActivityFilter,
}

/// Decides which users are active.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActivityFilter {
    /// These users; the template extracts the user of a key.
    Users(KeyTemplate, Arc<ActiveUsers>),
    /// The user of a key that was used within this many milliseconds.
    Idle(u64),
}

impl Activity {
    /// Compiles `rule`, with the users that it refers to.
    ///
    /// # Errors
    /// If its template is invalid.
    pub fn new(rule: &InactiveRule, users: Arc<ActiveUsers>) -> Result<Self, TemplateError> {
        let who = match rule.activity {
            ActivityRule::Users { .. } => ActivityFilter::Users(KeyTemplate::parse(&rule.identity)?, users),
            ActivityRule::Idle => ActivityFilter::Idle(rule.threshold_ms),
        };
        Ok(Self { near_expiry_ms: rule.near_expiry_ms, who })
    }

    /// Whether the user of the key with this name is active; `None` if it has none, and if idle times decide.
    #[must_use]
    pub fn user_active(&self, key: &[u8]) -> Option<bool> {
        let ActivityFilter::Users(template, users) = &self.who else { return None };
        match template.user(key, |id| users.has(id)) {
            User::Active => Some(true),
            User::Inactive => Some(false),
            User::Unknown => None,
        }
    }
}

/// Why a worker cannot determine the active users.
#[derive(Debug, Error)]
pub enum ActivityError {
    /// The records failed.
    #[error(transparent)]
    Records(#[from] RecordError),
    /// The records contradict the rules of the run.
    #[error("the record of active users is incomplete: {0}")]
    Incomplete(String),
    /// The run was planned by a version that compared ids literally.
    #[error("the run was planned by an older version, which compared ids literally; start it again")]
    Literal,
    /// The template is invalid.
    #[error("the template {0}")]
    Template(#[from] TemplateError),
}

/// Stores the users of `records`' run. Called before its spec is stored, so that an existing run always has them.
///
/// # Errors
/// If the store fails.
pub async fn store(records: &Records, users: &ActiveUsers) -> Result<(), RecordError> {
    for (n, part) in users.parts().enumerate() {
        records.create_users(n, &ByteBuf::from(part)).await?;
    }
    Ok(())
}

async fn load(records: &Records, rule: &ActivityRule) -> Result<ActiveUsers, ActivityError> {
    let ActivityRule::Users { parts, users, seed, ref matching } = *rule else {
        return Ok(ActiveUsers { seed: 0, hashes: Arc::default(), matching: UserMatching::default() });
    };
    let matching = matching.as_deref().ok_or(ActivityError::Literal)?.clone();
    let mut hashes = Vec::new();
    for n in 0..parts as usize {
        let part = records.users(n).await?;
        let part = part.ok_or_else(|| ActivityError::Incomplete(format!("part {n} of {parts} is gone")))?;
        hashes.extend(part.as_chunks::<USER_BYTES>().0.iter().map(|bytes| u64::from_le_bytes(*bytes)));
    }
    // With users missing, others would count as inactive.
    if hashes.len() as u64 != users || !hashes.is_sorted() {
        return Err(ActivityError::Incomplete(format!("{} of {users} users", hashes.len())));
    }
    Ok(ActiveUsers { seed, hashes: Arc::new(hashes), matching })
}

/// The active users by run, read once per process: see [`Context::activities`].
#[derive(Default)]
pub struct ActivityCache {
    /// Locked while they are read: tasks that begin at the same time share one read.
    known: Mutex<BTreeMap<RunId, Arc<Activity>>>,
}

impl ActivityCache {
    /// The activity rule of the run of `records`; `None` if its `rules` do not depend on who is active, or if that is not
    /// known.
    ///
    /// # Errors
    /// If it cannot be read, or is incomplete.
    pub async fn get(
        &self,
        records: &Records,
        rules: &Rules,
    ) -> Result<Option<Arc<Activity>>, ActivityError> {
        let Some(rule) = rules.activity() else { return Ok(None) };
        let mut known = self.known.lock().await;
        let run = records.run();
        if let Some(activity) = known.get(&run) {
            return Ok(Some(Arc::clone(activity)));
        }
        let users = load(records, &rule.activity).await?;
        let activity = Arc::new(Activity::new(rule, Arc::new(users))?);
        known.insert(run, Arc::clone(&activity));
        if known.len() > KEPT {
            // Run ids are ordered by time.
            known.pop_first();
        }
        Ok(Some(activity))
    }

    /// Drops the users of `run`, which has ended.
    pub async fn forget(&self, run: RunId) {
        self.known.lock().await.remove(&run);
    }

    /// Periodically drops the users of ended runs. Runs until it is dropped.
    pub async fn sweep(&self, context: &Context) {
        loop {
            sleep(SWEEP_EVERY).await;
            let runs: Vec<RunId> = self.known.lock().await.keys().copied().collect();
            for run in runs {
                if matches!(context.records(run).result().await, Ok(Some(_))) {
                    self.forget(run).await;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::users::PART_USERS;
    use super::*;
    use crate::context::Timing;

    fn env() -> Context {
        Context::in_process(BTreeMap::new(), Timing::default())
    }

    fn users(count: usize) -> ActiveUsers {
        let mut gathering = ActiveUsers::gather();
        for n in (0..count).chain(0..count / 2) {
            gathering.add(n.to_string().as_bytes());
        }
        gathering.finish()
    }

    fn rules(activity: ActivityRule) -> Rules {
        let identity = "p:{user}:*".to_owned();
        let inactive = InactiveRule { identity, near_expiry_ms: 5, threshold_ms: 7, activity };
        Rules { inactive: Some(inactive), ..Rules::deleting(&[], &[]).unwrap() }
    }

    #[tokio::test]
    async fn a_run_that_was_planned_with_literal_ids_is_refused() {
        let (env, users, run) = (env(), users(100), RunId::new());
        store(&env.records(run), &users).await.unwrap();
        let ActivityRule::Users { parts, users, seed, .. } = users.rule() else { panic!("users") };
        let literal = rules(ActivityRule::Users { parts, users, seed, matching: None });
        assert!(matches!(
            ActivityCache::default().get(&env.records(run), &literal).await,
            Err(ActivityError::Literal)
        ));
    }

    #[tokio::test]
    async fn what_is_stored_is_read_once_and_forgotten_in_the_end() {
        let env = env();
        for count in [1, PART_USERS, PART_USERS + 1, 150_000] {
            let (run, users) = (RunId::new(), users(count));
            store(&env.records(run), &users).await.unwrap();
            let (rules, known) = (rules(users.rule()), ActivityCache::default());
            let first = known.get(&env.records(run), &rules).await.unwrap().unwrap();
            assert_eq!(
                first.who,
                ActivityFilter::Users(KeyTemplate::parse("p:{user}:*").unwrap(), Arc::new(users))
            );
            assert!(Arc::ptr_eq(&first, &known.get(&env.records(run), &rules).await.unwrap().unwrap()));
            known.forget(run).await;
            assert_eq!(Arc::strong_count(&first), 1);
        }
    }

    #[tokio::test]
    async fn fewer_users_than_there_were_are_no_answer() {
        let (env, users, run) = (env(), users(100), RunId::new());
        let rules = rules(users.rule());
        let known = ActivityCache::default();
        assert!(matches!(known.get(&env.records(run), &rules).await, Err(ActivityError::Incomplete(_))));
        let fewer = ActiveUsers { hashes: Arc::new(users.hashes[1..].to_vec()), ..users };
        store(&env.records(run), &fewer).await.unwrap();
        assert!(matches!(known.get(&env.records(run), &rules).await, Err(ActivityError::Incomplete(_))));
    }

    #[tokio::test]
    async fn idle_times_need_no_records() {
        let (env, rules) = (env(), rules(ActivityRule::Idle));
        let activity =
            ActivityCache::default().get(&env.records(RunId::new()), &rules).await.unwrap().unwrap();
        assert_eq!(*activity, Activity { near_expiry_ms: 5, who: ActivityFilter::Idle(7) });
    }
}
