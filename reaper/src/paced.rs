//! A batch that is held back: it waits for its turns at a node, stays ours meanwhile, and notices when its run is to
//! stop.

use std::sync::Arc;

use shared::cluster::Deployment;
use shared::env::Env;
use shared::ids::NodeId;
use shared::messages::{NodePacing, RunSpec};
use shared::pace::{Pacer, Turn};
use shared::pulse::Pulse;
use shared::queue::Delivery;
use shared::records::Records;

/// See the module. Dropping it says that the batch ended at the node.
pub(crate) struct Paced<'a> {
    pacer: Pacer,
    delivery: &'a Delivery,
    records: &'a Records,
    pulse: Pulse,
}

impl<'a> Paced<'a> {
    /// The batch of `delivery` begins to act at `node`. `None` if nothing holds its run back.
    pub(crate) async fn enter(
        env: &Env,
        spec: &RunSpec,
        (deployment, node): (&Arc<Deployment>, &NodeId),
        (delivery, records): (&'a Delivery, &'a Records),
    ) -> Option<Self> {
        if spec.pace.is_free() {
            return None;
        }
        let pacer = env.pacers.enter_to_act(spec, deployment, node, &env.telemetry).await;
        Some(Self { pacer, delivery, records, pulse: Pulse::new(env) })
    }

    /// Waits for the next turn. `None`: the run was cancelled.
    pub(crate) async fn turn(&mut self) -> Option<Turn<'_>> {
        // Also where turns come at once, one after the other.
        if !self.pulse.beat(self.records, self.delivery).await {
            return None;
        }
        self.pulse.turn(&self.pacer, self.records, self.delivery).await
    }

    /// Keys that the next piece of work may act on.
    pub(crate) fn window_keys(&self) -> Option<u64> {
        self.pacer.window_keys()
    }

    /// How the batch was held back, if it was.
    pub(crate) fn tell(&self) -> Option<Box<NodePacing>> {
        let told = self.pacer.tell();
        (!told.is_empty()).then(|| Box::new(told))
    }
}
