//! What the machine decides, case by case.

use std::time::Duration;

use keysweep_model::ids::NodeId;
use keysweep_model::messages::{
    BackupPolicy, Cancel, CancelKind, Covered, Guards, Remainder, RemainderReason, RunSpec, ScanTask,
    TaskReport,
};
use keysweep_model::outcome::Outcome;
use keysweep_runtime::limits::{BATCH_LIFE, PRIMARY_WAIT, RETRY_DELAY_MAX};
use keysweep_storage::limits::ACK_WAIT;
use keysweep_storage::records::{Decision, Record};

use super::world::{LATER, World, config, spec};
use crate::drive::{Effect, Input, LeaderConfig, Notice, RunEvent};
use crate::limits::{RESCHEDULES_MAX, TASK_AGAIN_ACK_WAITS, TASK_TIMES_MAX};
use crate::run_phase::RunPhase;

/// A run with a live leader, whose tasks are published.
fn world() -> World {
    let mut world = World::new(0, 4);
    world.deliver(1);
    world
}

fn report(world: &mut World, report: TaskReport) {
    world.store(Record::Report(Box::new(report)));
    world.deliver(1);
}

/// Scans all published tasks, each with so many batches.
fn scan_all(world: &mut World, batches: u64) {
    while let Some(task) = world.queue.pop_front() {
        let scanned = world.scanned(&task, batches);
        report(world, scanned);
    }
}

fn reap_all(world: &mut World) {
    while !world.open_batches().is_empty() {
        world.reap_any();
    }
    world.deliver(1);
}

fn cancels(world: &World) -> Vec<&Cancel> {
    let cancels = world.records.iter().filter_map(|record| match record {
        Record::Cancel(cancel) => Some(cancel),
        _ => None,
    });
    cancels.collect()
}

/// The failover checks in the run log: the numbers of histories that are gone, and unknown.
fn checks(world: &World) -> Vec<(usize, usize)> {
    let checks = world.decisions().filter_map(|decision| match decision {
        Decision::Check { gone, unknown, .. } => Some((gone.len(), unknown.len())),
        _ => None,
    });
    checks.collect()
}

#[test]
fn a_leader_decides_nothing_before_it_has_read_its_own_entry() {
    let mut world = World::new(0, 4);
    let last = world.records.pop().unwrap();
    world.deliver(1);
    world.wait(LATER);
    assert_eq!((world.queue.len(), &world.seen), (0, &Vec::new()));
    world.records.push(last);
    world.deliver(1);
    assert_eq!(world.seen, [Effect::Emit(RunEvent::Started)]);
    assert_eq!(world.queue.len(), 4, "two tasks for each of two nodes");
}

#[test]
fn a_takeover_is_announced_and_fences_the_former_leader() {
    let mut world = world();
    let mut former = world.leader.clone();
    world.seen.clear();
    world.elect();
    world.deliver(1);
    let (log, event) = (Effect::Log(Notice::TakenOver { epoch: 2 }), RunEvent::TakenOver { epoch: 2 });
    assert_eq!(world.seen, [Effect::Emit(RunEvent::Started), log, Effect::Emit(event)]);
    let entry = world.records.last().cloned().unwrap();
    assert_eq!(former.apply(world.now, Input::Record(Box::new(entry))), [Effect::Yield]);
    assert_eq!(former.apply(world.now, Input::AppendRefused), [Effect::Yield]);
}

#[test]
fn a_task_that_the_queue_refuses_is_published_at_the_next_tick() {
    let mut world = World::new(0, 4);
    world.accepts = false;
    world.deliver(1);
    let refused = world.leader.apply(world.now, Input::Tick);
    let [Effect::Publish { task, id }] = &refused[..] else { panic!("{refused:?}") };
    let reply = Input::Published { task: task.clone(), accepted: false };
    assert_eq!(world.leader.apply(world.now, reply), [], "not before the next tick");
    world.accepts = true;
    world.wait(Duration::ZERO);
    assert!(world.published.len() == 4 && world.published.contains(id), "{:?}", world.published);
}

#[test]
fn batches_get_a_grant_after_the_grace_and_not_after_a_cancellation() {
    let mut spec = spec();
    spec.rules.grace_ms = 1_000;
    for cancelled in [false, true] {
        let mut world = World::with(0, 4, spec.clone());
        world.deliver(1);
        scan_all(&mut world, 1);
        world.wait(Duration::from_millis(999));
        assert_eq!(world.open_batches(), []);
        assert_eq!(world.leader.next_tick(world.now), Duration::from_secs(1));
        if cancelled {
            world.store(Record::Cancel(Cancel { kind: CancelKind::Asked, cause: "a test".to_owned() }));
            world.deliver(1);
        }
        world.wait(Duration::from_millis(1));
        assert_eq!(world.open_batches().len(), if cancelled { 0 } else { 8 });
    }
}

#[test]
fn a_run_is_cancelled_before_it_deletes_more_than_its_limit() {
    let guards = Guards { deletions_max: Some(5), ..Guards::default() };
    let mut world = World::with(0, 4, RunSpec { guards, ..spec() });
    world.deliver(1);
    scan_all(&mut world, 1);
    assert_eq!(cancels(&world)[0].kind, CancelKind::Guard);
    assert_eq!(world.open_batches().len(), 2, "four keys; the third batch exceeds the limit");
}

#[test]
fn a_report_that_does_not_fit_its_task_ends_its_batches_and_counts_against_no_limit() {
    let guards = Guards { deletions_max: Some(5), ..Guards::default() };
    let mut world = World::with(0, 4, RunSpec { guards, ..spec() });
    world.deliver(1);
    let task = world.queue.pop_front().unwrap();
    let mut forged = world.scanned(&task, 1);
    forged.batches[0].deletes = 1_000_000;
    report(&mut world, forged.clone());
    assert_eq!(cancels(&world), [] as [&Cancel; 0]);
    let receipt = world.receipts().next().unwrap();
    assert_eq!((receipt.batch, receipt.all), (forged.batches[0].batch, Some(Outcome::Unreached)));
    assert_eq!(world.open_batches(), []);
    assert!(matches!(world.seen.last(), Some(Effect::Log(Notice::ReportRefused { .. }))), "{:?}", world.seen);
}

#[test]
fn a_cancelled_run_abandons_its_tasks_and_ends() {
    let mut world = world();
    let published = world.published.len();
    world.store(Record::Cancel(Cancel { kind: CancelKind::Asked, cause: "a test".to_owned() }));
    world.deliver(1);
    assert_eq!(world.published.len(), published);
    let reports: Vec<&TaskReport> = world.reports().collect();
    assert_eq!(reports.len(), 8, "published tasks as well: no scanner may be there");
    assert!(reports.iter().all(|report| report.lost.as_ref().unwrap().cause == "the run was cancelled"));
    assert_eq!(world.leader.recorded().phase, RunPhase::Reporting);
    assert!(world.seen.contains(&Effect::Log(Notice::Stopping { cause: "a test".to_owned() })));
}

#[test]
fn a_run_is_cancelled_after_its_maximum_runtime_over_all_leaders() {
    let guards = Guards { runtime_max_ms: Some(10_000), ..Guards::default() };
    let mut world = World::with(0, 4, RunSpec { guards, ..spec() });
    world.deliver(1);
    world.wait(Duration::from_secs(10));
    assert_eq!(cancels(&world), [] as [&Cancel; 0]);
    let runtime_before = Duration::from_secs(10);
    world.now = Duration::ZERO;
    world.elect_with(LeaderConfig { runtime_before, ..config(&world.records) });
    world.deliver(1);
    assert_eq!(cancels(&world), [] as [&Cancel; 0]);
    world.wait(Duration::from_millis(1));
    assert_eq!(cancels(&world)[0].kind, CancelKind::Runtime);
}

#[test]
fn a_backup_that_fails_cancels_only_a_run_that_requires_one() {
    let required = BackupPolicy { target: String::new(), value_bytes_max: 1 };
    for backup in [None, Some(required)] {
        let mut world = World::with(0, 4, RunSpec { backup: backup.clone(), ..spec() });
        world.store(Record::Unsaved("disk full".to_owned()));
        world.deliver(1);
        let expected = Cancel { kind: CancelKind::Backup, cause: "disk full".to_owned() };
        assert_eq!(cancels(&world), backup.map(|_| &expected).into_iter().collect::<Vec<_>>());
    }
}

#[test]
fn a_task_without_a_report_is_published_again_and_then_abandoned() {
    let mut world = world();
    let task = world.queue[0].task;
    world.queue.clear();
    let again = ACK_WAIT * TASK_AGAIN_ACK_WAITS;
    for times in 1..=TASK_TIMES_MAX {
        let mut ids = world.published.iter().filter(|id| id.starts_with(&task.to_string()));
        assert_eq!(ids.next_back(), Some(&format!("{task}/{times}")));
        assert_eq!(world.report(task), None);
        world.wait(again);
    }
    let lost = world.report(task).and_then(|report| report.lost.clone()).unwrap();
    assert!(lost.cause.contains("without a report") && !lost.node_failed, "{lost:?}");
}

#[test]
fn a_batch_without_a_receipt_is_ended_once_it_can_no_longer_act() {
    let mut world = World::new(0, 1);
    world.deliver(1);
    scan_all(&mut world, 1);
    world.wait(BATCH_LIFE);
    assert!(world.ended.is_empty());
    world.wait(LATER);
    assert_eq!(world.ended.len(), 2);
    assert!(world.receipts().all(|receipt| receipt.cause.as_deref() == Some("its message was lost")));
    assert_eq!(world.leader.recorded().phase, RunPhase::Reporting);
}

#[test]
fn a_dead_lettered_task_leaves_the_others_in_work_unless_its_node_failed() {
    for node_failed in [false, true] {
        let mut world = world();
        let task = world.queue.iter().find(|task| task.node == NodeId::new("a")).cloned().unwrap();
        report(&mut world, TaskReport::lost(&task, "it was dead-lettered", node_failed));
        let lost: Vec<&TaskReport> = world.reports().collect();
        assert_eq!(lost.len(), if node_failed { 3 } else { 1 }, "with those that are not published");
        let of_node = |report: &&TaskReport| report.node == NodeId::new("a");
        assert!(lost.iter().all(of_node), "{lost:?}");
        scan_all(&mut world, 0);
        assert_eq!(world.leader.recorded().phase, RunPhase::Reporting);
    }
}

#[test]
fn a_remainder_is_planned_again_until_it_was_planned_too_often() {
    let mut world = world();
    world.answers = false;
    let task = world.queue.pop_front().unwrap();
    let returned = |task: &ScanTask| {
        let reason = RemainderReason::Unstable;
        let remainder = Remainder { reason, scope: task.scope.clone(), pass: None };
        TaskReport { remainder: vec![remainder], ..TaskReport::blank(task) }
    };
    report(&mut world, returned(&task));
    let follows = |world: &World| {
        let last = world.decisions().filter_map(|decision| match decision {
            Decision::Tasks { after: Some(_), tasks, .. } => tasks.first().cloned(),
            _ => None,
        });
        last.last().unwrap()
    };
    for times in 1..=RESCHEDULES_MAX {
        let next = follows(&world);
        assert_eq!((next.reschedules, &next.scope), (times, &task.scope));
        world.wait(LATER);
        report(&mut world, returned(&next));
    }
    let lost = world.report(follows(&world).task).and_then(|report| report.lost.clone()).unwrap();
    assert!(lost.cause.contains("kept moving"), "{lost:?}");
}

#[test]
fn slots_of_a_lost_history_are_scanned_again_in_the_next_generation() {
    let mut world = world();
    scan_all(&mut world, 1);
    world.fail_over("a");
    let old: Vec<TaskReport> = world.reports().cloned().collect();
    world.reap_any();
    world.histories.insert(NodeId::new("a"), "another".to_owned());
    reap_all(&mut world);
    assert_eq!(checks(&world), [(1, 0)]);
    let again: Vec<ScanTask> = world.queue.iter().cloned().collect();
    assert!(again.iter().all(|task| task.scan_generation == 1 && task.node == NodeId::new("a")), "{again:?}");
    let (before, stored) = (world.leader.recorded().clone(), world.records.len());
    for report in old {
        // As another scanner would store it, if the store were to lose the first one.
        let late = TaskReport { covered: Covered::Slots([].into_iter().collect()), ..report };
        world.step(Input::Record(Box::new(Record::Report(Box::new(late)))), usize::MAX);
    }
    assert_eq!((world.leader.recorded(), world.records.len()), (&before, stored), "old reports are ignored");
    scan_all(&mut world, 0);
    assert_eq!(checks(&world), [(1, 0), (0, 0)]);
    assert_eq!(world.leader.recorded().phase, RunPhase::Reporting);
}

#[test]
fn nodes_that_do_not_answer_are_waited_for_before_their_slots_are_scanned_again() {
    for comes_back in [false, true] {
        let mut world = world();
        scan_all(&mut world, 1);
        world.answers = false;
        reap_all(&mut world);
        world.wait(PRIMARY_WAIT - Duration::from_secs(1));
        assert_eq!(checks(&world), []);
        world.answers = comes_back;
        world.wait(RETRY_DELAY_MAX);
        assert_eq!(checks(&world)[0], if comes_back { (0, 0) } else { (2, 2) });
    }
}
