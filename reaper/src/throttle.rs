//! The pacing of a batch at a node: it waits for permits, extends its ack deadline meanwhile, and notices a cancelled run.

use std::sync::Arc;

use keysweep_model::ids::NodeId;
use keysweep_model::messages::NodePacing;
use keysweep_pacing::{Pacer, Permit};
use keysweep_redis::RedisClient;
use keysweep_runtime::heartbeat::Heartbeat;

use crate::attempt::{BatchContext, Interruption};

/// The pace of a batch at a node. Dropping it reports that the batch ended there.
pub(crate) struct BatchThrottle<'a> {
    of: BatchContext<'a>,
    /// `None` without limits.
    pacer: Option<Pacer>,
    /// Whether the limits no longer apply.
    lifted: bool,
    heartbeat: Heartbeat,
}

impl<'a> BatchThrottle<'a> {
    /// No limits.
    pub(crate) fn unlimited(of: BatchContext<'a>) -> Self {
        Self { of, pacer: None, lifted: false, heartbeat: Heartbeat::new(of.context) }
    }

    /// The batch starts at `node`, with the limits of its run.
    pub(crate) async fn enter(&mut self, client: &Arc<RedisClient>, node: &NodeId) {
        let BatchContext { context, spec, .. } = self.of;
        if self.of.delivery.is_some() && !spec.pacing.is_free() {
            self.pacer = Some(context.pacers.enter_to_act(spec, client, node, &context.telemetry).await);
            self.heartbeat = Heartbeat::new(context);
        }
    }

    /// Nothing is changed any more, so that nothing needs to wait.
    pub(crate) fn lift(&mut self) {
        self.lifted = true;
    }

    /// Waits for the next permit; `None` if there are no limits. Interrupts the attempt if the run was cancelled.
    pub(crate) async fn acquire(&mut self) -> Result<Option<Permit<'_>>, Interruption> {
        let pacer = self.pacer.as_ref().filter(|_| !self.lifted);
        let (Some(pacer), Some(delivery)) = (pacer, self.of.delivery) else { return Ok(None) };
        // The heartbeat is also needed if permits are granted without delay.
        if !self.heartbeat.tick(self.of.records, delivery).await {
            return Err(Interruption::Cancelled);
        }
        let permit = self.heartbeat.acquire(pacer, self.of.records, delivery).await;
        permit.map(Some).ok_or(Interruption::Cancelled)
    }

    /// How many keys the next piece of work may cover; `None` without limits.
    pub(crate) fn window_keys(&self) -> Option<u64> {
        self.pacer.as_ref().filter(|_| !self.lifted).and_then(Pacer::window_keys)
    }

    /// How the batch was throttled, if it was.
    pub(crate) fn stats(&self) -> Option<Box<NodePacing>> {
        let stats = self.pacer.as_ref()?.stats();
        (!stats.is_empty()).then(|| Box::new(stats))
    }
}
