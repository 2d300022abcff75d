//! Checks that a record belongs to its key: each key accepts one record, the first. A report under the key of another
//! task was not written by a scanner of keysweep. The true report can no longer be stored there, so the task has
//! failed, and the run goes on without it. Pure.

use keysweep_model::ids::{BatchId, RunId, TaskId};
use keysweep_model::messages::{Receipt, TaskFailure, TaskReport};
use keysweep_model::outcome::Outcome;

/// The report under the key of `task`.
pub(super) fn report(run: RunId, task: TaskId, report: TaskReport) -> TaskReport {
    if (report.run, report.task) == (run, task) {
        return report;
    }
    let cause = "a report on another task is stored under the key of its report".to_owned();
    TaskReport::abandoned(run, task, report.node, TaskFailure { cause, node_failed: false })
}

/// The receipt under the key of `batch`. It is not known whether the batch was attempted.
pub(super) fn receipt(run: RunId, batch: BatchId, receipt: Receipt) -> Receipt {
    if (receipt.run, receipt.batch) == (run, batch) {
        return receipt;
    }
    let cause = "a receipt of another batch is stored under the key of its receipt";
    Receipt::whole(run, batch, receipt.node, receipt.scan_generation, Outcome::Unconfirmed, cause)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::{Record, Records};
    use super::*;
    use crate::store::{MemoryStore, Store};
    use keysweep_model::ids::NodeId;
    use keysweep_model::messages::Grant;
    use keysweep_model::slot::SlotSet;
    use keysweep_model::wire;

    fn sealed(run: RunId, task: TaskId) -> TaskReport {
        TaskReport::abandoned(
            run,
            task,
            NodeId::new("n"),
            TaskFailure { cause: "gone".to_owned(), node_failed: true },
        )
    }

    fn unreached(run: RunId, batch: BatchId) -> Receipt {
        Receipt::whole(run, batch, NodeId::new("n"), 0, Outcome::Unreached, "gone")
    }

    #[tokio::test]
    async fn a_record_under_a_wrong_key_ends_the_task_or_batch_of_that_key() {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
        let (run, other_run) = (RunId::new(), RunId::new());
        let records = Records::new(Arc::clone(&store), run);
        let put = async |place: String, value: Vec<u8>| {
            store.create(&format!("runs/{run}/{place}"), value).await.expect("it is stored");
        };
        let (task, other_task) = (TaskId::new(), TaskId::new());
        for report in [sealed(run, other_task), sealed(other_run, task)] {
            let task = TaskId::new();
            put(format!("report/{task}"), wire::encode(&report).expect("it is encoded")).await;
            let read = records.report(task).await.expect("it is read").expect("it is there");
            assert_eq!((read.run, read.task), (run, task));
            assert!(
                read.lost.is_some_and(|loss| loss.cause.contains("on another task") && !loss.node_failed)
            );
        }
        for receipt in [unreached(run, BatchId::new()), unreached(other_run, BatchId::new())] {
            let batch = BatchId::new();
            put(format!("receipt/{batch}"), wire::encode(&receipt).expect("it is encoded")).await;
            let read = records.receipt(batch).await.expect("it is read").expect("it is there");
            assert_eq!((read.run, read.batch, read.all), (run, batch, Some(Outcome::Unconfirmed)));
        }
        let (node, batches, slots) = (NodeId::new("n"), Vec::new(), SlotSet::all());
        let grant = Grant { run, task: other_task, node, scan_generation: 0, slots, batches };
        put(format!("grant/{task}"), wire::encode(&grant).expect("it is encoded")).await;
        assert_eq!(records.grant(task).await.expect("it is read"), None);
        put("report/none".to_owned(), wire::encode(&sealed(run, task)).expect("it is encoded")).await;
        // Records under their own keys are returned unchanged, and a watch sees the same.
        assert!(records.create_report(&sealed(run, task)).await.expect("it is stored"));
        let (mut revision, mut seen) = (0, Vec::new());
        while let Some((at, record)) = records.next_after(revision).await.expect("it is read") {
            revision = at;
            seen.extend(record.map(|record| match record {
                Record::Report(report) => report.lost.map(|loss| loss.node_failed),
                Record::Receipt(receipt) => Some(receipt.all == Some(Outcome::Unreached)),
                other => panic!("{other:?}"),
            }));
        }
        assert_eq!(seen, [Some(false), Some(false), Some(false), Some(false), Some(true)]);
    }
}
