//! What whoever works on a message does now and then: it keeps the message its own while the work advances or waits,
//! and notices when its run is to stop.

use std::time::Duration;

use tokio::time::Instant;

use crate::context::Context;
use crate::pacing::{Pacer, Permit};
use crate::queue::Delivery;
use crate::records::Records;

/// How often somebody at work looks whether the run goes on.
const CANCEL_CHECK: Duration = Duration::from_millis(100);

/// See the module.
pub struct Heartbeat {
    progress_every: Duration,
    progressed: Instant,
    checked: Instant,
}

impl Heartbeat {
    /// For work that begins now.
    #[must_use]
    pub fn new(context: &Context) -> Self {
        let now = Instant::now();
        Self { progress_every: context.timing.ack_wait / 3, progressed: now, checked: now }
    }

    /// Called after each step. `false`: the run was cancelled.
    pub async fn tick(&mut self, records: &Records, delivery: &Delivery) -> bool {
        if self.progressed.elapsed() >= self.progress_every {
            self.progressed = Instant::now();
            // If this fails, another worker may start the same work, which is harmless.
            let _ = delivery.handle.extend_deadline().await;
        }
        if self.checked.elapsed() < CANCEL_CHECK {
            return true;
        }
        self.checked = Instant::now();
        !matches!(records.cancel().await, Ok(Some(_)))
    }

    /// Waits for the next turn at a node. `None`: the run was cancelled.
    pub async fn acquire<'p>(
        &mut self,
        pacer: &'p Pacer,
        records: &Records,
        delivery: &Delivery,
    ) -> Option<Permit<'p>> {
        loop {
            if let Some(turn) = pacer.acquire().await {
                return Some(turn);
            }
            if !self.tick(records, delivery).await {
                return None;
            }
        }
    }
}
