//! Periodic work of a message's handler: extends the ack deadline while the work advances or waits, and checks whether
//! the run was cancelled.

use std::time::Duration;

use keysweep_pacing::{Pacer, Permit};
use keysweep_storage::queue::Delivery;
use keysweep_storage::records::Records;
use tokio::time::Instant;

use crate::context::Context;

/// How often a handler checks whether the run was cancelled.
const CANCEL_CHECK: Duration = Duration::from_millis(100);

/// The times at which the deadline was last extended and the cancellation last checked.
pub struct Heartbeat {
    progress_every: Duration,
    progressed: Instant,
    checked: Instant,
}

impl Heartbeat {
    /// Starts both intervals now.
    #[must_use]
    pub fn new(context: &Context) -> Self {
        let now = Instant::now();
        Self { progress_every: context.timing.ack_wait / 3, progressed: now, checked: now }
    }

    /// Call it after each step. `false`: the run was cancelled.
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

    /// Waits for a permit to work at a node. `None`: the run was cancelled.
    pub async fn acquire<'p>(
        &mut self,
        pacer: &'p Pacer,
        records: &Records,
        delivery: &Delivery,
    ) -> Option<Permit<'p>> {
        loop {
            if let Some(permit) = pacer.acquire().await {
                return Some(permit);
            }
            if !self.tick(records, delivery).await {
                return None;
            }
        }
    }
}
