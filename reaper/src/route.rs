//! Which node a group of a batch belongs to, and what the ledgers there say.

use std::collections::BTreeMap;

use shared::cluster::{Deployment, Fault, FaultKind, guard};
use shared::ids::NodeId;
use shared::messages::ReapBatch;
use shared::outcome::Outcome;

use crate::chunks::{Chunk, by_node};
use crate::receipt::outcomes;

/// The groups of `batch` by the node that serves them, in chunks.
pub(crate) fn route<'a>(
    deployment: &Deployment,
    batch: &'a ReapBatch,
) -> Result<BTreeMap<NodeId, Vec<Chunk<'a>>>, Fault> {
    let topology = deployment.topology();
    let owner = |slot| topology.owner(slot).map(|primary| primary.node.clone());
    let unserved =
        |slot| Fault::new(FaultKind::Moved, batch.alias.as_str(), format!("nobody serves slot {slot}"));
    by_node(batch, owner).map_err(unserved)
}

/// The outcomes of `batch` as its ledgers record them; where there is none, it failed.
pub(crate) async fn recall(deployment: &Deployment, batch: &ReapBatch) -> Result<Vec<Vec<Outcome>>, Fault> {
    let mut all = vec![Vec::new(); batch.groups.len()];
    for (node, chunks) in route(deployment, batch)? {
        let conn = deployment.conn(&node).await?;
        for chunk in chunks {
            for ((number, group), verdict) in
                chunk.iter().zip(guard::recall(&conn, batch.window(), &chunk).await?)
            {
                let keys = group.keys.len();
                let failed = || Some(vec![Outcome::Failed; keys]);
                let outcomes = verdict.map_or_else(failed, |verdict| outcomes(verdict, keys, false, true));
                all[*number] = outcomes.unwrap_or_else(|| vec![Outcome::Unconfirmed; keys]);
            }
        }
    }
    Ok(all)
}
