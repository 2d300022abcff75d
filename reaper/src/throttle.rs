//! A batch that is held back: it waits for its turns at a node, stays ours meanwhile, and notices when its run is to
//! stop.

use std::sync::Arc;

use shared::cluster::RedisClient;
use shared::context::Context;
use shared::heartbeat::Heartbeat;
use shared::ids::NodeId;
use shared::messages::{NodePacing, RunSpec};
use shared::pacing::{Pacer, Permit};
use shared::queue::Delivery;
use shared::records::Records;

/// See the module. Dropping it says that the batch ended at the node.
pub(crate) struct BatchThrottle<'a> {
    pacer: Pacer,
    delivery: &'a Delivery,
    records: &'a Records,
    heartbeat: Heartbeat,
}

impl<'a> BatchThrottle<'a> {
    /// The batch of `delivery` begins to act at `node`. `None` if nothing holds its run back.
    pub(crate) async fn enter(
        context: &Context,
        spec: &RunSpec,
        (deployment, node): (&Arc<RedisClient>, &NodeId),
        (delivery, records): (&'a Delivery, &'a Records),
    ) -> Option<Self> {
        if spec.pace.is_free() {
            return None;
        }
        let pacer = context.pacers.enter_to_act(spec, deployment, node, &context.telemetry).await;
        Some(Self { pacer, delivery, records, heartbeat: Heartbeat::new(context) })
    }

    /// Waits for the next turn. `None`: the run was cancelled.
    pub(crate) async fn acquire(&mut self) -> Option<Permit<'_>> {
        // Also where turns come at once, one after the other.
        if !self.heartbeat.tick(self.records, self.delivery).await {
            return None;
        }
        self.heartbeat.acquire(&self.pacer, self.records, self.delivery).await
    }

    /// Keys that the next piece of work may act on.
    pub(crate) fn window_keys(&self) -> Option<u64> {
        self.pacer.window_keys()
    }

    /// How the batch was held back, if it was.
    pub(crate) fn stats(&self) -> Option<Box<NodePacing>> {
        let told = self.pacer.stats();
        (!told.is_empty()).then(|| Box::new(told))
    }
}
