//! A batch that is held back: it waits for its turns at a node, stays ours meanwhile, and notices when its run is to
//! stop.

use std::sync::Arc;
use std::time::Duration;

use shared::cluster::Deployment;
use shared::env::Env;
use shared::ids::NodeId;
use shared::messages::{NodePacing, RunSpec};
use shared::pace::{Pacer, Turn};
use shared::queue::Delivery;
use shared::records::Records;
use tokio::time::Instant;

/// How often a batch at work looks whether its run goes on.
const CANCEL_CHECK: Duration = Duration::from_millis(100);

/// See the module. Dropping it says that the batch ended at the node.
pub(crate) struct Paced<'a> {
    pacer: Pacer,
    delivery: &'a Delivery,
    records: &'a Records,
    progress_every: Duration,
    progressed: Instant,
    checked: Instant,
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
        let (now, progress_every) = (Instant::now(), env.timing.ack_wait / 3);
        Some(Self { pacer, delivery, records, progress_every, progressed: now, checked: now })
    }

    /// Waits for the next turn. `None`: the run was cancelled.
    pub(crate) async fn turn(&mut self) -> Option<Turn<'_>> {
        // A turn that is there borrows the pacer alone.
        let Self { pacer, delivery, records, progress_every, progressed, checked } = self;
        loop {
            if progressed.elapsed() >= *progress_every {
                *progressed = Instant::now();
                // If this fails, another worker may start the batch as well, which is harmless.
                let _ = delivery.handle.progress().await;
            }
            if checked.elapsed() >= CANCEL_CHECK {
                *checked = Instant::now();
                if matches!(records.cancel().await, Ok(Some(_))) {
                    return None;
                }
            }
            if let Some(turn) = pacer.turn().await {
                return Some(turn);
            }
        }
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
