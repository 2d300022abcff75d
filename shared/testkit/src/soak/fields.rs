//! Messages and records with one field changed to a value that no correct role would write.

use fastrand::Rng;
use keysweep_model::ids::{Alias, BatchId, NodeId, RunId, TaskId};
use keysweep_model::key::Key;
use keysweep_model::messages::{
    Cancel, Covered, Grant, ListedBatch, ReapBatch, Reason, Receipt, Remainder, RemainderReason, RunSpec,
    ScanTask, TaskFailure, TaskReport, UnreplicatedWrites,
};
use keysweep_model::outcome::Outcome;
use keysweep_model::range::{CursorRange, Scope};
use keysweep_model::slot::SlotSet;
use keysweep_model::wire;
use keysweep_storage::records::{Decision, NodeLookups};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The kinds of messages and records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Task,
    Batch,
    Spec,
    Log,
    Grant,
    Cancel,
    Report,
    Receipt,
    Lookups,
    /// JSON that is stored in addition to the records: history and counter snapshots.
    Document,
}

impl Kind {
    /// The kind of the entry at `key` in a store.
    pub fn of(key: &str) -> Option<Self> {
        let mut words = key.split('/');
        match (words.next()?, words.nth(1)) {
            ("runs", Some("spec")) => Some(Self::Spec),
            ("runs", Some("log")) => Some(Self::Log),
            ("runs", Some("grant")) => Some(Self::Grant),
            ("runs", Some("cancel")) => Some(Self::Cancel),
            ("runs", Some("report")) => Some(Self::Report),
            ("runs", Some("receipt")) => Some(Self::Receipt),
            ("runs", Some("lookups")) => Some(Self::Lookups),
            ("history" | "samples", _) => Some(Self::Document),
            _ => None,
        }
    }

    /// Whether only the coordinator may write it.
    pub fn is_order(self) -> bool {
        matches!(self, Self::Task | Self::Spec | Self::Log | Self::Grant | Self::Cancel)
    }
}

/// Whether `payload` can be decoded.
pub fn decodes(kind: Kind, payload: &[u8]) -> bool {
    match kind {
        Kind::Task => wire::decode::<ScanTask>(payload).is_ok(),
        Kind::Batch => wire::decode::<ReapBatch>(payload).is_ok(),
        Kind::Spec => wire::decode::<RunSpec>(payload).is_ok(),
        Kind::Log => wire::decode::<Decision>(payload).is_ok(),
        Kind::Grant => wire::decode::<Grant>(payload).is_ok(),
        Kind::Cancel => wire::decode::<Cancel>(payload).is_ok(),
        Kind::Report => wire::decode::<TaskReport>(payload).is_ok(),
        Kind::Receipt => wire::decode::<Receipt>(payload).is_ok(),
        Kind::Lookups => wire::decode::<NodeLookups>(payload).is_ok(),
        Kind::Document => serde_json::from_slice::<serde_json::Value>(payload).is_ok(),
    }
}

/// `payload` with one field changed, and the field's name; inserted keys are from `kept`.
pub fn changed(kind: Kind, payload: &[u8], kept: &[Vec<u8>], rng: &mut Rng) -> (&'static str, Vec<u8>) {
    match kind {
        Kind::Task => with(payload, |task: &mut ScanTask| of_task(task, rng)),
        Kind::Batch => with(payload, |batch: &mut ReapBatch| of_batch(batch, kept, rng)),
        Kind::Report => with(payload, |report: &mut TaskReport| of_report(report, rng)),
        Kind::Receipt => with(payload, |receipt: &mut Receipt| of_receipt(receipt, rng)),
        Kind::Lookups => with(payload, |noted: &mut NodeLookups| {
            (noted.lookups.hits, noted.lookups.misses) = (rng.u64(..), u64::MAX);
            "look-ups"
        }),
        _ => ("nothing", payload.to_vec()),
    }
}

fn with<T: DeserializeOwned + Serialize>(
    payload: &[u8],
    change: impl FnOnce(&mut T) -> &'static str,
) -> (&'static str, Vec<u8>) {
    let mut message: T = wire::decode(payload).expect("it is a true one");
    let what = change(&mut message);
    (what, wire::encode(&message).unwrap_or_default())
}

fn number(rng: &mut Rng) -> u64 {
    let odd = [0, 1, 2, 1_000, u64::from(u32::MAX), u64::MAX / 2, u64::MAX];
    *rng.choice(&odd).expect("there are some")
}

/// `items`, repeated.
fn again<T: Clone>(items: &[T], times: usize) -> Vec<T> {
    (0..times).flat_map(|_| items.iter().cloned()).collect()
}

/// Selects the field to change from `names`.
fn pick(names: &[&'static str], rng: &mut Rng) -> &'static str {
    rng.choice(names).expect("there are some")
}

const TASK: [&str; 11] = [
    "run",
    "task",
    "alias",
    "node",
    "keys",
    "replans",
    "skip",
    "scan generation",
    "all slots",
    "ranges",
    "pass",
];

fn of_task(task: &mut ScanTask, rng: &mut Rng) -> &'static str {
    let what = pick(&TASK, rng);
    match (what, &mut task.scope) {
        ("run", _) => task.run = RunId::new(),
        ("task", _) => task.task = TaskId::new(),
        ("alias", _) => task.alias = Alias::new("elsewhere"),
        ("node", _) => task.node = NodeId::new("nowhere"),
        ("keys", _) => task.keys = number(rng),
        ("replans", _) => task.reschedules = rng.u32(..),
        ("skip", _) => task.skip = !task.skip,
        ("scan generation", _) => task.scan_generation = rng.u32(..),
        ("ranges", Scope::Cursors(scope)) => {
            scope.ranges = vec![CursorRange { from: number(rng), to: Some(number(rng)) }; 3];
            scope.bits = rng.u32(0..70);
        }
        ("pass", Scope::Cursors(scope)) => {
            (scope.pass, scope.process) = (TaskId::new(), "another".to_owned());
        }
        _ => task.scope = Scope::Slots { slots: SlotSet::all() },
    }
    what
}

const BATCH: [&str; 13] = [
    "a key more",
    "a key more",
    "another key",
    "reason",
    "slot",
    "window",
    "batch",
    "task",
    "run",
    "node",
    "scan generation",
    "groups",
    "a key less",
];

fn of_batch(batch: &mut ReapBatch, kept: &[Vec<u8>], rng: &mut Rng) -> &'static str {
    let what = pick(&BATCH, rng);
    let some = Key::new(rng.choice(kept).expect("there are some").as_slice());
    let Some(group) = batch.groups.first_mut() else { return "nothing" };
    match what {
        "a key more" => group.keys.push(some),
        "another key" => group.keys[0] = some,
        "reason" => {
            (group.reason, group.keys) = (Reason::Inactive, vec![some]);
            group.expires_at_ms = vec![number(rng)];
        }
        "slot" => group.slot = rng.u16(..16_384),
        "window" => (batch.not_before_ms, batch.not_after_ms) = (0, number(rng)),
        "batch" => batch.batch = BatchId::new(),
        "task" => batch.task = TaskId::new(),
        "run" => batch.run = RunId::new(),
        "node" => batch.node = NodeId::new("nowhere"),
        "scan generation" => batch.scan_generation = rng.u32(..),
        "groups" => batch.groups = again(&batch.groups, rng.usize(2..20)),
        _ => drop(group.keys.pop()),
    }
    what
}

const REPORT: [&str; 13] = [
    "a batch more",
    "no batches",
    "counts of batches",
    "batches again",
    "all slots",
    "counts",
    "lost",
    "rest",
    "node",
    "scan generation",
    "task",
    "run",
    "history",
];

fn of_report(report: &mut TaskReport, rng: &mut Rng) -> &'static str {
    let what = pick(&REPORT, rng);
    match what {
        "a batch more" => {
            let (keys, deletes) = (number(rng), number(rng));
            report.batches.push(ListedBatch {
                batch: BatchId::new(),
                keys,
                deletes,
                rule: None,
                digest: None,
            });
        }
        "no batches" => report.batches.clear(),
        "counts of batches" => {
            for batch in &mut report.batches {
                (batch.keys, batch.deletes) = (number(rng), number(rng));
            }
        }
        "batches again" => report.batches = again(&report.batches, rng.usize(2..1_100)),
        "all slots" => report.covered = Covered::Slots(SlotSet::all()),
        "counts" => {
            report.counts.stale = number(rng);
            report.counts.listed = number(rng);
            report.counts.protected = number(rng);
            report.counts.ttl_sum_ms = number(rng);
        }
        "lost" => {
            let cause = "gone\n\u{1b}[2J".repeat(20);
            report.lost = Some(TaskFailure { cause, node_failed: rng.bool() });
        }
        "rest" => {
            let scope = Scope::Slots { slots: SlotSet::all() };
            report.remainder =
                vec![Remainder { reason: RemainderReason::Full, scope, pass: Some(TaskId::new()) }; 3];
        }
        "node" => report.node = NodeId::new("nowhere"),
        "scan generation" => report.scan_generation = rng.u32(..),
        "task" => report.task = TaskId::new(),
        "run" => report.run = RunId::new(),
        _ => report.replication_id = Some("x".repeat(40)),
    }
    what
}

const RECEIPT: [&str; 8] =
    ["one outcome", "outcomes", "no groups", "batch", "scan generation", "unreplicated", "node", "cause"];

fn of_receipt(receipt: &mut Receipt, rng: &mut Rng) -> &'static str {
    let what = pick(&RECEIPT, rng);
    let outcomes = [Outcome::Deleted, Outcome::Expired, Outcome::Unreached, Outcome::Unconfirmed];
    let outcome = *rng.choice(&outcomes).expect("there are some");
    match what {
        "one outcome" => receipt.all = Some(outcome),
        "outcomes" => {
            for group in &mut receipt.groups {
                group.outcomes = vec![outcome; rng.usize(0..5_000)];
            }
        }
        "no groups" => receipt.groups.clear(),
        "batch" => receipt.batch = BatchId::new(),
        "scan generation" => receipt.scan_generation = rng.u32(..),
        "unreplicated" => {
            let (node, history) = (NodeId::new("nowhere"), "gone".to_owned());
            receipt.unreplicated.push(UnreplicatedWrites {
                node,
                replication_id: history,
                slots: SlotSet::all(),
            });
        }
        "node" => receipt.node = NodeId::new("nowhere"),
        _ => receipt.cause = Some("\u{1b}[2J".repeat(300)),
    }
    what
}
