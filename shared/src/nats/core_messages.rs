//! What is told aside: published without JetStream, so nothing keeps it, and nobody waits for an answer.

use async_nats::Subscriber;
use futures_util::{FutureExt, StreamExt};

use super::connect::Nats;
use crate::ids::RunId;

/// Somebody who hears what is told of one run. Dropping it ends the subscription.
pub struct Subscription(Subscriber);

impl Nats {
    /// Publishes `payload` to those who hear of `run`, if the connection stands and takes it at once.
    pub(crate) fn publish_core(&self, run: RunId, payload: Vec<u8>) {
        let subject = self.layout.notes_subject(run);
        // A server that refused one refuses the others, and says so each time.
        if self.is_connected() && !self.has_refused(&subject) {
            // `None`: what is to be sent waits in line already.
            let _ = self.client.publish(subject, payload.into()).now_or_never();
        }
    }

    /// Hears what is told of `run` from now on; `None` if it cannot.
    pub(crate) async fn subscribe_core(&self, run: RunId) -> Option<Subscription> {
        match self.client.subscribe(self.layout.notes_subject(run)).await {
            Ok(subscriber) => Some(Subscription(subscriber)),
            Err(e) => {
                tracing::warn!(error = %e, "tasks do not tell how far they are");
                None
            }
        }
    }
}

impl Subscription {
    /// What is told next; `None` once the connection is closed.
    pub(crate) async fn next(&mut self) -> Option<Vec<u8>> {
        Some(self.0.next().await?.payload.into())
    }
}
