//! Messages over core NATS: published without JetStream, so they are neither stored nor acknowledged.

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt};
use keysweep_storage::task_notes::{NoteChannel, NoteSubject};

use super::connect::Nats;

impl NoteChannel for Nats {
    /// Publishes only while the client is connected and can send without waiting.
    fn publish(&self, about: NoteSubject, payload: Vec<u8>) {
        let subject = self.layout.notes_subject(about);
        // A server that denied one message would deny the others, with an error each time.
        if self.is_connected() && !self.has_refused(&subject) {
            // `None`: the send buffer is full.
            let _ = self.client.publish(subject, payload.into()).now_or_never();
        }
    }

    fn subscribe(&self, about: NoteSubject) -> BoxFuture<'_, Option<BoxStream<'static, Vec<u8>>>> {
        async move {
            match self.client.subscribe(self.layout.notes_subject(about)).await {
                Ok(subscriber) => Some(subscriber.map(|message| message.payload.into()).boxed()),
                Err(e) => {
                    tracing::warn!(error = %e, "failed to subscribe to the notes of workers");
                    None
                }
            }
        }
        .boxed()
    }
}
