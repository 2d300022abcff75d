//! Planning anew what a task handed back, with what its nodes hold by now.

use keysweep_model::ids::NodeId;
use keysweep_model::messages::ScanTask;
use keysweep_model::range::SlotListing;
use keysweep_model::slot::SlotSet;
use keysweep_redis::Throttle;
use keysweep_redis::{RedisClient, RedisError, node};

use crate::plan::{NodeKeys, Planner};

/// The tasks that read all of a standalone server that was not skipped after all.
pub(crate) async fn replan_database(
    client: &RedisClient,
    planner: &mut Planner,
    node: &NodeId,
) -> Result<Vec<ScanTask>, RedisError> {
    let status = client.status(node).await?;
    // A server that only its cursors give away is noticed by the task that meets them.
    Ok(planner.database(&NodeKeys {
        node: node.clone(),
        keys: status.keys,
        process: status.process,
        listing: status.listing,
        one_lane: status.foreign.is_some(),
        slots: Vec::new(),
    }))
}

/// The tasks that follow the rest of a task, with the slots' owners as they are now.
pub(crate) async fn replan(
    client: &RedisClient,
    planner: &mut Planner,
    slots: &SlotSet,
    giant: &SlotSet,
    listing: Option<SlotListing>,
) -> Result<(Vec<ScanTask>, SlotSet), RedisError> {
    let topology = client.refresh().await?;
    let mut left = slots.clone();
    let mut tasks = Vec::new();
    for primary in &topology.primaries {
        let here = left.intersection(&primary.slots);
        if here.is_empty() {
            continue;
        }
        left = left.difference(&here);
        let conn = client.conn(&primary.node).await?;
        let status = node::status(&conn, client.db()).await?;
        let keys = NodeKeys {
            node: primary.node.clone(),
            keys: status.keys,
            process: status.process,
            listing: listing.unwrap_or(status.listing),
            one_lane: status.foreign.is_some(),
            slots: node::slot_counts(&conn, &here, Throttle::NONE).await?,
        };
        tasks.extend(planner.slots(&keys, giant));
    }
    Ok((tasks, left))
}
