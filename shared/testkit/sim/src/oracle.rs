//! What must hold at the end of a world, by what really happened to its keys.

use std::collections::{BTreeMap, BTreeSet};

use keysweep_model::result::{CleanupResult, Status};
use keysweep_runtime::limits::BATCH_LIFE;

use crate::keys::{is_protected, wanted};
use crate::plan::{Act, CLOCK_MS, Profile, WorldPlan};
use crate::redis::deployment::{Deployment, Effect, EffectKind};
use crate::redis::keyspace::{KeyEntry, Value};
use crate::witness::Seen;

/// The keys of a world, by name.
type Keys = BTreeMap<Vec<u8>, KeyEntry>;

/// The keys at the end of a run. What happens later is not its fault: a failover brings back what the run, or another client
/// before it, had deleted.
pub(crate) struct RunEnd {
    began_ms: u64,
    at_ms: u64,
    keys: Keys,
}

impl RunEnd {
    /// The keys of now, in a run that began with the world.
    pub(crate) fn now(deployment: &Deployment) -> Self {
        let at_ms = keysweep_model::time::now_ms();
        Self { began_ms: at_ms - crate::clock::elapsed_ms(), at_ms, keys: deployment.live(at_ms) }
    }

    /// The same, of a run that began then.
    pub(crate) fn since(self, began_ms: u64) -> Self {
        Self { began_ms, ..self }
    }
}

/// What is wrong; empty if nothing is.
pub(crate) fn judge(
    plan: &WorldPlan,
    before: &Keys,
    end: &RunEnd,
    effects: &[Effect],
    result: &CleanupResult,
    seen: &Seen,
    dead_letters: u64,
) -> Vec<String> {
    let mut wrong: Vec<String> = effects.iter().filter_map(|effect| forbidden(plan, effect, seen)).collect();
    wrong.extend(counts(effects, result, keeps_ledgers(plan, result) && dead_letters == 0));
    if plan.is_healthy() && result.accounting.unconfirmed > 0 {
        wrong.push(format!("{} keys are unconfirmed although nothing fails", result.accounting.unconfirmed));
    }
    if result.status == Status::Completed {
        wrong.extend(left(plan, before, end));
    }
    if plan.is_calm() {
        wrong.extend(inexact(plan, before, end, result));
    }
    wrong
}

/// Why an effect must not have been.
fn forbidden(plan: &WorldPlan, effect: &Effect, seen: &Seen) -> Option<String> {
    let Effect { kind, at_ms, after_ms, before, key, .. } = effect;
    let name = String::from_utf8_lossy(key);
    let wanted = wanted(plan.profile, key, before, *at_ms);
    let (from_ms, to_ms) = seen.windows.get(key).copied().unwrap_or((u64::MAX, 0));
    // A transaction reads the clock before it acts.
    let is_atomic = plan.profile != Profile::Transactions || plan.keeps_time();
    let is_saved = |value: &Value| {
        let Value::Text(text) = value else { return true };
        let contains = |saved: &Vec<u8>| saved.windows(text.len()).any(|part| part == text);
        seen.saved.get(key).is_some_and(|all| all.iter().any(contains))
    };
    match () {
        () if wanted.is_none() => {
            Some(format!("`{name}` was changed, and must not be: {kind:?}, before: {before:?}"))
        }
        () if wanted != Some(*kind) => Some(format!(
            "`{name}` was changed in another way than asked for: {kind:?} instead of {wanted:?}"
        )),
        () if plan.keeps_time() && *after_ms < plan.grace_ms => Some(format!(
            "`{name}` was changed after {after_ms} ms, within the grace of {} ms",
            plan.grace_ms
        )),
        () if is_atomic && !(from_ms..to_ms).contains(at_ms) => Some(format!(
            "`{name}` was changed at {at_ms} by the clock of its server; a batch allows it from {from_ms} to {to_ms}"
        )),
        () if plan.profile == Profile::Backup && *kind == EffectKind::Removed && !is_saved(&before.value) => {
            Some(format!("`{name}` was deleted, and was not saved"))
        }
        () => None,
    }
}

/// Whether every ledger was there for each attempt at its batch, and each batch was tried until it had its receipt: then every
/// change is known.
fn keeps_ledgers(plan: &WorldPlan, result: &CleanupResult) -> bool {
    let loses = |act: &Act| matches!(act, Act::Flush { .. } | Act::DropLedgers | Act::FailOver { .. });
    let life_ms = u64::try_from(BATCH_LIFE.as_millis()).unwrap_or(u64::MAX);
    plan.keeps_time()
        && !plan.acts.iter().any(|timed| loses(&timed.act))
        && (plan.broker.lost, plan.broker.garbled) == (0, 0)
        && result.duration_ms < life_ms
}

/// Sums of the result that are not those of the world. `all_known`: no change is uncertain.
fn counts(effects: &[Effect], result: &CleanupResult, all_known: bool) -> Vec<String> {
    let counts = &result.accounting;
    let mut wrong = Vec::new();
    if !counts.balanced || !counts.is_balanced() {
        wrong.push(format!("the result does not balance: {counts:?}"));
    }
    let run = result.run_id.to_string();
    let is_of_run = |effect: &&Effect| effect.ledger.as_ref().is_some_and(|ledger| ledger.run == run);
    let of_run: Vec<&Effect> = effects.iter().filter(is_of_run).collect();
    if let Some(stray) = effects.iter().find(|effect| effect.ledger.is_none()) {
        wrong.push(format!("`{}` was changed without a ledger", String::from_utf8_lossy(&stray.key)));
    }
    // What was read again after a failover has an account of its own.
    let accounts = [counts, &result.failover.accounting];
    if !result.failover.accounting.is_balanced() {
        wrong.push(format!("the result does not balance: {:?}", result.failover));
    }
    let done: u64 = accounts.iter().map(|counts| counts.deleted + counts.expired + counts.clamped).sum();
    let unconfirmed: u64 = accounts.iter().map(|counts| counts.unconfirmed).sum();
    let all = of_run.len() as u64;
    // A batch whose ledger is lost deletes a key again that was written again, and has one outcome for it.
    let lasting = of_run.iter().filter(|effect| !effect.is_lost);
    let changes = lasting.map(|effect| (effect.ledger.as_ref().map(|ledger| &ledger.batch), &effect.key));
    let lasting = changes.collect::<BTreeSet<_>>().len() as u64;
    if done > all {
        wrong.push(format!("{done} keys are said to be changed, and {all} were"));
    }
    if lasting > done + unconfirmed {
        wrong.push(format!("{lasting} keys were changed, {done} are said to be, and {unconfirmed} may be"));
    }
    if all_known && lasting > done {
        wrong.push(format!("{lasting} keys were changed with their ledgers, and {done} are said to be"));
    }
    wrong
}

/// Keys that a complete run has left, although no client touched them and they qualified from the beginning to the end.
fn left(plan: &WorldPlan, before: &Keys, end: &RunEnd) -> Vec<String> {
    let is_left = |key: &&Vec<u8>| {
        let first = &before[*key];
        let same = |last: &KeyEntry| last.version == first.version && last.expires_ms == first.expires_ms;
        // What a TTL is, is known as far as clocks of servers are right.
        let skew_ms = if plan.keeps_time() { 0 } else { CLOCK_MS.unsigned_abs() };
        let wanted = |entry: &KeyEntry, at_ms: u64| wanted(plan.profile, key, entry, at_ms).is_some();
        let qualifies =
            |entry: &KeyEntry, at_ms: u64| wanted(entry, at_ms - skew_ms) && wanted(entry, at_ms + skew_ms);
        qualifies(first, end.began_ms)
            && end.keys.get(*key).is_some_and(|last| same(last) && qualifies(last, end.at_ms))
    };
    let left: Vec<String> =
        before.keys().filter(is_left).map(|key| String::from_utf8_lossy(key).into_owned()).collect();
    match left.as_slice() {
        [] => Vec::new(),
        [first, ..] => vec![format!("the run is completed, and {} keys are left: `{first}`", left.len())],
    }
}

/// How the result of a run without any fault differs from what it must be.
fn inexact(plan: &WorldPlan, before: &Keys, end: &RunEnd, result: &CleanupResult) -> Vec<String> {
    let wanted = |key: &[u8], entry: &KeyEntry, at_ms| wanted(plan.profile, key, entry, at_ms).is_some();
    let due = before.iter().filter(|(key, entry)| wanted(key, entry, end.at_ms)).count() as u64;
    let changes = |(key, entry): &(&Vec<u8>, &KeyEntry)| {
        wanted(key, entry, end.began_ms) != wanted(key, entry, end.at_ms)
    };
    if before.iter().any(|key| changes(&key)) {
        // Their TTLs cross a limit of the rules meanwhile.
        return Vec::new();
    }
    let lasting = |(key, entry): &(&Vec<u8>, &KeyEntry)| is_protected(key) && entry.expires_ms.is_none();
    // Rules have no protected keys: those belong to no rule.
    let protected = before.iter().filter(lasting).count() as u64;
    let protected = if plan.profile == Profile::Rules { 0 } else { protected };
    let counts = &result.accounting;
    let done = counts.deleted + counts.expired + counts.clamped;
    let is_exact =
        result.status == Status::Completed && done == due && counts.candidates == due + counts.protected;
    if is_exact && (counts.protected == protected || plan.profile == Profile::Inactive) {
        return Vec::new();
    }
    vec![format!(
        "nothing failed, {due} keys qualify, {protected} are protected: {:?}, {counts:?}",
        result.status
    )]
}
