//! Says to coordinators that a worker is there, for display.

use std::convert::Infallible;

use keysweep_storage::queue::Topic;
use keysweep_storage::worker_notes::{WorkerId, WorkerNote};
use tokio::time::sleep;

use crate::context::Context;
use crate::limits::ANNOUNCE_EVERY;

/// Says again and again that `worker` is there, and how many messages of its queue this process has in hand.
pub async fn announce(context: &Context, worker: WorkerId, queue: Option<Topic>) -> Infallible {
    loop {
        let in_hand = queue.map(|queue| context.in_hand.of(queue));
        context.notes.announce(&WorkerNote { worker: worker.clone(), in_hand });
        sleep(ANNOUNCE_EVERY).await;
    }
}
