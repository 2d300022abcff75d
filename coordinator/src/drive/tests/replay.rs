//! The state of a leader follows from the records: any process that reads them has the same, however often leaders
//! changed, and wherever they were cut off.

use std::collections::BTreeSet;

use keysweep_model::messages::{Cancel, CancelKind, Covered};
use keysweep_model::slot::SlotSet;
use keysweep_storage::records::{Decision, Record};
use proptest::prelude::*;

use super::world::{LATER, SLOTS, World, config};
use crate::drive::{Effect, Input};
use crate::run_phase::RunPhase;

/// What happens in a world.
#[derive(Clone, Copy, Debug)]
enum Step {
    Scan,
    Reap,
    Wait,
    FailOver,
    Answers(bool),
    Accepts(bool),
    Cancel,
    /// The leader is replaced.
    TakeOver,
    /// The leader is replaced after so many effects of the next record.
    CutOff(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => Just(Step::Scan),
        6 => Just(Step::Reap),
        3 => Just(Step::Wait),
        1 => Just(Step::FailOver),
        1 => any::<bool>().prop_map(Step::Answers),
        1 => any::<bool>().prop_map(Step::Accepts),
        1 => Just(Step::TakeOver),
        2 => (0_usize..4).prop_map(Step::CutOff),
    ];
    (prop::collection::vec(step, 0..60), prop::option::weighted(0.2, 0_usize..60)).prop_map(
        |(mut steps, cancel)| {
            if let Some(at) = cancel {
                steps.insert(at.min(steps.len()), Step::Cancel);
            }
            steps
        },
    )
}

fn take(world: &mut World, step: Step) {
    match step {
        Step::Scan => world.scan_any(),
        Step::Reap => world.reap_any(),
        Step::Wait => world.wait(LATER),
        Step::FailOver => world.fail_over(SLOTS[0].0),
        Step::Answers(answers) => world.answers = answers,
        Step::Accepts(accepts) => world.accepts = accepts,
        Step::Cancel => {
            let cancel = Cancel { kind: CancelKind::Asked, cause: "a test".to_owned() };
            world.store(Record::Cancel(cancel));
        }
        Step::TakeOver => world.elect(),
        Step::CutOff(effects) => {
            world.scan_any();
            if let Some(record) = world.records.get(world.read).cloned() {
                world.step(Input::Record(Box::new(record)), effects);
            }
            world.elect();
        }
    }
}

/// Each slot is covered by a report, or by a task that failed.
fn check_coverage(world: &World) {
    let mut seen = SlotSet::new();
    for report in world.reports() {
        if let Covered::Slots(slots) = &report.covered {
            seen.extend(slots);
        }
    }
    for decision in world.decisions() {
        let Decision::Tasks { tasks, .. } = decision else { continue };
        let lost =
            tasks.iter().filter(|task| world.report(task.task).is_some_and(|report| report.lost.is_some()));
        lost.for_each(|task| seen.extend(&task.scope.slots()));
    }
    assert_eq!(seen, SLOTS.into_iter().flat_map(|(_, slots)| slots).collect());
}

proptest! {
    #[test]
    fn a_replay_of_the_records_gives_the_state_of_the_leader(seed: u64, steps in steps()) {
        let mut world = World::new(seed, 2);
        world.deliver(1);
        for step in steps {
            take(&mut world, step);
            world.deliver(1);
            let leader = world.leader.recorded();
            let successor = world.replayed(config(&world.records));
            prop_assert_eq!(successor.recorded(), leader, "after {:?}", step);
        }
        (world.answers, world.accepts) = (true, true);
        world.finish();
        prop_assert!(!world.yielded);
        check_coverage(&world);
        let numbers: Vec<u64> = world.records.iter().filter_map(|record| match record {
            Record::Decision { n, .. } => Some(*n),
            _ => None,
        }).collect();
        prop_assert_eq!(&numbers, &(0..numbers.len() as u64).collect::<Vec<_>>(), "in order, without gaps");
    }

    #[test]
    fn records_that_are_delivered_repeatedly_change_nothing(seed: u64) {
        let mut world = World::new(seed, 2);
        world.deliver(1);
        world.fail_over(SLOTS[0].0);
        world.finish();
        let before = world.leader.recorded().clone();
        prop_assert_eq!(before.phase, RunPhase::Reporting);
        let mut order: Vec<Record> = world.records.clone();
        world.rng.shuffle(&mut order);
        for record in order {
            let effects = world.leader.apply(world.now, Input::Record(Box::new(record.clone())));
            prop_assert_eq!(effects, [], "{:?}", record);
            prop_assert_eq!(world.leader.recorded(), &before, "{:?}", record);
        }
    }

    #[test]
    fn a_run_of_repeated_deliveries_ends_as_another_one(seed: u64) {
        let mut world = World::new(seed, 2);
        while world.leader.recorded().phase != RunPhase::Reporting {
            world.deliver(3);
            (0..world.queue.len()).for_each(|_| world.scan_any());
            (0..world.open_batches().len()).for_each(|_| world.reap_any());
            world.now += LATER;
            world.step(Input::Tick, usize::MAX);
        }
        check_coverage(&world);
        let once: BTreeSet<&String> = world.published.iter().collect();
        prop_assert_eq!(once.len(), world.published.len(), "each task is published once");
    }

    #[test]
    fn a_leader_with_a_successor_changes_nothing(seed: u64, scans in 0_usize..4) {
        let mut world = World::new(seed, 2);
        world.deliver(1);
        let mut former = world.leader.clone();
        world.elect();
        (0..scans).for_each(|_| world.scan_any());
        world.deliver(1);
        let (stored, read) = (world.records.len(), world.records.clone());
        let mut appended = 0;
        for record in read {
            for effect in former.apply(world.now, Input::Record(Box::new(record))) {
                if let Effect::Append { n, decision } = effect {
                    appended += 1;
                    prop_assert!(!world.store(Record::Decision { n, decision }), "entry {} exists", n);
                    prop_assert_eq!(former.apply(world.now, Input::AppendRefused), [Effect::Yield]);
                }
            }
        }
        prop_assert_eq!(world.records.len(), stored, "{} decisions refused", appended);
    }
}
