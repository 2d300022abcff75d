//! Who is active, as all scanners and reapers of a run know it: one snapshot, taken when the run is planned and kept with its
//! records, and what it makes of a key.
//!
//! A user is held as 64 bits of a hash, with a seed of the run's own, of the normal form of the id, without the prefix
//! that most of the ids of the source have. An id in a key is looked for with and without the prefixes that most of those
//! have. Two ids may share a form, or forms a hash: a key of an inactive user is then kept, and never
//! the other way round.

mod users;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_bytes::ByteBuf;
use thiserror::Error;
use tokio::sync::Mutex;
use tokio::time::sleep;

use crate::context::Context;
use crate::ids::RunId;
use crate::key_template::{KeyTemplate, TemplateError};
use crate::messages::{ActivityRule, InactiveRule, Rules, UserMatching};
use crate::records::{RecordError, Records};

pub use users::{ActiveUsers, ActiveUsersBuilder};

/// Bytes of a user.
const USER_BYTES: usize = size_of::<u64>();

/// Runs whose users a process holds at a time. Workers have tasks of more than one only where jobs overlap.
const KEPT: usize = 2;

/// How often it is looked whether runs have ended.
const SWEEP_EVERY: Duration = Duration::from_secs(30);

/// What makes a key one of an inactive user, ready to be applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activity {
    /// Keys that expire within so many milliseconds are left to do so.
    pub near_expiry_ms: u64,
    /// Who is active.
    pub who: ActivityFilter,
}

/// Who is active.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActivityFilter {
    /// These users; the template tells the user of a key.
    Users(KeyTemplate, Arc<ActiveUsers>),
    /// Whoever used the key within so many milliseconds.
    Idle(u64),
}

impl Activity {
    /// What `rule` means, with the users that it speaks of.
    ///
    /// # Errors
    /// When its template is none.
    pub fn new(rule: &InactiveRule, users: Arc<ActiveUsers>) -> Result<Self, TemplateError> {
        let who = match rule.activity {
            ActivityRule::Users { .. } => ActivityFilter::Users(KeyTemplate::parse(&rule.identity)?, users),
            ActivityRule::Idle => ActivityFilter::Idle(rule.threshold_ms),
        };
        Ok(Self { near_expiry_ms: rule.near_expiry_ms, who })
    }
}

/// Why a worker does not know who is active.
#[derive(Debug, Error)]
pub enum ActivityError {
    /// The records failed.
    #[error(transparent)]
    Records(#[from] RecordError),
    /// The records are not what the run's rules say.
    #[error("the record of active users is incomplete: {0}")]
    Incomplete(String),
    /// The run was planned by a version that took each spelling of an id for another user.
    #[error("the run was planned by an older version, which compared ids literally; start it again")]
    Literal,
    /// The template is none.
    #[error("the template {0}")]
    Template(#[from] TemplateError),
}

/// Stores the users of `records`' run. Done before its spec is stored, so that a run that there is has them.
///
/// # Errors
/// When the store fails.
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
    // With fewer users than there are, others would be taken for inactive.
    if hashes.len() as u64 != users || !hashes.is_sorted() {
        return Err(ActivityError::Incomplete(format!("{} of {users} users", hashes.len())));
    }
    Ok(ActiveUsers { seed, hashes: Arc::new(hashes), matching })
}

/// Who is active in which run, read once per process: see [`Context::activities`].
#[derive(Default)]
pub struct ActivityCache {
    /// Held while they are read: tasks that begin together wait for one reading.
    known: Mutex<BTreeMap<RunId, Arc<Activity>>>,
}

impl ActivityCache {
    /// Who is active in the run of `records`; `None` if its `rules` do not ask for inactive users.
    ///
    /// # Errors
    /// When it cannot be read, or is incomplete.
    pub async fn get(
        &self,
        records: &Records,
        rules: &Rules,
    ) -> Result<Option<Arc<Activity>>, ActivityError> {
        let Some(rule) = &rules.inactive else { return Ok(None) };
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

    /// Frees what is known of `run`, which has ended.
    pub async fn forget(&self, run: RunId) {
        self.known.lock().await.remove(&run);
    }

    /// Frees, now and then, what is known of runs that have ended. Goes on until it is dropped, and stops nothing then.
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
