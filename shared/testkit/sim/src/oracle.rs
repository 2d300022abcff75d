//! What must hold at the end of a world, by what really happened to its keys.

use std::collections::BTreeMap;

use keysweep_model::result::{CleanupResult, Status};

use crate::keys::may_change;
use crate::plan::WorldPlan;
use crate::redis::deployment::{Deployment, Effect, EffectKind};
use crate::redis::keyspace::KeyEntry;

/// What is wrong; empty if nothing is.
pub(crate) fn judge(
    plan: &WorldPlan,
    before: &BTreeMap<Vec<u8>, KeyEntry>,
    deployment: &Deployment,
    result: &CleanupResult,
    now_ms: u64,
) -> Vec<String> {
    let mut wrong: Vec<String> =
        deployment.effects.iter().filter_map(|effect| forbidden(plan, effect)).collect();
    wrong.extend(counts(plan, deployment, result));
    if result.status == Status::Completed {
        wrong.extend(left(before, deployment, now_ms));
    }
    wrong
}

/// Why an effect must not have been.
fn forbidden(plan: &WorldPlan, effect: &Effect) -> Option<String> {
    let name = String::from_utf8_lossy(&effect.key);
    let is_wanted = match effect.kind {
        EffectKind::Removed => plan.ttl_ms.is_none(),
        EffectKind::Expires(at_ms) => plan.ttl_ms.is_some_and(|ttl| at_ms == effect.at_ms + ttl),
    };
    match () {
        () if !is_wanted => {
            Some(format!("`{name}` was changed in another way than asked for: {:?}", effect.kind))
        }
        () if !may_change(&effect.key) => Some(format!("`{name}` was changed, and must not be")),
        () if plan.keeps_time() && effect.after_ms < plan.grace_ms => Some(format!(
            "`{name}` was changed after {} ms, within the grace of {} ms",
            effect.after_ms, plan.grace_ms
        )),
        () if effect.before.expires_ms.is_some() => {
            Some(format!("`{name}` was changed although it had a TTL"))
        }
        () => None,
    }
}

/// Sums of the result that are not those of the world.
fn counts(plan: &WorldPlan, deployment: &Deployment, result: &CleanupResult) -> Vec<String> {
    let counts = &result.accounting;
    let mut wrong = Vec::new();
    if !counts.balanced || !counts.is_balanced() {
        wrong.push(format!("the result does not balance: {counts:?}"));
    }
    let done = if plan.ttl_ms.is_some() { counts.expired } else { counts.deleted };
    let all = deployment.effects.len() as u64;
    let lasting = deployment.effects.iter().filter(|effect| !effect.is_lost).count() as u64;
    if done > all {
        wrong.push(format!("{done} keys are said to be changed, and {all} were"));
    }
    if lasting > done + counts.unconfirmed {
        let unconfirmed = counts.unconfirmed;
        wrong.push(format!("{lasting} keys were changed, {done} are said to be, and {unconfirmed} may be"));
    }
    wrong
}

/// Keys that a complete run has left, although no client touched them and they never had a TTL.
fn left(before: &BTreeMap<Vec<u8>, KeyEntry>, deployment: &Deployment, now_ms: u64) -> Vec<String> {
    let after = deployment.live(now_ms);
    let is_left = |key: &&Vec<u8>| {
        let same = |entry: &KeyEntry| before[*key].version == entry.version && entry.expires_ms.is_none();
        before[*key].expires_ms.is_none() && may_change(key) && after.get(*key).is_some_and(same)
    };
    let left: Vec<String> =
        before.keys().filter(is_left).map(|key| String::from_utf8_lossy(key).into_owned()).collect();
    match left.as_slice() {
        [] => Vec::new(),
        [first, ..] => vec![format!("the run is completed, and {} keys are left: `{first}`", left.len())],
    }
}
