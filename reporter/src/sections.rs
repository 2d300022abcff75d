//! The sections of a result, each built from the fold of a complete run. Pure.

use keysweep_model::ids::NodeId;
use keysweep_model::memory::PrefixMemory;
use keysweep_model::messages::{ActivityRule, AsReplica, RuleCounts, RunSpec, ScanCounts};
use keysweep_model::metrics::{HitRates, InactiveCaches, Metrics, RedisHealth};
use keysweep_model::result::{
    Accounting, Coverage, CurrentMetrics, Extent, FailoverRescan, NodeRow, RuleRow,
};
use keysweep_model::slot::SlotSet;

use crate::finish::ResultContext;
use crate::fold::Fold;
use crate::key_statistics::{self, About};

/// Why the reading of a standalone server does not count.
const REPLACED: &str = "the server changed its replication history after keys were deleted, as after a restart or a \
                        failover: some keys may be back";

/// The same, if the server's history is unknown.
const UNCONFIRMED: &str = "the server did not report its replication history at the end of the run, so the deletions \
                           are unconfirmed";

/// What was read.
pub(crate) fn coverage(fold: &Fold, spec: &RunSpec) -> Coverage {
    let mut causes = fold.losses.clone();
    let revoked = fold.durability().slots_to_rescan();
    if !spec.cluster {
        let extent = fold.coverage.database(&revoked);
        if extent != Extent::All && !revoked.is_empty() {
            let replaced = !fold.durability().replaced().is_empty();
            causes.insert(if replaced { REPLACED } else { UNCONFIRMED }.to_owned(), 1);
        }
        let missing = match extent {
            Extent::All => None,
            Extent::Part => Some(format!("part of database {}", spec.db)),
            Extent::Nothing => Some(format!("database {}", spec.db)),
        };
        let complete = missing.is_none();
        return Coverage { complete, extent: Some(extent), missing, causes, ..Coverage::default() };
    }
    let covered = fold.coverage.slots(&revoked);
    let missing = SlotSet::all().difference(&covered);
    Coverage {
        complete: missing.is_empty(),
        extent: Some(Extent::of(missing.is_empty(), !covered.is_empty())),
        slots_covered: Some(covered.len() as u64),
        missing: (!missing.is_empty()).then(|| missing.to_string()),
        causes,
        unresolved: (!fold.undone.is_empty()).then(|| fold.undone.to_string()),
    }
}

/// Metrics of the cache and its servers.
pub(crate) fn metrics(fold: &Fold, spec: &RunSpec, context: &ResultContext, coverage: &Coverage) -> Metrics {
    let (counts, statistics) = (&fold.totals.counts, &fold.statistics);
    let error = key_statistics::skipped(counts)
        .keys_error(counts.skipped)
        .filter(|_| all_known(coverage, counts) && !fold.approximate);
    let now = error.map(|error| About { keys: counts.matching(), error });
    let ceiling = ceiling(spec, &context.health);
    Metrics {
        hit_rates: context.hit_rates.clone(),
        ttl: key_statistics::ttl(statistics),
        growth: now.and_then(|now| key_statistics::growth(&context.runs, &spec.selection(), now)),
        prefixes: key_statistics::prefixes(statistics, counts, freed(fold, spec), ceiling),
        redis_health: context.health.clone(),
        ttl_advice: context.ttl_advice.clone().map(Box::new),
    }
}

/// The memory of the keys that were deleted or, in a run that only reports, could be.
pub(crate) fn freed<'a>(fold: &'a Fold, spec: &RunSpec) -> &'a PrefixMemory {
    if spec.rules.writes() { &fold.freed } else { &fold.statistics.reported }
}

/// Whether the counts cover all matching keys. Skipped keys are estimated from a sample; an empty sample provides no
/// estimate.
fn all_known(coverage: &Coverage, counts: &ScanCounts) -> bool {
    coverage.complete && (counts.skipped == 0 || counts.sampled > 0)
}

/// An upper bound of the memory of all keys: the memory that the servers used before the run, or after it if that is
/// more.
pub(crate) fn ceiling(spec: &RunSpec, health: &RedisHealth) -> Option<u64> {
    let before = spec.measure.used_memory?;
    let mut after = health.nodes.iter().map(|node| node.used_memory_bytes);
    let after = after.try_fold(0_u64, |sum, bytes| Some(sum.saturating_add(bytes?)))?;
    Some(before.max(after))
}

/// The metrics of the cache after the run.
pub(crate) fn current(fold: &Fold, rates: &HitRates, coverage: &Coverage) -> CurrentMetrics {
    let (counts, window) = (fold.totals.counts, rates.current());
    let all_known = all_known(coverage, &counts);
    let with_ttl = counts.matching().saturating_sub(counts.stale).saturating_sub(counts.field_ttl);
    CurrentMetrics {
        hit_rate: window.hit_rate,
        hits: window.hits,
        misses: window.misses,
        total_keys: keys_left(fold).filter(|_| all_known),
        // A saturated sum is unknown.
        avg_ttl: mean(counts.ttl_sum_ms, with_ttl)
            .filter(|_| all_known && counts.ttl_sum_ms < u64::MAX)
            .map(|ms| ms / 1_000.0),
    }
}

/// The matching keys left by the run. `None` if the number is uncertain: a deletion is unconfirmed, or a failover
/// restored keys that were not deleted again.
fn keys_left(fold: &Fold) -> Option<u64> {
    let (first, again) = (&fold.totals.accounting, &fold.totals.rescanned);
    let gone = |of: &Accounting| of.deleted.saturating_add(of.vanished);
    let known = first.is_balanced() && first.unconfirmed == 0 && gone(again) == again.candidates;
    known.then(|| fold.totals.counts.matching().saturating_sub(gone(first)))
}

#[expect(clippy::cast_precision_loss, reason = "means need no more than 52 bits")]
fn mean(sum: u64, of: u64) -> Option<f64> {
    (of > 0).then(|| sum as f64 / of as f64)
}

/// What was scanned again, because a failover may have undone deletions.
pub(crate) fn failover(fold: &Fold, spec: &RunSpec) -> FailoverRescan {
    let slots =
        fold.durability().slots_to_rescan().into_values().fold(SlotSet::new(), |all, some| all.union(&some));
    let again = fold.totals.rescanned;
    FailoverRescan {
        // A replaced standalone server is left to the next run.
        rescanned: (spec.cluster && !slots.is_empty()).then(|| slots.to_string()),
        replaced: fold.durability().replaced().into_iter().collect(),
        unconfirmed: fold.durability().unconfirmed().into_iter().collect(),
        redeleted: again.deleted,
        accounting: Accounting { balanced: again.is_balanced(), ..again },
    }
}

/// What the run found of inactive users' caches.
pub(crate) fn inactive(fold: &Fold, spec: &RunSpec) -> InactiveCaches {
    let rule = spec.rules.inactive.as_ref();
    let counts = fold.totals.counts;
    let looked_for = |keys: u64| rule.map(|_| keys);
    InactiveCaches {
        searched: rule.is_some(),
        refused: spec.inactive_refused.clone(),
        source: spec.activity_source.clone(),
        active_users: rule.and_then(|rule| match rule.activity {
            ActivityRule::Users { users, .. } => Some(users),
            ActivityRule::Idle => None,
        }),
        sampled_user_keys: spec.sampled_users.map(|sampled| sampled.keys),
        sampled_active_percent: spec.sampled_users.and_then(|sampled| sampled.active_percent()),
        active_user: looked_for(counts.active_user),
        found: looked_for(counts.inactive),
        near_expiry: looked_for(counts.near_expiry),
        unknown_user: looked_for(counts.unknown_user),
        no_active_user: looked_for(counts.no_active_user),
    }
}

/// One row per rule.
pub(crate) fn rules(fold: &Fold, spec: &RunSpec) -> Vec<RuleRow> {
    let batches = fold.batches.by_rule();
    let stated = spec.rules.policy.iter().flat_map(|policy| &policy.rules);
    let row = |(number, rule)| {
        let counts = fold.rules.get(&number).copied().unwrap_or_else(|| RuleCounts::of(number));
        RuleRow::of(rule, &counts, batches.get(&number).copied().unwrap_or_default())
    };
    (0..).zip(stated).map(row).collect()
}

/// One row per node.
pub(crate) fn nodes(fold: &Fold, spec: &RunSpec, coverage: &Coverage) -> Vec<NodeRow> {
    let covered = fold.coverage.slots(&fold.durability().slots_to_rescan());
    let extent = |slots: &SlotSet| match spec.cluster {
        true => {
            Some(Extent::of(slots.difference(&covered).is_empty(), !slots.intersection(&covered).is_empty()))
        }
        false => coverage.extent,
    };
    let row =
        |node: NodeId, address: String, slots: u64, read: Option<Extent>, replica: Option<AsReplica>| {
            let totals = fold.nodes.get(&node).copied().unwrap_or_default();
            NodeRow {
                node,
                address,
                slots,
                read,
                listed_keys: totals.counts.listed,
                scanned_keys: totals.counts.scanned,
                skipped_keys: totals.counts.skipped,
                stale_ttl_keys: totals.counts.stale,
                cleaned_keys: totals.deleted,
                replica,
            }
        };
    let planned = spec.nodes.iter().map(|n| {
        row(n.node.clone(), n.address.clone(), n.slots.len() as u64, extent(&n.slots), n.replica.clone())
    });
    // Nodes that received slots after the plan.
    let late = fold.nodes.keys().filter(|node| spec.nodes.iter().all(|planned| planned.node != **node));
    planned.chain(late.map(|node| row(node.clone(), String::new(), 0, None, None))).collect()
}
