//! Reads the active users during the preflight. No error and no empty source ever means "no user is active": then the
//! run does not look for inactive users, and reports why.

use std::sync::Arc;

use keysweep_model::ids::NodeId;
use keysweep_model::key::Key;
use keysweep_model::key_template::{common_prefixes, normal};
use keysweep_model::messages::{ActivityRule, InactiveRule, Lookups, Rules};
use keysweep_model::slot::slot_of;
use keysweep_redis::activity::{ActivityReadError, SetKind, read_members};
use keysweep_redis::node::{self, NodeStatus};
use keysweep_redis::{RedisClient, RedisErrorKind};
use keysweep_runtime::activity::{ActiveUsers, Activity, ActivityFilter};
use keysweep_runtime::limits::SAMPLED_IDS;

use crate::inactive_policy::{ActivitySource, InactivePolicy};
use crate::limits::{ACTIVE_USERS_MAX, ID_READINGS};
use crate::sampled_users::SampledUserIds;

/// Scores from this value on are milliseconds: in milliseconds it is in 1973, in seconds in the year 5138.
const MILLIS_FROM: f64 = 1e11;

/// Maximum lookups of a key whose slot has moved.
const REDIRECTIONS_MAX: u32 = 5;

/// Maximum restarts of a set's scan with smaller pages, after the server closed the connection because of its output
/// limit.
const CUTS_MAX: u32 = 16;

/// The result of reading the activity source.
#[derive(Default)]
pub struct ActivityFound {
    /// The active users, and the rule that uses them; `None` if unknown.
    pub known: Option<KnownActivity>,
    /// Why the run does not look for inactive users, although the job requires it.
    pub refused: Option<String>,
    /// The lookups made, by node.
    pub lookups: Vec<(NodeId, Lookups)>,
}

/// The active users.
pub struct KnownActivity {
    /// Whether it is allowed that no sampled key belongs to any of them.
    pub allow_no_active: bool,
    /// The rule as stored in the run's spec.
    pub rule: InactiveRule,
    /// The rule, ready to be applied.
    pub activity: Activity,
    /// The users, to be stored with the run.
    pub users: Arc<ActiveUsers>,
    /// One of them, as the source writes it.
    pub example: Key,
}

impl ActivityFound {
    /// `rules` with how it is known who is active.
    pub(crate) fn rules(&self, rules: &Rules) -> Rules {
        let mut rules = rules.clone();
        rules.set_activity(self.known.as_ref().map(|known| known.rule.clone()));
        rules
    }

    /// The active users, ready to be applied.
    pub(crate) fn activity(&self) -> Option<&Activity> {
        self.known.as_ref().map(|known| &known.activity)
    }

    /// Learns from `sampled` keys the prefixes that most of their ids have. The prefixes of the source are known
    /// already.
    pub(crate) fn learn_prefixes(&mut self, sampled: &[&Key]) {
        let Some(known) = &mut self.known else { return };
        let ActivityFilter::Users(template, users) = &known.activity.who else { return };
        // A server may list its keys in the order of their names.
        let some = sampled.iter().step_by(sampled.len().div_ceil(SAMPLED_IDS).max(1));
        let ids = some.map(|key| {
            let mut forms = Vec::new();
            template.user(key.as_bytes(), |id| {
                forms.push(normal(id).into_owned());
                // The shortest come first. `true` means only that it has seen enough.
                forms.len() >= ID_READINGS
            });
            forms
        });
        let ids: Vec<Vec<Vec<u8>>> = ids.filter(|forms| !forms.is_empty()).collect();
        let prefixes = common_prefixes(ids.iter().map(Vec::as_slice));
        if !prefixes.is_empty() {
            known.users = Arc::new(users.in_keys_with(prefixes));
            known.rule.activity = known.users.rule();
            known.activity.who = ActivityFilter::Users(template.clone(), Arc::clone(&known.users));
        }
    }

    /// Checks the users of sampled keys. Who is active is not known if no sampled key shows that ids are written alike in
    /// keys and in the source.
    pub(crate) fn check_sample(&mut self, met: &SampledUserIds) {
        let Some(known) = &mut self.known else { return };
        let ActivityRule::Users { matching: Some(matching), .. } = &mut known.rule.activity else { return };
        matching.sampled = met.counts();
        matching.allow_no_active = known.allow_no_active;
        let refused = met.refusal(&known.rule.identity, &known.users, &known.example);
        if let Some(why) = refused.filter(|_| !known.allow_no_active) {
            (self.known, self.refused) = (None, Some(why));
        }
    }
}

/// Reads the active users by `order`, in a deployment with the given node `statuses`.
pub async fn find_out<'a>(
    client: &RedisClient,
    order: &InactivePolicy,
    statuses: impl Iterator<Item = &'a NodeStatus> + Clone,
) -> ActivityFound {
    let mut lookups = Vec::new();
    let read = match &order.source {
        _ if statuses.clone().any(|status| !status.reports_expiry) => {
            Err("a server is older than Redis 7.0 and does not tell at which moment a key expires (PEXPIRETIME), by \
                 which a cache that was renewed meanwhile is known"
                .to_owned())
        }
        ActivitySource::IdleTime if statuses.clone().any(|status| status.counts_uses) => {
            Err("the server has an LFU maxmemory policy, under which it does not keep for how long keys were not used"
                .to_owned())
        }
        ActivitySource::IdleTime => Ok((ActiveUsers::gather().finish(), Key::new(*b""))),
        ActivitySource::SortedSet(key) => {
            read(client, (SetKind::Sorted, key), order.threshold_ms, &mut lookups).await
        }
        ActivitySource::Set(key) => {
            read(client, (SetKind::Plain, key), order.threshold_ms, &mut lookups).await
        }
    };
    match read.and_then(|(users, example)| known(order, users, example)) {
        Ok(known) => ActivityFound { known: Some(known), refused: None, lookups },
        Err(why) => ActivityFound { known: None, refused: Some(why), lookups },
    }
}

fn known(order: &InactivePolicy, users: ActiveUsers, example: Key) -> Result<KnownActivity, String> {
    let activity = if order.source == ActivitySource::IdleTime { ActivityRule::Idle } else { users.rule() };
    let rule = InactiveRule {
        identity: order.identity.clone(),
        near_expiry_ms: order.near_expiry_ms,
        threshold_ms: order.threshold_ms,
        activity,
    };
    let users = Arc::new(users);
    let activity = Activity::new(&rule, Arc::clone(&users)).map_err(|e| format!("the template {e}"))?;
    Ok(KnownActivity { allow_no_active: order.allow_no_active, rule, activity, users, example })
}

/// The members of a set that were active within the threshold; or why they are unknown.
async fn read(
    client: &RedisClient,
    (kind, key): (SetKind, &Key),
    threshold_ms: u64,
    lookups: &mut Vec<(NodeId, Lookups)>,
) -> Result<(ActiveUsers, Key), String> {
    let mut last = String::new();
    for _ in 0..REDIRECTIONS_MAX {
        match read_in_pieces(client, (kind, key), threshold_ms, lookups).await {
            Err(ActivityReadError::Fault(fault)) if fault.kind == RedisErrorKind::Moved => {
                last = fault.to_string();
                client.refresh().await.map_err(|fault| unreadable(key, &ActivityReadError::Fault(fault)))?;
            }
            Err(why) => return Err(unreadable(key, &why)),
            Ok((users, _)) if users.len() > ACTIVE_USERS_MAX => {
                return Err(format!(
                    "the activity set `{key}` has more than {ACTIVE_USERS_MAX} active users, the most that are kept"
                ));
            }
            Ok((users, _)) if users.is_empty() => {
                return Err(format!(
                    "no user in the activity set `{key}` was active within the last {} days, which must never mean \
                     that everyone is inactive",
                    threshold_ms / 86_400_000
                ));
            }
            Ok(read) => return Ok(read),
        }
    }
    Err(format!("the activity set `{key}` could not be read in {REDIRECTIONS_MAX} attempts: {last}"))
}

/// [`read_once`], with smaller pages if the server closes the connection because of its output limit: the connection
/// may lead to another process then, so the set is read from its beginning.
async fn read_in_pieces(
    client: &RedisClient,
    (kind, key): (SetKind, &Key),
    threshold_ms: u64,
    lookups: &mut Vec<(NodeId, Lookups)>,
) -> Result<(ActiveUsers, Key), ActivityReadError> {
    for _ in 0..CUTS_MAX {
        match read_once(client, (kind, key), threshold_ms, lookups).await {
            Err(ActivityReadError::Fault(fault)) if fault.kind == RedisErrorKind::ReplyCutOff => {
                if let Some(owner) = client.topology().owner(slot_of(key.as_bytes())) {
                    client.forget(&owner.node);
                }
            }
            read => return read,
        }
    }
    read_once(client, (kind, key), threshold_ms, lookups).await
}

async fn read_once(
    client: &RedisClient,
    (kind, key): (SetKind, &Key),
    threshold_ms: u64,
    lookups: &mut Vec<(NodeId, Lookups)>,
) -> Result<(ActiveUsers, Key), ActivityReadError> {
    let topology = client.topology();
    let owner = topology.owner(slot_of(key.as_bytes())).ok_or(ActivityReadError::NoOwner)?;
    let conn = client.conn(&owner.node).await.map_err(ActivityReadError::Fault)?;
    // The clock of the servers that keep the set, not ours: a wrong clock would make every user seem inactive.
    let now_ms = node::time_ms(&conn).await.map_err(ActivityReadError::Fault)?;
    let (mut gathering, mut own, mut example) = (ActiveUsers::gather(), Lookups::default(), None);
    let each = |member: &[u8], score: Option<f64>| {
        if score.is_none_or(|score| is_active(score, now_ms, threshold_ms)) {
            gathering.add(member);
            example.get_or_insert_with(|| Key::new(member));
        }
        // One more than allowed is enough to report too many; none of them is used then.
        gathering.len() <= 2 * ACTIVE_USERS_MAX
    };
    let read = read_members(&conn, kind, key.as_bytes(), &mut own, each).await;
    lookups.push((owner.node.clone(), own));
    read.map(|()| (gathering.finish(), example.unwrap_or_else(|| Key::new(*b""))))
}

/// Whether a user last active at `score`, in seconds or milliseconds since the epoch, was active within the threshold.
/// A time in the future counts as recent: its clock is ahead.
#[expect(clippy::cast_precision_loss, reason = "times in milliseconds need 41 bits")]
fn is_active(score: f64, now_ms: u64, threshold_ms: u64) -> bool {
    let at_ms = if score >= MILLIS_FROM { score } else { score * 1_000.0 };
    at_ms >= now_ms as f64 - threshold_ms as f64
}

/// Why a set could not be read, as text.
fn unreadable(key: &Key, why: &ActivityReadError) -> String {
    let set = format!("the activity set `{key}`");
    match why {
        ActivityReadError::Empty => {
            format!("{set} is empty or missing; an empty set must never mean that everyone is inactive")
        }
        ActivityReadError::OtherType => {
            format!(
                "the key `{key}` is not a set of the type in `activity`, which is `zset:KEY` or `set:KEY`"
            )
        }
        ActivityReadError::Shrank => {
            format!("{set} lost members while it was read, as if it were being rebuilt")
        }
        ActivityReadError::NoOwner => format!("{set} could not be read: no node serves its slot"),
        ActivityReadError::Forbidden { rule: Some(rule) } => {
            format!("{set} may not be read; allow it with the ACL rule `{rule}`")
        }
        ActivityReadError::Forbidden { rule: None } => {
            format!("{set} may not be read; allow it with the ACL rule `~{key}`")
        }
        ActivityReadError::Fault(fault) => format!("{set} could not be read: {fault}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_in_seconds_and_in_milliseconds() {
        const DAY: u64 = 86_400_000;
        const NOW: u64 = 1_800_000_000_000;
        let check = |score: f64, expected: bool| {
            assert_eq!(is_active(score, NOW, 30 * DAY), expected, "{score}");
        };
        check(1_800_000_000.0, true);
        check(1_800_000_000_000.0, true);
        check(1_797_408_000.0, true);
        check(1_797_407_999.0, false);
        check(1_797_407_999.999, false);
        check(1_797_408_000_000.0, true);
        check(1_797_407_999_999.0, false);
        // The future, in either unit.
        check(1_900_000_000.0, true);
        check(1_900_000_000_000.0, true);
        check(f64::INFINITY, true);
        // Not a time.
        check(0.0, false);
        check(1.0, false);
        check(-5.0, false);
        check(f64::NEG_INFINITY, false);
        assert!(is_active(0.0, NOW, 36_500 * DAY), "within a hundred years");
    }
}
