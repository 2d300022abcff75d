//! A compromised scanner: it takes every scan task, and publishes its own reports and batches.

use std::sync::Arc;

use keysweep_model::ids::BatchId;
use keysweep_model::key::Key;
use keysweep_model::messages::{
    Action, Covered, Group, ListedBatch, ReapBatch, Reason, ScanTask, TaskReport,
};
use keysweep_model::range::Scope;
use keysweep_model::slot::slot_of;
use keysweep_model::time::now_ms;
use keysweep_model::wire;
use keysweep_runtime::context::Context;
use keysweep_runtime::limits::BATCH_LIFE;
use keysweep_storage::queue::Topic;
use keysweep_storage::records::Records;

use super::intercept::Intercept;

/// Its output for a task.
pub struct Forged {
    pub reports: Vec<TaskReport>,
    /// Messages for reapers, with their ids.
    pub batches: Vec<(String, Vec<u8>)>,
}

impl Forged {
    /// `batches`, and a report on `task` that lists them as `listed`.
    pub fn of(task: &ScanTask, batches: &[ReapBatch], listed: Vec<ListedBatch>) -> Self {
        let encoded = |batch: &ReapBatch| (batch.batch.to_string(), wire::encode(batch).unwrap());
        Self {
            reports: vec![TaskReport { batches: listed, ..covering(task) }],
            batches: batches.iter().map(encoded).collect(),
        }
    }

    /// The same, with correct listings.
    pub fn honest(task: &ScanTask, batches: &[ReapBatch]) -> Self {
        Self::of(task, batches, batches.iter().map(listed).collect())
    }
}

/// The listing of a batch in a run that deletes.
pub fn listed(batch: &ReapBatch) -> ListedBatch {
    ListedBatch::of(batch, Action::Delete)
}

/// A report that claims that all of `task` was read.
pub fn covering(task: &ScanTask) -> TaskReport {
    let covered = match &task.scope {
        Scope::Slots { slots, .. } => Covered::Slots(slots.clone()),
        Scope::Cursors(scope) => {
            Covered::Ranges { pass: scope.pass, slots: scope.slots.clone(), ranges: scope.ranges.clone() }
        }
    };
    TaskReport { covered, ..TaskReport::blank(task) }
}

/// A batch of `task` with `keys`, which may act at once; keys of inactive users expire at `expires_at_ms`.
pub fn batch(task: &ScanTask, reason: Reason, keys: &[Vec<u8>], expires_at_ms: u64) -> ReapBatch {
    let cluster = !task.scope.slots().is_empty();
    let group = |keys: &[Vec<u8>]| Group {
        slot: if cluster { slot_of(&keys[0]) } else { 0 },
        reason,
        keys: keys.iter().map(|key| Key::new(key.as_slice())).collect(),
        expires_at_ms: if reason == Reason::Inactive { vec![expires_at_ms; keys.len()] } else { Vec::new() },
        fingerprints: Vec::new(),
    };
    let at_once = now_ms() - 1_000;
    ReapBatch {
        run: task.run,
        batch: BatchId::new(),
        task: task.task,
        alias: task.alias.clone(),
        node: task.node.clone(),
        not_before_ms: at_once,
        not_after_ms: at_once + BATCH_LIFE.as_millis() as u64,
        scan_generation: task.scan_generation,
        ledger_keys: 0,
        rule: None,
        groups: keys.chunks(if cluster { 1 } else { 100 }).map(group).collect(),
    }
}

/// Runs the compromised scanner in front of the queue of `context`.
pub fn install(context: &mut Context, forge: impl Fn(&ScanTask) -> Forged + Send + Sync + 'static) {
    let store = Arc::clone(&context.store);
    context.queue = Arc::new(Intercept::new(&context.queue).on_publish(move |call| {
        let task: Option<ScanTask> =
            (call.topic == Topic::Tasks).then(|| wire::decode(&call.payload).unwrap());
        let forged = task.map(|task| (forge(&task), Records::new(Arc::clone(&store), task.run)));
        async move {
            let Some((Forged { reports, batches }, records)) = forged else { return call.forward().await };
            for (id, payload) in batches {
                call.queue.publish(Topic::Batches, &id, payload, None).await?;
            }
            for report in reports {
                records.create_report(&report).await.unwrap();
            }
            Ok(())
        }
    }));
}
