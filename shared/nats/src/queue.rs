//! The work queues over JetStream: a work-queue stream and one consumer each. A pull requests one message at a time,
//! so that no worker buffers messages that others could handle.

use std::sync::Arc;
use std::time::Duration;

use async_nats::HeaderValue;
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{self, AckKind};
use futures_util::StreamExt;
use futures_util::future::{BoxFuture, FutureExt};
use keysweep_model::trace::TraceParent;
use keysweep_signing::SignatureError;
use keysweep_storage::queue::{AckHandle, Delivery, Queue, QueueError, QueueFuture, QueueLoad, Topic};
use keysweep_tasks::supervision;
use tokio::sync::{OnceCell, oneshot};
use tokio::time::{sleep, timeout};
use tokio_util::task::TaskTracker;

use super::connect::{Nats, chain};
use super::layout::WORKERS;
use super::signatures::{self, ReadPath, SIGNATURE, is_redirected};

/// How long a pull waits beyond its expiry for a server that does not reply.
const OVERTIME: Duration = Duration::from_secs(1);

/// The delay after a failed pull.
const RETRY: Duration = Duration::from_millis(500);

/// The header with the span that sent a message: W3C trace context.
const TRACE: &str = "traceparent";

/// The payload of an acknowledgement.
const ACK: &str = "+ACK";

/// The queues in JetStream.
pub struct NatsQueue {
    nats: Nats,
    tasks: OnceCell<PullConsumer>,
    batches: OnceCell<PullConsumer>,
    /// Pulls in flight.
    pulls: TaskTracker,
}

impl NatsQueue {
    /// The queues of the connection `nats`.
    #[must_use]
    pub fn new(nats: Nats) -> Self {
        Self { nats, tasks: OnceCell::new(), batches: OnceCell::new(), pulls: TaskTracker::new() }
    }

    async fn consumer(&self, topic: Topic) -> Result<PullConsumer, QueueError> {
        let cell = match topic {
            Topic::Tasks => &self.tasks,
            Topic::Batches => &self.batches,
        };
        let stream = self.nats.layout.queue_stream(topic);
        let find = || async { self.nats.js.get_consumer_from_stream(WORKERS, &stream).await };
        cell.get_or_try_init(find).await.cloned().map_err(|e| self.unavailable(&chain(&e)))
    }

    fn unavailable(&self, cause: &str) -> QueueError {
        QueueError::Unavailable(self.nats.explain(cause))
    }

    fn refused(&self, error: &PublishError) -> QueueError {
        match full(error) {
            Some(cause) => {
                tracing::debug!(cause, "the queue is full");
                QueueError::Full
            }
            None => self.unavailable(&chain(error)),
        }
    }
}

/// The cause if a server has no room for a message: the stream, the account or the disk is full.
fn full(error: &PublishError) -> Option<String> {
    if error.kind() != PublishErrorKind::Other {
        return None;
    }
    let source = std::error::Error::source(error)?;
    let said = source.downcast_ref::<jetstream::Error>()?;
    let codes = [
        ErrorCode::STREAM_STORE_FAILED,
        ErrorCode::STORAGE_RESOURCES_EXCEEDED,
        ErrorCode::INSUFFICIENT_RESOURCES,
        ErrorCode::ACCOUNT_RESOURCES_EXCEEDED,
    ];
    codes.contains(&said.error_code()).then(|| said.to_string())
}

impl Queue for NatsQueue {
    fn publish(
        &self,
        topic: Topic,
        id: &str,
        payload: Vec<u8>,
        trace: Option<TraceParent>,
    ) -> QueueFuture<'_, ()> {
        let signature = match topic {
            Topic::Tasks => signatures::signature(&self.nats.authority, topic.as_str(), &payload),
            Topic::Batches => Ok(None),
        };
        let message = PublishMessage::build().message_id(id).payload(payload.into());
        async move {
            let message = match signature.map_err(QueueError::Unavailable)? {
                Some(signature) => message.header(SIGNATURE, signature.as_str()),
                None => message,
            };
            let message = match trace {
                Some(trace) => message.header(TRACE, trace.to_string()),
                None => message,
            };
            let subject = self.nats.layout.queue_subject(topic);
            let sent = self.nats.js.send_publish(subject, message).await.map_err(|e| self.refused(&e))?;
            sent.await.map_err(|e| self.refused(&e))?;
            Ok(())
        }
        .boxed()
    }

    fn pull(&self, topic: Topic, _max: usize, wait: Duration) -> QueueFuture<'_, Vec<Delivery>> {
        async move {
            let pulled = match self.consumer(topic).await {
                Ok(consumer) => self.pull_one(topic, consumer, wait).await,
                Err(e) => Err(e),
            };
            match pulled {
                Ok(delivery) => Ok(delivery.into_iter().collect()),
                Err(e) => {
                    // A worker outlives its server: it retries until one is available.
                    tracing::debug!(error = %e, "failed to pull, will retry");
                    sleep(RETRY).await;
                    Ok(Vec::new())
                }
            }
        }
        .boxed()
    }

    fn load(&self, topic: Topic) -> QueueFuture<'_, QueueLoad> {
        async move {
            let info = self.consumer(topic).await?.get_info().await;
            let info = info.map_err(|e| self.unavailable(&chain(&e)))?;
            Ok(QueueLoad {
                waiting: info.num_pending,
                in_hand: info.num_ack_pending as u64,
                redelivered: info.num_redelivered as u64,
            })
        }
        .boxed()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        async move {
            self.pulls.close();
            self.pulls.wait().await;
        }
        .boxed()
    }
}

impl NatsQueue {
    /// Pulls one message. The server may have sent it already when the caller drops the future. So the pull is a
    /// separate task, which requeues a message that is no longer wanted.
    async fn pull_one(
        &self,
        topic: Topic,
        consumer: PullConsumer,
        wait: Duration,
    ) -> Result<Option<Delivery>, QueueError> {
        let (sender, receiver) = oneshot::channel();
        let nats = self.nats.clone();
        supervision::detach(&self.pulls, async move {
            let pulled = fetch(&nats, topic, &consumer, wait).await;
            if let Err(Ok(Some(unwanted))) = sender.send(pulled) {
                // If this fails, the message is redelivered after the ack deadline.
                let _ = unwanted.handle.nak(Duration::ZERO).await;
            }
        });
        receiver.await.unwrap_or(Ok(None))
    }
}

async fn fetch(
    nats: &Nats,
    topic: Topic,
    consumer: &PullConsumer,
    wait: Duration,
) -> Result<Option<Delivery>, QueueError> {
    let failed = |e: &(dyn std::error::Error + 'static)| QueueError::Unavailable(nats.explain(chain(e)));
    let request = consumer.batch().max_messages(1).expires(wait.max(Duration::from_millis(1)));
    let mut batch = request.messages().await.map_err(|e| failed(&e))?;
    match timeout(wait + OVERTIME, batch.next()).await {
        Ok(Some(Ok(message))) => Ok(Some(delivery(nats, topic, message))),
        Ok(Some(Err(e))) => Err(QueueError::Unavailable(nats.explain(e))),
        Ok(None) | Err(_) => Ok(None),
    }
}

/// Whether the signature of `message` is accepted. Only tasks are orders.
fn trust(nats: &Nats, topic: Topic, message: &jetstream::Message) -> Result<(), SignatureError> {
    let header = |name| message.headers.as_ref().and_then(|headers| headers.get(name));
    match topic {
        _ if message.headers.as_ref().is_some_and(|headers| is_redirected(headers, ReadPath::Stored)) => {
            Err(SignatureError::Redirected)
        }
        Topic::Tasks => {
            let signature = header(SIGNATURE).map(HeaderValue::as_str);
            nats.authority.check(topic.as_str(), &message.payload, signature)
        }
        Topic::Batches => Ok(()),
    }
}

fn delivery(nats: &Nats, topic: Topic, message: jetstream::Message) -> Delivery {
    let deliveries = message.info().map_or(1, |info| u32::try_from(info.delivered).unwrap_or(u32::MAX));
    let payload: Arc<[u8]> = message.payload.as_ref().into();
    let trust = trust(nats, topic, &message);
    let sender = message.headers.as_ref().and_then(|headers| headers.get(TRACE));
    let trace = sender.and_then(|sender| TraceParent::parse(sender.as_str()));
    Delivery {
        payload,
        deliveries,
        trust,
        trace,
        handle: Arc::new(NatsHandle { nats: nats.clone(), message }),
    }
}

struct NatsHandle {
    nats: Nats,
    message: jetstream::Message,
}

impl NatsHandle {
    async fn send_ack(&self, kind: AckKind) -> Result<(), QueueError> {
        self.message.ack_with(kind).await.map_err(|e| QueueError::Unavailable(e.to_string()))
    }
}

impl AckHandle for NatsHandle {
    fn ack(&self) -> QueueFuture<'_, ()> {
        async move {
            // A request, so that the server has processed it when this returns.
            let Some(reply) = self.message.reply.clone() else { return Ok(()) };
            let asked = self.nats.client.request(reply, ACK.into()).await;
            asked.map(drop).map_err(|e| QueueError::Unavailable(self.nats.explain(chain(&e))))
        }
        .boxed()
    }

    fn nak(&self, delay: Duration) -> QueueFuture<'_, ()> {
        self.send_ack(AckKind::Nak((!delay.is_zero()).then_some(delay))).boxed()
    }

    fn extend_deadline(&self) -> QueueFuture<'_, ()> {
        self.send_ack(AckKind::Progress).boxed()
    }
}
