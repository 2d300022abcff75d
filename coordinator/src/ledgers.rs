//! Removing the ledger keys of a run in this process at its end. Those of a run over NATS expire by themselves.

use std::collections::BTreeMap;
use std::time::Duration;

use keysweep_model::ids::{NodeId, RunId};
use keysweep_model::ledger::Ledger;
use keysweep_model::slot::SlotSet;
use keysweep_redis::guard;
use keysweep_redis::{RedisClient, RedisError, RedisErrorKind, Throttle};
use keysweep_storage::records::{Record, RecordError, Records};
use keysweep_tasks::concurrency::join_bounded;
use thiserror::Error;
use tokio::time::sleep;

use crate::options::Options;

/// Maximum attempts to remove ledger keys in moving slots.
const LEDGER_ROUNDS_MAX: u32 = 10;

/// The pause between these attempts.
const LEDGER_PAUSE: Duration = Duration::from_millis(200);

/// Why ledger keys could not be removed.
#[derive(Debug, Error)]
pub(crate) enum LedgerError {
    #[error(transparent)]
    Redis(#[from] RedisError),
    #[error(transparent)]
    Records(#[from] RecordError),
}

/// Removes the ledger keys of a run whose workers have all been joined: no worker can read them any more.
///
/// # Errors
/// When Redis or the records fail.
pub(crate) async fn drop_of_run(options: &Options, records: &Records) -> Result<(), LedgerError> {
    let Some(spec) = records.spec().await? else { return Ok(()) };
    let client = RedisClient::discover(options.access.clone()).await?;
    let mut left = of_run(records).await?;
    for _ in 0..LEDGER_ROUNDS_MAX {
        left = drop_where_served(&client, spec.run, left, Throttle::of(&options.pacing)).await;
        if left.is_empty() {
            return Ok(());
        }
        sleep(LEDGER_PAUSE).await;
        client.refresh().await?;
    }
    let slots: SlotSet = left.iter().map(|ledger| ledger.slot).collect();
    tracing::warn!(%slots, "ledger keys remain in moving slots; they expire automatically");
    Ok(())
}

/// The ledgers that a run may have left.
async fn of_run(records: &Records) -> Result<Vec<Ledger>, RecordError> {
    let mut ledgers = Vec::new();
    let mut watch = records.watch().await?;
    loop {
        match watch.next().await? {
            Record::Receipt(receipt) => ledgers.extend(receipt.ledgers()),
            Record::Result(_) => return Ok(ledgers),
            _ => {}
        }
    }
}

/// Removes ledger keys at the nodes that serve their slots. Returns the ledgers of nodes with moving slots.
async fn drop_where_served(
    client: &RedisClient,
    run: RunId,
    ledgers: Vec<Ledger>,
    breaks: Throttle,
) -> Vec<Ledger> {
    let topology = client.topology();
    let mut nodes: BTreeMap<NodeId, Vec<Ledger>> = BTreeMap::new();
    let mut left = Vec::new();
    for ledger in ledgers {
        match topology.owner(ledger.slot) {
            Some(owner) => nodes.entry(owner.node.clone()).or_default().push(ledger),
            None => left.push(ledger),
        }
    }
    let dropping = nodes.into_iter().map(async |(node, ledgers)| {
        let dropped = match client.conn(&node).await {
            Ok(conn) => guard::drop_ledgers(&conn, run, &ledgers, breaks).await,
            Err(fault) => Err(fault),
        };
        match dropped {
            Ok(dropped) => tracing::debug!(%node, dropped, "ledger keys removed"),
            // While a slot moves, its owner may be unknown for a moment.
            Err(fault) if matches!(fault.kind, RedisErrorKind::Moved | RedisErrorKind::Unavailable) => {
                return ledgers;
            }
            // A node that is down must not prevent the cleanup of the others.
            Err(fault) => {
                tracing::warn!(error = %fault, "ledger keys remain; they expire automatically");
            }
        }
        Vec::new()
    });
    left.extend(join_bounded(dropping.collect()).await.into_iter().flatten());
    left
}
