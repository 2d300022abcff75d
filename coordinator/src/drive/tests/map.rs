//! The map that a driver shows: each slot in one state, from the plan to the end.

use std::collections::BTreeMap;
use std::time::Duration;

use keysweep_model::ids::NodeId;
use keysweep_model::messages::{
    Cancel, CancelKind, NodePacing, PacingLimits, Remainder, RemainderReason, RunSpec, ScanTask, TaskReport,
};
use keysweep_model::slot::SLOTS;
use keysweep_pacing::PaceNow;
use keysweep_storage::records::Record;

use super::world::{SLOTS as SLOTS_OF_NODES, World, config, spec};
use crate::drive::{MapUnit, PartCounts, PartState, RunState, ScanMap};

/// A run of four tasks of two slots on each of its two nodes.
fn world() -> World {
    let mut world = World::new(0, 4);
    world.deliver(1);
    world
}

fn map(world: &World) -> ScanMap {
    world.leader.detail(&BTreeMap::new()).map
}

/// Compares the states of the slots of the first node: read, in work, requeued, waiting, uncovered.
#[track_caller]
fn check(world: &World, expected: [usize; 5]) {
    let PartCounts { read, skipped, waiting, in_work, requeued, uncovered } = map(world).strips[0].counts;
    assert_eq!(([read, in_work, requeued, waiting, uncovered], skipped), (expected, 0));
}

fn report(world: &mut World, report: TaskReport) {
    world.store(Record::Report(Box::new(report)));
    world.deliver(1);
}

fn take(world: &mut World) -> ScanTask {
    let at = world.queue.iter().position(|task| task.node.as_str() == "a").expect("a task of the first node");
    world.queue.remove(at).expect("it is there")
}

#[test]
fn slots_go_from_waiting_to_read() {
    let mut world = world();
    check(&world, [0, 4, 0, 4, 0]);
    let first = take(&mut world);
    let scanned = world.scanned(&first, 0);
    report(&mut world, scanned);
    check(&world, [2, 4, 0, 2, 0]);
    while let Some(task) = world.queue.pop_front() {
        let scanned = world.scanned(&task, 0);
        report(&mut world, scanned);
    }
    check(&world, [8, 0, 0, 0, 0]);
    let map = map(&world);
    assert_eq!((map.unit, map.more_nodes, map.strips.len()), (MapUnit::Slots, 0, 3));
    assert_eq!((map.strips[1].spans[0].first, map.strips[1].spans[0].last), (8, 15));
    // Slots that no node of this cluster serves.
    let unserved = &map.strips[2];
    assert_eq!((&unserved.address, unserved.counts.uncovered), (&None, usize::from(SLOTS) - 16));
    assert_eq!(unserved.spans[0].state, PartState::Uncovered);
}

#[test]
fn slots_that_are_returned_are_requeued_and_those_that_are_given_up_uncovered() {
    let mut world = world();
    let task = take(&mut world);
    let remainder = Remainder { reason: RemainderReason::Unstable, scope: task.scope.clone(), pass: None };
    report(&mut world, TaskReport { remainder: vec![remainder], ..TaskReport::blank(&task) });
    check(&world, [0, 4, 2, 2, 0]);
    let cancel = Cancel { kind: CancelKind::Asked, cause: "enough".to_owned() };
    world.store(Record::Cancel(cancel));
    world.deliver(1);
    world.wait(Duration::from_secs(1));
    check(&world, [0, 0, 0, 0, 8]);
}

#[test]
fn what_this_process_measures_is_shown_before_tasks_report_it() {
    let pacing = PacingLimits { latency_budget_ms: Some(2), ..PacingLimits::default() };
    let leader = RunState::new(RunSpec { pacing, ..spec() }, config(&[]));
    let pace = |probe_us: f64, duty_cycle| {
        let stats = NodePacing::default();
        let mut unreported = NodePacing { duty_cycle_min: Some(duty_cycle), before_us: Some(100), ..stats };
        unreported.probes_us.add(probe_us, 1);
        PaceNow { duty_cycle, unreported }
    };
    let nodes = SLOTS_OF_NODES.map(|(node, _)| NodeId::new(node));
    let paces = nodes.into_iter().zip([pace(500.0, 0.5), pace(4_000.0, 0.25)]).collect();
    let detail = leader.detail(&paces);
    let shown: Vec<_> = detail.paced.iter().map(|now| (now.so_far.node.as_str(), now.duty_cycle)).collect();
    assert_eq!(shown, [("b", Some(0.25)), ("a", Some(0.5))], "the worst first");
    assert_eq!(detail.latency_budget_ms, Some(2));
}
