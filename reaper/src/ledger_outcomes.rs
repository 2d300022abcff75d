//! The outcomes of a batch as its ledgers record them, for servers that answer but accept no writes.

use keysweep_model::ids::RunId;
use keysweep_model::ledger::Ledger;
use keysweep_model::messages::{ReapBatch, UnreplicatedWrites};
use keysweep_model::outcome::Outcome;
use keysweep_model::slot::SlotSet;
use keysweep_redis::RedisClient;
use keysweep_redis::guard;
use keysweep_runtime::worker::Failure;

use crate::attempt::owner;
use crate::receipt::{BatchResult, outcomes};
use crate::work::{Work, by_node, node_work, slot_work, without_node_ledger};

/// Reads the ledgers of `batch`. A candidate that no ledger records failed; it is unconfirmed if the batch was `tried`, because
/// the ledger of that attempt may be lost. `idle`: idle times decide who is inactive.
pub(crate) async fn read(
    client: &RedisClient,
    batch: &ReapBatch,
    idle: bool,
    tried: bool,
) -> Result<BatchResult, Failure> {
    let mut result = BatchResult { elsewhere: without_node_ledger(batch), ..BatchResult::of(batch) };
    read_of(client, node_work(batch), idle, batch.run, &mut result).await?;
    let left = slot_work(batch, &result.elsewhere);
    read_of(client, left, idle, batch.run, &mut result).await?;
    for outcome in result.outcomes.iter_mut().flatten() {
        outcome.get_or_insert(if tried { Outcome::Unconfirmed } else { Outcome::Failed });
    }
    Ok(result)
}

async fn read_of(
    client: &RedisClient,
    work: Vec<Work<'_>>,
    idle: bool,
    run: RunId,
    result: &mut BatchResult,
) -> Result<(), Failure> {
    let topology = client.topology();
    for (node, work) in by_node(work, |slot| owner(&topology, slot)).nodes {
        let conn = client.conn(&node).await?;
        let ledgers: Vec<(Ledger, usize)> = work.iter().map(|work| (work.ledger, work.recorded)).collect();
        let mut slots = SlotSet::new();
        for (work, verdict) in work.iter().zip(guard::read_ledgers(&conn, run, &ledgers).await?) {
            let Some(verdict) = verdict else { continue };
            let recorded = outcomes(verdict, work.recorded, false).unwrap_or_default();
            let recorded = recorded.get(work.before..).unwrap_or_default();
            slots.extend(&result.record(work, recorded, idle, None));
        }
        // A server that rejects writes may be a replica, or become one.
        result.unreplicated.extend((!slots.is_empty()).then(|| UnreplicatedWrites {
            node,
            replication_id: String::new(),
            slots,
        }));
    }
    Ok(())
}
