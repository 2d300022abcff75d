//! The pacing of a batch at a node: it waits for permits, extends its lease meanwhile, and notices a cancelled run.

use std::sync::Arc;

use keysweep_model::ids::NodeId;
use keysweep_model::messages::{NodePacing, RunSpec};
use keysweep_pacing::{Pacer, Permit};
use keysweep_redis::RedisClient;
use keysweep_runtime::context::Context;
use keysweep_runtime::heartbeat::Heartbeat;
use keysweep_storage::queue::Delivery;
use keysweep_storage::records::Records;

/// A batch that is throttled. Dropping it reports that the batch ended at the node.
pub(crate) struct BatchThrottle<'a> {
    pacer: Pacer,
    delivery: &'a Delivery,
    records: &'a Records,
    heartbeat: Heartbeat,
}

impl<'a> BatchThrottle<'a> {
    /// The batch of `delivery` starts at `node`. Returns `None` if the run is not throttled.
    pub(crate) async fn enter(
        context: &Context,
        spec: &RunSpec,
        (deployment, node): (&Arc<RedisClient>, &NodeId),
        (delivery, records): (&'a Delivery, &'a Records),
    ) -> Option<Self> {
        if spec.pacing.is_free() {
            return None;
        }
        let pacer = context.pacers.enter_to_act(spec, deployment, node, &context.telemetry).await;
        Some(Self { pacer, delivery, records, heartbeat: Heartbeat::new(context) })
    }

    /// Waits for the next permit. Returns `None` if the run was cancelled.
    pub(crate) async fn acquire(&mut self) -> Option<Permit<'_>> {
        // The heartbeat is also needed if permits are granted without delay.
        if !self.heartbeat.tick(self.records, self.delivery).await {
            return None;
        }
        self.heartbeat.acquire(&self.pacer, self.records, self.delivery).await
    }

    /// How many keys the next piece of work may cover.
    pub(crate) fn window_keys(&self) -> Option<u64> {
        self.pacer.window_keys()
    }

    /// How the batch was throttled, if it was.
    pub(crate) fn stats(&self) -> Option<Box<NodePacing>> {
        let stats = self.pacer.stats();
        (!stats.is_empty()).then(|| Box::new(stats))
    }
}
