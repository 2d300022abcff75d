//! A run with hostile records has a result or none; the reporter never panics.

use keysweep_model::ids::{Alias, BatchId, NodeId, RunId, TaskId};
use keysweep_model::memory::{GroupCounts, PrefixMemory, SampleKind, StratifiedSample};
use keysweep_model::messages::{
    Covered, GroupReceipt, Guards, ListedBatch, PacingLimits, ReadFrom, ReadSource, Reason, Receipt, Rules,
    RunSpec, ScanTask, TaskReport,
};
use keysweep_model::outcome::Outcome;
use keysweep_model::range::Scope;
use keysweep_model::slot::SlotSet;
use keysweep_model::wire;
use keysweep_storage::records::{Decision, Record};
use reporter::{Fold, ResultContext, finish};

use keysweep_testkit::hostile;

use crate::kit;

fn spec(run: RunId) -> RunSpec {
    let mut spec = kit::spec(run);
    spec.nodes[0].keys = 100;
    RunSpec {
        rules: Rules::deleting(&["permissions:*"], &[]).unwrap(),
        started_at_ms: 1_795_341_074_000,
        guards: Guards { deletions_max: Some(50), ..Guards::default() },
        pacing: PacingLimits { latency_budget_ms: Some(1), keys_per_s_max: None },
        read_from: ReadFrom::Replica { lag_max_ms: 5_000 },
        ..spec
    }
}

/// The memory of some keys.
fn prefix_memory() -> PrefixMemory {
    let mut strata = StratifiedSample::default();
    for n in 0..90_u64 {
        strata.add_named(
            &[format!("p{}:", n % 5), format!("p{}:{n}:", n % 5)],
            n % 5,
            SampleKind::Outright,
            1 << (n % 60),
        );
    }
    strata.finish(&GroupCounts::default(), 2.0, 20)
}

/// All parts of a result; the first byte of each seed selects the type.
fn seeds() -> Vec<Vec<u8>> {
    let (run, batch) = (RunId::new(), BatchId::new());
    let task = ScanTask {
        run,
        task: TaskId::new(),
        alias: Alias::new("main"),
        node: NodeId::new("n"),
        scope: Scope::Slots { slots: SlotSet::all() },
        keys: 100,
        reschedules: 0,
        skip: false,
        scan_generation: 0,
    };
    let source = ReadSource { replica: Some("a:1".to_owned()), behind_bytes: 7, ..ReadSource::default() };
    let mut report = TaskReport {
        covered: Covered::Slots(SlotSet::all()),
        batches: vec![ListedBatch { batch, keys: 3, deletes: 3, rule: None, digest: None }],
        source: Some(Box::new(source)),
        ..TaskReport::blank(&task)
    };
    (report.counts.listed, report.counts.scanned, report.counts.stale) = (100, 100, 3);
    report.counts.ttl_sum_ms = 9_000;
    report.statistics.ttls.add(500.0, 97);
    report.statistics.keys.add("permissions:", 100);
    (report.statistics.memory_by_prefix, report.statistics.reported) = (prefix_memory(), prefix_memory());
    report.pacing.probes_us.add(90.0, 20);
    (report.pacing.duty_cycle_min, report.pacing.before_us) = (Some(0.3), Some(80));
    let receipt = Receipt {
        run,
        batch,
        node: NodeId::new("n"),
        groups: vec![GroupReceipt { slot: 7, reason: Reason::Stale, outcomes: vec![Outcome::Deleted; 3] }],
        lookups: Default::default(),
        cause: None,
        pacing: None,
        scan_generation: 0,
        unreplicated: Vec::new(),
        all: None,
        freed: Some(Box::new(prefix_memory())),
        ledgers: None,
    };
    let part = |kind: u8, bytes: Result<Vec<u8>, wire::WireError>| [vec![kind], bytes.unwrap()].concat();
    vec![
        part(0, wire::encode(&spec(run))),
        part(1, wire::encode(&Decision::list(None, &[task])[0])),
        part(2, wire::encode(&report)),
        part(3, wire::encode(&receipt)),
    ]
}

fn record(bytes: &[u8]) -> Option<Record> {
    let (kind, body) = bytes.split_first()?;
    Some(match kind {
        0 => Record::Spec(Box::new(wire::decode(body).ok()?)),
        1 => Record::Decision { n: 1, decision: wire::decode(body).ok()? },
        2 => Record::Report(Box::new(wire::decode(body).ok()?)),
        _ => Record::Receipt(Box::new(wire::decode(body).ok()?)),
    })
}

#[test]
fn fuzz_folds() {
    let good = seeds();
    let records: Vec<Record> = good.iter().filter_map(|bytes| record(bytes)).collect();
    assert_eq!(records.len(), good.len(), "every seed is read");
    hostile::fuzz("folds", good, |bytes| {
        let Some(hostile) = record(bytes) else { return };
        // The hostile record first, last, and twice as another one of its kind.
        for hostile_first in [true, false] {
            let mut fold = Fold::default();
            let order =
                |fold: &mut Fold, records: &[&Record]| records.iter().for_each(|record| fold.apply(record));
            let all: Vec<&Record> = records.iter().collect();
            match hostile_first {
                true => order(&mut fold, &[&[&hostile], &all[..]].concat()),
                false => order(&mut fold, &[&all[..], &[&hostile]].concat()),
            }
            let mut other = hostile.clone();
            match &mut other {
                Record::Report(report) => report.task = TaskId::new(),
                Record::Receipt(receipt) => receipt.batch = BatchId::new(),
                _ => {}
            }
            order(&mut fold, &[&other]);
            let _ = (fold.complete(), fold.deletions_possible(), fold.own_lookups(&NodeId::new("n")));
            let around = ResultContext { now_ms: 1_795_341_075_000, ..ResultContext::default() };
            if let Some(result) = finish(&fold, &around) {
                // The result can be decoded and rendered.
                let text = serde_json::to_vec(&result).expect("JSON");
                let again: Result<keysweep_model::result::CleanupResult, _> = wire::from_json(&text);
                assert!(
                    again.is_ok() || text.len() > keysweep_model::limits::DOCUMENT_BYTES_MAX,
                    "{:?}",
                    again.err()
                );
                let _ = reporter::printer::terminal::page(&result, "Job");
            }
        }
    });
}
