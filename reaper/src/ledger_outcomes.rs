//! The outcomes of a batch as its ledgers record them, for servers that answer but accept no writes.

use keysweep_model::messages::{ReapBatch, UnreplicatedWrites};
use keysweep_model::outcome::Outcome;
use keysweep_redis::RedisClient;
use keysweep_redis::guard::{self, BatchWindow};
use keysweep_runtime::worker::Failure;

use crate::attempt::route;
use crate::receipt::{BatchResult, done_in, outcomes};

/// Reads the ledgers of `batch`. A group without a ledger failed.
pub(crate) async fn read(client: &RedisClient, batch: &ReapBatch) -> Result<BatchResult, Failure> {
    let mut result = BatchResult::of(batch);
    for (node, chunks) in route(client, batch).nodes {
        let conn = client.conn(&node).await?;
        for chunk in &chunks {
            let verdicts = guard::read_ledger(&conn, BatchWindow::from(batch), chunk).await?;
            for ((number, group), verdict) in chunk.iter().zip(verdicts) {
                let keys = group.keys.len();
                let failed = || Some(vec![Outcome::Failed; keys]);
                let outcomes = verdict.map_or_else(failed, |verdict| outcomes(verdict, keys, false, true));
                result.outcomes[*number] = outcomes.unwrap_or_else(|| vec![Outcome::Unconfirmed; keys]);
            }
        }
        let slots = done_in(&chunks, &result.outcomes);
        // A server that rejects writes may be a replica, or become one.
        result.unreplicated.extend((!slots.is_empty()).then(|| UnreplicatedWrites {
            node,
            replication_id: String::new(),
            slots,
        }));
    }
    Ok(result)
}
