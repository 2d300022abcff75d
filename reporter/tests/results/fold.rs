//! The fold: the order and repetition of records do not matter (invariant 3), all totals balance (invariant 4), and
//! nothing incomplete counts as complete or covered (invariant 1).

use std::collections::BTreeMap;

use keysweep_model::ids::{Alias, BatchId, NodeId, RunId, TaskId};
use keysweep_model::messages::{
    Cancel, CancelKind, Covered, GroupReceipt, ListedBatch, Lookups, Reason, Receipt, Remainder,
    RemainderReason, ScanCounts, ScanTask, TaskFailure, TaskReport,
};
use keysweep_model::metrics::{HitRateWindow, HitRates};
use keysweep_model::outcome::Outcome;
use keysweep_model::range::Scope;
use keysweep_model::result::{CleanupResult, Extent, Status};
use keysweep_model::slot::SlotSet;
use keysweep_storage::records::{Decision, Record};
use reporter::{Fold, ResultContext, finish};

use crate::kit::spec;

const SEEDS: u64 = 40;

fn slots(first: u16, last: u16) -> SlotSet {
    (first..=last).collect()
}

fn task(run: RunId, slots: &SlotSet) -> ScanTask {
    ScanTask {
        run,
        task: TaskId::new(),
        alias: Alias::new("main"),
        node: NodeId::new("n"),
        scope: Scope::Slots { slots: slots.clone() },
        keys: 0,
        reschedules: 0,
        skip: false,
        scan_generation: 0,
    }
}

fn report(
    task: &ScanTask,
    covered: &SlotSet,
    rest: Option<&SlotSet>,
    batches: &[(BatchId, u64)],
) -> TaskReport {
    let stale = batches.iter().map(|(_, keys)| keys).sum::<u64>() + 3;
    TaskReport {
        scan_generation: 0,
        replication_id: None,
        verified: false,
        run: task.run,
        task: task.task,
        node: task.node.clone(),
        covered: Covered::Slots(covered.clone()),
        remainder: rest
            .map(|slots| Remainder {
                reason: RemainderReason::Full,
                scope: Scope::Slots { slots: slots.clone() },
                pass: None,
            })
            .into_iter()
            .collect(),
        lost: None,
        counts: ScanCounts {
            listed: stale + 9,
            scanned: stale + 7,
            stale,
            protected: 3,
            stale_protected: 2,
            ..ScanCounts::default()
        },
        batches: batches
            .iter()
            .map(|(batch, keys)| ListedBatch {
                batch: *batch,
                keys: *keys,
                deletes: *keys,
                rule: None,
                digest: None,
            })
            .collect(),
        long_keys: Vec::new(),
        lookups: Lookups::of(stale + 7, 1),
        approximate: false,
        statistics: Box::default(),
        pacing: Box::default(),
        source: None,
        namespaces: None,
        rules: Vec::new(),
        rule_examples: Vec::new(),
    }
}

fn receipt(run: RunId, batch: BatchId, outcomes: &[Outcome]) -> Receipt {
    let groups = vec![GroupReceipt { slot: 0, reason: Reason::Stale, outcomes: outcomes.to_vec() }];
    Receipt {
        scan_generation: 0,
        unreplicated: Vec::new(),
        all: None,
        freed: None,
        ledgers: None,
        run,
        batch,
        node: NodeId::new("n"),
        groups,
        lookups: Lookups::default(),
        cause: None,
        pacing: None,
    }
}

fn tasks(after: Option<TaskId>, part: u32, parts: u32, task: &ScanTask) -> Record {
    Record::Decision { n: 0, decision: Decision::Tasks { after, part, parts, tasks: vec![task.clone()] } }
}

/// The records of a whole run: two tasks, one of them continued, with one batch each.
fn whole_run() -> Vec<Record> {
    use Outcome::{Deleted, Spared, Vanished};
    let run = RunId::new();
    let (low, high) = (slots(0, 8_000), slots(8_001, 16_383));
    let (first, second) = (task(run, &low), task(run, &high));
    let (high_now, high_later) = (slots(8_001, 9_000), slots(9_001, 16_383));
    let third = task(run, &high_later);
    let batches: Vec<BatchId> = (0..3).map(|_| BatchId::new()).collect();
    vec![
        Record::Spec(Box::new(spec(run))),
        tasks(None, 0, 2, &first),
        tasks(None, 1, 2, &second),
        Record::Report(Box::new(report(&first, &low, None, &[(batches[0], 2)]))),
        Record::Report(Box::new(report(&second, &high_now, Some(&high_later), &[(batches[1], 1)]))),
        tasks(Some(second.task), 0, 1, &third),
        Record::Report(Box::new(report(&third, &high_later, None, &[(batches[2], 3)]))),
        Record::Receipt(Box::new(receipt(run, batches[0], &[Deleted, Spared]))),
        Record::Receipt(Box::new(receipt(run, batches[1], &[Deleted]))),
        Record::Receipt(Box::new(receipt(run, batches[2], &[Deleted, Vanished, Deleted]))),
    ]
}

fn fold(records: &[Record]) -> Fold {
    let mut fold = Fold::default();
    records.iter().for_each(|record| fold.apply(record));
    fold
}

fn result(records: &[Record]) -> CleanupResult {
    let during_run =
        HitRateWindow { hit_rate: Some(0.0), hits: Some(0), misses: Some(1), ..HitRateWindow::default() };
    let hit_rates = HitRates { during_run, ..HitRates::default() };
    finish(&fold(records), &ResultContext { hit_rates, now_ms: 3_500, ..ResultContext::default() }).unwrap()
}

#[test]
fn order_and_repetition_do_not_matter() {
    let records = whole_run();
    let expected = fold(&records);
    for seed in 0..SEEDS {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut mixed = records.clone();
        for _ in 0..rng.usize(0..20) {
            mixed.push(records[rng.usize(..records.len())].clone());
        }
        rng.shuffle(&mut mixed);
        assert_eq!(fold(&mixed), expected, "seed {seed}");
    }
}

#[test]
fn complete_only_when_nothing_is_missing() {
    let records = whole_run();
    assert!(fold(&records).complete());
    for missing in 1..records.len() {
        let without: Vec<Record> =
            records.iter().enumerate().filter(|(n, _)| *n != missing).map(|(_, r)| r.clone()).collect();
        assert!(!fold(&without).complete(), "complete without record {missing}");
    }
}

#[test]
fn a_whole_run_is_added_up() {
    let result = result(&whole_run());
    assert_eq!(result.status, Status::Completed);
    assert!(result.accounting.balanced && result.coverage.complete);
    assert_eq!((result.accounting.candidates, result.cleaned_keys, result.accounting.protected), (15, 4, 9));
    assert_eq!((result.accounting.spared, result.accounting.vanished), (1, 1));
    assert_eq!(
        (result.stale_ttl_keys, result.scanned_keys, result.current_metrics.total_keys),
        (15, 36, Some(31))
    );
    let own = fold(&whole_run()).own_lookups(&NodeId::new("n"));
    assert_eq!(own, Lookups { hits: 36, misses: 3, reads: 0 });
    assert_eq!((result.current_metrics.hits, result.current_metrics.misses), (Some(0), Some(1)));
    assert_eq!((result.current_metrics.hit_rate, result.duration_ms), (Some(0.0), 2_500));
    assert_eq!(
        result.issues,
        ["Found 9 keys without TTL - this indicates a caching bug (6 more are protected)"]
    );
}

/// A scanner may claim any number of keys. Its report is refused, but the candidates count as not reached.
#[test]
fn counts_saturate() {
    let mut records = whole_run();
    let Record::Report(claims) = &mut records[3] else { unreachable!("the first report") };
    claims.batches[0].keys = u64::MAX;
    for (n, generation) in [(7, 0), (8, 0), (9, 1)] {
        let Record::Receipt(receipt) = &mut records[n] else { unreachable!("a receipt") };
        let whole = (n == 7).then_some(Outcome::Unreached);
        (receipt.all, receipt.scan_generation) = (whole, generation);
        receipt.groups.iter_mut().for_each(|group| group.outcomes.fill(Outcome::Unreached));
        if whole.is_some() {
            receipt.groups.clear();
        }
    }
    let result = result(&records);
    assert_eq!(result.accounting.unreached, u64::MAX);
    assert!(
        result.issues.contains(&format!("{} candidates were not reached", u64::MAX)),
        "{:?}",
        result.issues
    );
}

#[test]
fn a_gap_is_named_and_never_completed() {
    let mut records = whole_run();
    let Record::Report(lost) = &mut records[6] else { unreachable!("the third report") };
    lost.lost = Some(TaskFailure { cause: "the node is gone".to_owned(), node_failed: true });
    lost.batches.clear();
    lost.counts = ScanCounts::default();
    records.truncate(9);
    let result = result(&records);
    assert_eq!((result.status, result.coverage.complete), (Status::Partial, false));
    assert_eq!(result.coverage.missing.as_deref(), Some("9001-16383"));
    assert_eq!((result.coverage.extent, result.nodes[0].read), (Some(Extent::Part), Some(Extent::Part)));
    assert_eq!((result.current_metrics.total_keys, result.current_metrics.avg_ttl), (None, None));
    assert_eq!(result.coverage.causes, BTreeMap::from([("the node is gone".to_owned(), 1)]));
    assert!(result.accounting.balanced);
}

#[test]
fn unprocessed_candidates_make_a_run_partial_and_cancellation_cancelled() {
    for outcome in [Outcome::Failed, Outcome::Unreached, Outcome::Unconfirmed] {
        let mut records = whole_run();
        let Record::Receipt(last) = &mut records[9] else { unreachable!("the third receipt") };
        last.groups[0].outcomes[1] = outcome;
        let result = result(&records);
        assert_eq!(result.status, Status::Partial, "{outcome:?}");
        assert!(result.accounting.balanced);
    }
    for (kind, status) in [(CancelKind::Asked, Status::Cancelled), (CancelKind::LockLost, Status::Cancelled)]
    {
        let mut records = whole_run();
        records.push(Record::Cancel(Cancel { kind, cause: "because".to_owned() }));
        assert_eq!(result(&records).status, status);
    }
}
