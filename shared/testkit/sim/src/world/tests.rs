//! Worlds that are made for faults that meet.

use super::*;
use crate::plan::{PROCESSES, Timed};
use crate::rates::{BrokerRates, NetRates};
use crate::redis::deployment::MoveStep;

/// A world in which reapers die after so many requests, the slots of their batches move, and their new node fails over
/// to a replica that has nothing of it.
fn two_faults(requests: u64, to: usize) -> WorldPlan {
    const KEYS: usize = 120;
    let at = |at_ms, act| Timed { at_ms, act };
    let reapers = PROCESSES.iter().enumerate().filter(|(_, name)| name.starts_with("reaper"));
    let dies = |(process, _)| at(500, Act::KillAfter { process, requests, back_ms: 20_000 });
    let mut acts = vec![at(0, Act::Behind { node: to, for_ms: 60_000 })];
    acts.extend(reapers.map(dies));
    for (at_ms, step) in [(6_000, MoveStep::Begin), (6_500, MoveStep::End)] {
        acts.extend((0..KEYS).map(|key| at(at_ms, Act::Move { key, to, step })));
    }
    acts.push(at(7_000, Act::FailOver { node: to }));
    let (net, broker) = (NetRates::default(), BrokerRates::default());
    let any = WorldPlan::of(1, Some(Profile::Plain));
    let plan = WorldPlan { primaries: 3, has_replicas: true, wobble_ms: 0, net, broker, acts, ..any };
    WorldPlan { keys: KEYS, grace_ms: 500, max_delete_percent: 100, ..plan }
}

/// What it deleted may be gone with the ledger that says so: accounting cannot know.
#[tokio::test(start_paused = true)]
async fn a_ledger_that_a_failover_loses_after_its_slot_moved_leaves_unconfirmed_keys() {
    let mut unconfirmed = 0;
    for (requests, to) in (14..38).step_by(2).flat_map(|requests| [(requests, 0), (requests, 2)]) {
        let verdict = run(two_faults(requests, to), None).await.unwrap();
        assert_eq!(verdict.wrong, [""; 0], "{requests} requests, {to}");
        let has_result = verdict.ended.contains("unconfirmed: ");
        unconfirmed += usize::from(has_result && !verdict.ended.contains("unconfirmed: 0"));
    }
    assert!(unconfirmed > 0, "no reaper died between a deletion and its receipt");
}

#[tokio::test(start_paused = true)]
async fn a_run_is_not_planned_if_all_servers_were_replaced_before() {
    let acts = (0..3).map(|node| Timed { at_ms: 0, act: Act::FailOver { node } }).collect();
    let (net, broker) = (NetRates::default(), BrokerRates::default());
    let any = WorldPlan::of(1, Some(Profile::Plain));
    let plan = WorldPlan { primaries: 3, has_replicas: true, wobble_ms: 0, net, broker, acts, ..any };
    let verdict = run(plan, None).await.unwrap();
    assert_eq!(verdict.wrong, [""; 0]);
    assert_eq!(verdict.ended, "no run: no address in the settings is that of a server any more");
}

/// A world in which the reaper with the only batch stands still from `freeze_ms` on. The other one gives it up, because the
/// server takes no writes; it does again when the first one goes on.
fn given_up(freeze_ms: u64) -> WorldPlan {
    let at = |at_ms, act| Timed { at_ms, act };
    let reaper = PROCESSES.iter().position(|name| *name == "reaper 1").unwrap_or_default();
    let acts = vec![
        at(500, Act::RefuseWrites { node: 0, for_ms: 49_500 }),
        at(freeze_ms, Act::Freeze { process: reaper, for_ms: 60_000 }),
    ];
    let (net, broker) = (NetRates::default(), BrokerRates::default());
    let any = WorldPlan::of(1, Some(Profile::Plain));
    let plan = WorldPlan { primaries: 1, has_replicas: false, wobble_ms: 0, net, broker, acts, ..any };
    WorldPlan { keys: 120, grace_ms: 500, max_delete_percent: 100, ..plan }
}

/// No other delivery tries it later: its keys have failed, and stay. They are unconfirmed if one has begun before.
#[tokio::test(start_paused = true)]
async fn a_batch_that_is_given_up_untried_is_not_tried_by_a_late_delivery() {
    // The reaper that acts has the batch, and has not called the guard yet, in some of these milliseconds.
    for freeze_ms in 770..800 {
        let verdict = run(given_up(freeze_ms), None).await.unwrap();
        assert_eq!(verdict.wrong, [""; 0], "{freeze_ms} ms");
        // If its mark is there when the other one gives up, the late delivery may act.
        let (failed, unconfirmed) =
            (verdict.ended.contains("failed: 64"), verdict.ended.contains("unconfirmed: 64"));
        assert!(failed || unconfirmed, "{freeze_ms} ms: {}", verdict.ended);
    }
}
