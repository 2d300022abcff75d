//! What a run in progress shows besides its totals: the map of what is read, how it is paced, and what it finds. It follows
//! from what the driver knows anyway. Pure.

use std::collections::BTreeMap;

use keysweep_model::ids::NodeId;
use keysweep_model::messages::ScanTask;
use keysweep_model::metrics::PrefixRow;
use keysweep_model::range::Scope;
use keysweep_model::result::{Accounting, PacedNode, Pacing, RuleName, RuleRow};
use keysweep_model::slot::SlotSet;
use keysweep_pacing::PaceNow;
use reporter::pacing;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::run_state::RunState;
use super::scan_map::{MapUnit, PartState, ScanMap, contained, touched, whole_table};
use crate::limits::{MAP_NODES_MAX, SHOWN_PREFIXES};

/// A run in progress in detail.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunDetail {
    /// What is read, in work and left.
    pub map: ScanMap,
    /// How it is paced, as a sentence.
    pub pacing: String,
    /// The permitted increase of the p99 latency of other clients, in milliseconds; null without a budget.
    pub latency_budget_ms: Option<u64>,
    /// The nodes that were probed, the one nearest to its budget or furthest beyond it first.
    pub paced: Vec<PacedNow>,
    /// The heaviest prefixes of keys without TTL in tasks that have ended, in keys.
    pub prefixes: Vec<PrefixRow>,
    /// What was done by each rule in tasks and batches that have ended; empty if the job has no rules.
    #[serde(default)]
    pub rules: Vec<RuleNow>,
}

/// What was done by a rule so far, in keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RuleNow {
    /// The rule.
    #[serde(flatten)]
    pub name: RuleName,
    /// What it does: `delete`, `report`, `durable`, or `ttl` if it sees to TTLs.
    pub action: String,
    /// Keys that belong to it.
    pub scanned: u64,
    /// Those of them that it would change or report.
    pub candidates: u64,
    /// Deleted.
    pub deleted: u64,
    /// Given a TTL.
    pub expired: u64,
    /// Given a shorter TTL.
    pub clamped: u64,
    /// Reported.
    pub reported: u64,
    /// Left alone, because they had changed.
    pub spared: u64,
    /// Left alone, because a fact that decides was unknown.
    pub undecided: u64,
}

impl From<RuleRow> for RuleNow {
    fn from(row: RuleRow) -> Self {
        let Accounting { candidates, deleted, expired, clamped, reported, spared, .. } = row.accounting;
        Self {
            name: row.name(),
            action: row.action,
            scanned: row.scanned,
            candidates,
            deleted,
            expired,
            clamped,
            reported,
            spared,
            undecided: row.undecided,
        }
    }
}

/// How a node is paced.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PacedNow {
    /// What was measured so far.
    #[serde(flatten)]
    pub so_far: PacedNode,
    /// The share of the node's time that may be used now, above 0 and up to 1; null if other processes do the work.
    pub duty_cycle: Option<f64>,
}

impl RunState {
    /// The run in detail. `paces` is how this process paces its own part of the work.
    #[must_use]
    pub fn detail(&self, paces: &BTreeMap<NodeId, PaceNow>) -> RunDetail {
        let mut stats = self.recorded.fold.pacing().clone();
        for (node, pace) in paces {
            stats.entry(node.clone()).or_default().merge(&pace.unreported);
        }
        let Pacing { summary, latency_budget_ms, nodes, .. } = pacing(&self.spec, &stats, false);
        RunDetail {
            map: if self.spec.cluster { self.map_of_slots() } else { self.map_of_table() },
            pacing: summary,
            latency_budget_ms,
            paced: worst_first(nodes, latency_budget_ms, paces),
            prefixes: shown_prefixes(self.recorded.fold.stale_prefixes().rows),
            rules: self.recorded.fold.rules_so_far().into_iter().map(RuleNow::from).collect(),
        }
    }

    fn map_of_slots(&self) -> ScanMap {
        let fold = &self.recorded.fold;
        let slots = |task: &ScanTask| task.scope.slots();
        let (skipped, read): (Vec<_>, Vec<_>) = fold.reported_tasks().partition(|task| task.skip);
        let read = union(read.into_iter().map(slots));
        let skipped = union(skipped.into_iter().map(slots)).difference(&read);
        let whole = |task: &&ScanTask| matches!(task.scope, Scope::Slots { .. });
        let handed_out = union(fold.reported_tasks().filter(whole).map(slots));
        let returned = self.recorded.remainders.values().flat_map(|remainder| &remainder.parts);
        let layers = Layers {
            in_work: union(self.dispatch.in_flight().map(slots)),
            returned: union(returned.map(|part| part.scope.slots())),
            waiting: union(self.dispatch.waiting().map(slots)),
            handed_out,
            skipped,
            covered: fold.covered_slots(),
        };
        ScanMap::new(MapUnit::Slots, self.owners(), &layers.in_order())
    }

    fn map_of_table(&self) -> ScanMap {
        let fold = &self.recorded.fold;
        let returned = self.recorded.remainders.values().flat_map(|remainder| &remainder.parts);
        let (is_read, covered) =
            (fold.reported_tasks().any(|task| !task.skip), contained(fold.covered_ranges()));
        let layers = Layers {
            in_work: union(self.dispatch.in_flight().map(|task| positions(&task.scope))),
            returned: union(returned.map(|part| positions(&part.scope))),
            waiting: union(self.dispatch.waiting().map(|task| positions(&task.scope))),
            handed_out: union(fold.reported_tasks().map(|task| positions(&task.scope))).difference(&covered),
            skipped: if is_read { SlotSet::new() } else { covered.clone() },
            covered,
        };
        let nodes = self.spec.nodes.iter().map(|node| (Some(node.address.clone()), whole_table()));
        ScanMap::new(MapUnit::Positions, nodes.collect(), &layers.in_order())
    }

    /// The slots of each node that has any, by the newest task of each slot; last, those of no node, if there are any.
    fn owners(&self) -> Vec<(Option<String>, SlotSet)> {
        let mut owned: Vec<(&NodeId, Option<String>, SlotSet)> = Vec::new();
        for node in &self.spec.nodes {
            owned.push((&node.node, Some(node.address.clone()), node.slots.clone()));
        }
        let open = self.dispatch.in_flight().chain(self.dispatch.waiting());
        let mut moved: Vec<&ScanTask> = self.recorded.fold.reported_tasks().chain(open).collect();
        moved.retain(|task| task.reschedules > 0 || task.scan_generation > 0);
        // The sort is stable: an open task comes after those with a report.
        moved.sort_by_key(|task| (task.scan_generation, task.reschedules));
        for task in moved {
            let slots = task.scope.slots();
            if owned.iter().all(|(node, ..)| **node != task.node) {
                owned.push((&task.node, Some(task.node.to_string()), SlotSet::new()));
            }
            for (node, _, theirs) in &mut owned {
                *theirs = if **node == task.node { theirs.union(&slots) } else { theirs.difference(&slots) };
            }
        }
        let served = union(owned.iter().map(|(_, _, slots)| slots.clone()));
        let unserved = SlotSet::all().difference(&served);
        let mut nodes: Vec<_> = owned.into_iter().map(|(_, address, slots)| (address, slots)).collect();
        nodes.retain(|(_, slots)| !slots.is_empty());
        nodes.sort_by_key(|(_, slots)| slots.iter().next());
        if !unserved.is_empty() {
            // Before nodes that are left out.
            nodes.insert(nodes.len().min(MAP_NODES_MAX - 1), (None, unserved));
        }
        nodes
    }
}

/// Those of `rows` that the page shows: groups of keys, without the name of a whole key.
pub(crate) fn shown_prefixes(rows: Vec<PrefixRow>) -> Vec<PrefixRow> {
    let rows = rows.into_iter().take(SHOWN_PREFIXES);
    rows.map(|row| PrefixRow { sample_key: None, ..row }).collect()
}

/// Parts of the keyspace by what has happened to them.
struct Layers {
    in_work: SlotSet,
    /// Returned, and not planned again yet.
    returned: SlotSet,
    waiting: SlotSet,
    /// Handed out before.
    handed_out: SlotSet,
    skipped: SlotSet,
    covered: SlotSet,
}

impl Layers {
    /// The states, those first that hide others.
    fn in_order(self) -> [(PartState, SlotSet); 5] {
        let again = self.returned.union(&self.waiting.intersection(&self.handed_out));
        [
            (PartState::InWork, self.in_work),
            (PartState::Requeued, again),
            (PartState::Waiting, self.waiting),
            (PartState::Skipped, self.skipped.intersection(&self.covered)),
            (PartState::Read, self.covered),
        ]
    }
}

fn positions(scope: &Scope) -> SlotSet {
    match scope {
        Scope::Cursors(cursors) => touched(&cursors.ranges),
        Scope::Slots { .. } => SlotSet::new(),
    }
}

fn union(sets: impl Iterator<Item = SlotSet>) -> SlotSet {
    let mut ranges: Vec<(u16, u16)> = sets.flat_map(Vec::from).collect();
    // In order, each is added at the end.
    ranges.sort_unstable();
    SlotSet::from_ranges(ranges).unwrap_or_default()
}

/// The nodes, sorted by how much of the budget their probes take.
fn worst_first(
    nodes: Vec<PacedNode>,
    budget_ms: Option<u64>,
    paces: &BTreeMap<NodeId, PaceNow>,
) -> Vec<PacedNow> {
    #[expect(clippy::cast_precision_loss, reason = "a budget has few digits")]
    let budget = budget_ms.unwrap_or_default().max(1) as f64;
    let taken = |node: &PacedNode| {
        let over = node.probe_ms_p99? - node.probe_ms_before.unwrap_or_default();
        Some(over / budget)
    };
    let key = |node: &PacedNode| taken(node).unwrap_or(f64::NEG_INFINITY);
    let mut nodes = nodes;
    nodes.sort_by(|one, other| key(other).total_cmp(&key(one)));
    nodes.truncate(MAP_NODES_MAX);
    let now = |so_far: PacedNode| {
        let duty_cycle = paces.get(&so_far.node).map(|pace| pace.duty_cycle);
        PacedNow { so_far, duty_cycle }
    };
    nodes.into_iter().map(now).collect()
}
