//! Which part of a scan counts, once slot ownership has been read a second time: slots that moved meanwhile are handed
//! back to be planned again, and their counts and candidates are dropped. Statistics keep their keys.

use keysweep_model::messages::{Covered, Lookups, Remainder, RemainderReason, RunSpec, ScanTask, TaskReport};
use keysweep_model::range::{CursorScope, ScanTable, Scope};
use keysweep_model::slot::SlotSet;
use keysweep_redis::node::{self, SlotView};
use keysweep_redis::{Conn, RedisError};

use crate::source::ReadSourceConn;
use crate::walk::WalkProgress;

/// What the node reported about itself before or after the scan.
pub(crate) struct OwnershipSnapshot {
    /// Read only if the scope uses cursors.
    process: Option<String>,
    /// Read only in a cluster.
    slots: Option<SlotView>,
}

impl OwnershipSnapshot {
    pub(crate) async fn take(
        source: &ReadSourceConn,
        spec: &RunSpec,
        scope: &Scope,
    ) -> Result<Self, RedisError> {
        let slots = if spec.cluster { Some(node::slot_view(source.primary()).await?) } else { None };
        let process = match scope {
            Scope::Cursors(_) => Some(node::status(source.conn(), spec.db).await?.process),
            Scope::Slots { .. } => None,
        };
        Ok(Self { process, slots })
    }

    /// The part of `slots` that this node owned both at `earlier` and now, without interruption; all of them outside of
    /// clusters.
    pub(crate) fn stable_since(&self, earlier: &Self, slots: &SlotSet) -> SlotSet {
        match (&earlier.slots, &self.slots) {
            (Some(earlier), Some(now)) => now.stable_since(earlier, slots),
            _ => slots.clone(),
        }
    }

    /// The report that abandons the task, if the cursors of its pass are no longer valid.
    pub(crate) fn restarted(&self, task: &ScanTask) -> Option<TaskReport> {
        let (Scope::Cursors(cursors), Some(process)) = (&task.scope, &self.process) else { return None };
        let cause = "the server was restarted or replaced, or this worker is connected to another one: the cursors of \
                     the plan are not valid there";
        (cursors.process != *process).then(|| TaskReport::lost(task, cause, true))
    }
}

/// The part of a scan that counts, after the second read of the node's slots.
pub(crate) struct ValidatedScan {
    pub(crate) covered: Covered,
    pub(crate) rest: Vec<Remainder>,
    /// The slots whose tallies count; `None` for all.
    pub(crate) keep: Option<SlotSet>,
    pub(crate) approximate: bool,
}

impl ValidatedScan {
    pub(crate) fn of(
        scope: &Scope,
        reached: &WalkProgress,
        before: &OwnershipSnapshot,
        after: &OwnershipSnapshot,
        moved: &SlotSet,
    ) -> Self {
        let stable = |slots: &SlotSet| after.stable_since(before, slots).difference(moved);
        match scope {
            Scope::Slots { .. } => Self::of_slots(reached, &stable(&reached.slots)),
            Scope::Cursors(cursors) => Self::of_cursors(cursors, reached, cursors.slots.as_ref().map(stable)),
        }
    }

    fn of_slots(reached: &WalkProgress, stable: &SlotSet) -> Self {
        let mut rest = Vec::new();
        let mut hand_back = |reason, slots: &SlotSet| {
            if !slots.is_empty() {
                rest.push(Remainder { reason, scope: Scope::Slots { slots: slots.clone() }, pass: None });
            }
        };
        hand_back(RemainderReason::Unstable, &reached.slots.difference(stable));
        hand_back(RemainderReason::Giant, &reached.giant);
        // A task that is full of one slot's candidates would be full again: that slot is split into ranges.
        let stuck = reached.slots.is_empty() && reached.giant.is_empty();
        let first: SlotSet = reached.unread.iter().take(usize::from(stuck)).collect();
        hand_back(RemainderReason::Giant, &first);
        hand_back(RemainderReason::Full, &reached.unread.difference(&first));
        Self { covered: Covered::Slots(stable.clone()), rest, keep: Some(stable.clone()), approximate: false }
    }

    fn of_cursors(cursors: &CursorScope, reached: &WalkProgress, stable: Option<SlotSet>) -> Self {
        let mut rest = Vec::new();
        if !reached.unread_ranges.is_empty() {
            let scope = CursorScope {
                ranges: reached.unread_ranges.clone(),
                slots: stable.clone(),
                table: reached.rest_of.unwrap_or(cursors.table),
                ..cursors.clone()
            };
            rest.push(Remainder { reason: RemainderReason::Full, scope: Scope::Cursors(scope), pass: None });
        }
        // A slot that moved during one part of a pass is read again as a whole; what other parts counted of it stays
        // counted.
        let unstable = match (&cursors.slots, &stable) {
            (Some(all), Some(stable)) => all.difference(stable),
            _ => SlotSet::new(),
        };
        // A key that an earlier task of the pass counted may be listed again.
        let continues = matches!(cursors.table, ScanTable::Opaque { at } if at != 0);
        let approximate = continues || !unstable.is_empty();
        if !unstable.is_empty() {
            let scope = Scope::Slots { slots: unstable };
            rest.push(Remainder { reason: RemainderReason::Unstable, scope, pass: Some(cursors.pass) });
        }
        let covered =
            Covered::Ranges { pass: cursors.pass, slots: stable.clone(), ranges: reached.ranges.clone() };
        Self { covered, rest, keep: stable, approximate }
    }
}

/// The report of a task that received a cursor which no hash table returns. Other tasks of its pass may have counted
/// keys twice.
pub(crate) fn unreadable(task: &ScanTask, lookups: Lookups) -> TaskReport {
    let cause = "SCAN returned a cursor that no hash table has, or cursors that do not reach an end";
    TaskReport { approximate: true, lookups, ..TaskReport::lost(task, cause, false) }
}

/// A report that covers nothing and requests a new plan for the whole task.
pub(crate) fn handed_back(task: &ScanTask) -> TaskReport {
    let pass = match &task.scope {
        Scope::Cursors(cursors) => Some(cursors.pass),
        Scope::Slots { .. } => None,
    };
    let rest = vec![Remainder { reason: RemainderReason::Unstable, scope: task.scope.clone(), pass }];
    // What other parts of the pass counted stays counted, and all of its slots are read again.
    let approximate = matches!(task.scope, Scope::Cursors(_));
    TaskReport { remainder: rest, approximate, ..TaskReport::blank(task) }
}

/// The replication id of the task's node, for a task that reads slots again: it identifies the history that was read. A
/// failover during the scan shows in the slots.
pub(crate) async fn replication_id(
    conn: &Conn,
    task: &ScanTask,
    spec: &RunSpec,
) -> Result<Option<String>, RedisError> {
    match task.scan_generation {
        0 => Ok(None),
        _ => Ok(Some(node::status(conn, spec.db).await?.replication_id)),
    }
}

#[cfg(test)]
mod tests {
    use keysweep_model::ids::{Alias, NodeId, RunId, TaskId};
    use keysweep_model::range::CursorRange;

    use super::*;

    #[test]
    fn handing_back_part_of_a_pass_makes_counts_approximate() {
        let check = |scope: Scope, approximate: bool| {
            let (run, task, alias) = (RunId::new(), TaskId::new(), Alias::new("main"));
            let report = handed_back(&ScanTask {
                run,
                task,
                alias,
                node: NodeId::new("n"),
                scope,
                keys: 0,
                reschedules: 0,
                skip: false,
                scan_generation: 0,
            });
            assert_eq!((report.remainder.len(), report.approximate), (1, approximate));
        };
        let (ranges, process) = (vec![CursorRange::part(1, 1)], String::new());
        let table = ScanTable::Database;
        let cursors =
            CursorScope { pass: TaskId::new(), table, ranges, bits: 1, slots: Some(SlotSet::all()), process };
        check(Scope::Cursors(cursors), true);
        check(Scope::Slots { slots: SlotSet::all() }, false);
    }
}
