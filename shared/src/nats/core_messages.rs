//! Messages over core NATS: published without JetStream, so they are neither stored nor acknowledged.

use async_nats::Subscriber;
use futures_util::{FutureExt, StreamExt};

use super::connect::Nats;
use crate::ids::RunId;

/// A subscription to the progress messages of one run. Dropping it ends the subscription.
pub struct Subscription(Subscriber);

impl Nats {
    /// Publishes `payload` to the subscribers of `run`, if the client is connected and can send without waiting.
    pub(crate) fn publish_core(&self, run: RunId, payload: Vec<u8>) {
        let subject = self.layout.notes_subject(run);
        // A server that denied one message would deny the others, with an error each time.
        if self.is_connected() && !self.has_refused(&subject) {
            // `None`: the send buffer is full.
            let _ = self.client.publish(subject, payload.into()).now_or_never();
        }
    }

    /// Subscribes to the progress messages of `run`; `None` if that fails.
    pub(crate) async fn subscribe_core(&self, run: RunId) -> Option<Subscription> {
        match self.client.subscribe(self.layout.notes_subject(run)).await {
            Ok(subscriber) => Some(Subscription(subscriber)),
            Err(e) => {
                tracing::warn!(error = %e, "failed to subscribe to the progress of tasks");
                None
            }
        }
    }
}

impl Subscription {
    /// The next message; `None` once the connection is closed.
    pub(crate) async fn next(&mut self) -> Option<Vec<u8>> {
        Some(self.0.next().await?.payload.into())
    }
}
