//! The loop that scanners and reapers share: pull, handle, acknowledge. Its order is an invariant: a message is
//! acknowledged only after its handler has stored everything that it produced.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use keysweep_backup::BackupError;
use keysweep_model::ids::{Alias, RunId};
use keysweep_model::time::now_ms;
use keysweep_model::trace::TraceParent;
use keysweep_model::wire::{self, WireError};
use keysweep_redis::RedisError;
use keysweep_signing::SignatureError;
use keysweep_storage::dead_letter::{self, DeadLetter};
use keysweep_storage::queue::{Delivery, QueueError, Topic};
use keysweep_storage::records::{Failures, RecordError, Records};
use keysweep_storage::store::StoreError;
use keysweep_telemetry::DeliveryOutcome;
use keysweep_telemetry::spans::{Attribute, AttributeValue, Traced};
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::activity::ActivityError;
use crate::context::Context;
use crate::limits::{FAILING_TIME_MAX, FAILURES_WHEN_STOPPING};

/// How long one pull waits for a message.
const PULL_WAIT: Duration = Duration::from_secs(1);

/// How the worker answers the queue after a message was handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// Acknowledge it.
    Done,
    /// Deliver it again after this delay. Does not count as a failure.
    Requeue(Duration),
}

/// Why a message could not be handled.
#[derive(Debug, Error)]
pub enum Failure {
    /// Redis failed.
    #[error(transparent)]
    Redis(#[from] RedisError),
    /// A record could not be read or written.
    #[error(transparent)]
    Records(#[from] RecordError),
    /// The queue failed.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// The keys could not be backed up before they are deleted.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// The keys could not be recorded in the audit trail before they are deleted.
    #[error("the keys cannot be recorded before they are deleted: {0}")]
    Unrecorded(StoreError),
    /// The message is valid, but cannot be carried out.
    #[error("{0}")]
    Message(String),
    /// The run does not allow what the message asks for. Nothing of it is done.
    #[error("{0}")]
    Refused(String),
}

/// Without the list of active users, the message cannot be handled.
impl From<ActivityError> for Failure {
    fn from(error: ActivityError) -> Self {
        match error {
            ActivityError::Records(error) => error.into(),
            error => Self::Message(error.to_string()),
        }
    }
}

impl Failure {
    /// Whether a retry may succeed.
    #[must_use]
    pub fn transient(&self) -> bool {
        match self {
            Self::Redis(fault) => fault.kind.is_transient(),
            // Another worker may have a backup target. A target that failed was retried for long enough.
            Self::Backup(e) => matches!(e, BackupError::NoTarget(_)),
            Self::Records(_) | Self::Queue(_) => true,
            // Nothing else was wrong, and the store has waited for its disk or lock already.
            Self::Unrecorded(_) | Self::Message(_) | Self::Refused(_) => false,
        }
    }

    /// Whether queue or store failed. Such a failure is no fault of the message, which is retried without limit.
    fn is_ours(&self) -> bool {
        matches!(self, Self::Records(RecordError::Store(_)) | Self::Queue(_))
    }
}

/// Handles one kind of message for a stage.
pub trait Handler: Send + Sync {
    /// The message.
    type Message: DeserializeOwned + Send + Sync;

    /// The queue it comes from.
    const TOPIC: Topic;

    /// The run of a message, and the message's identity within the run.
    fn identity(&self, message: &Self::Message) -> (RunId, String);

    /// The deployment that a message is about.
    fn redis<'a>(&self, message: &'a Self::Message) -> &'a Alias;

    /// What the work on a message is in traces, with its attributes.
    fn traced(&self, message: &Self::Message) -> (Traced, Vec<Attribute>);

    /// Does the work and stores what it produced. Must be idempotent: it runs once per delivery.
    fn handle(
        &self,
        message: &Self::Message,
        delivery: &Delivery,
    ) -> impl Future<Output = Result<Disposition, Failure>> + Send;

    /// Ends a message after its last failure: stores the record that says so.
    fn give_up(
        &self,
        message: &Self::Message,
        failure: &Failure,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Ends the work item of a message that cannot be decoded, as far as the payload identifies it. `reason` is the
    /// decoding error. The message is dead-lettered afterwards.
    fn undecodable(
        &self,
        _payload: &[u8],
        _reason: &str,
    ) -> impl Future<Output = Result<Disposition, Failure>> + Send {
        std::future::ready(Ok(Disposition::Done))
    }
}

/// Handles messages, `at_once` at a time, until `shutdown`; then finishes those in flight.
///
/// # Errors
/// When the queue fails permanently.
pub async fn run<H: Handler>(
    context: &Context,
    handler: &H,
    at_once: usize,
    shutdown: CancellationToken,
) -> Result<(), QueueError> {
    // Consecutive messages whose Redis server could not be reached from this process.
    let out_of_reach = AtomicU32::new(0);
    let mut in_hand = FuturesUnordered::new();
    let mut pulling: Option<Pull<'_>> = None;
    loop {
        // A peer that publishes to the reply subject may deliver more messages than requested.
        let free = at_once.saturating_sub(in_hand.len());
        if pulling.is_none() && free > 0 {
            pulling = Some(context.queue.pull(H::TOPIC, free, PULL_WAIT));
        }
        tokio::select! {
            () = shutdown.cancelled() => break,
            Some(()) = in_hand.next() => {}
            pulled = pulled(&mut pulling) => {
                pulling = None;
                for delivery in pulled? {
                    in_hand.push(settle(context, handler, delivery, &out_of_reach));
                }
            }
        }
    }
    drop(pulling);
    while in_hand.next().await.is_some() {}
    Ok(())
}

type Pull<'a> = BoxFuture<'a, Result<Vec<Delivery>, QueueError>>;

/// The result of the pull in flight, if there is one. A pull is kept when a message is done: restarting it would
/// requeue messages that the queue has already sent.
async fn pulled(pulling: &mut Option<Pull<'_>>) -> Result<Vec<Delivery>, QueueError> {
    match pulling {
        Some(pulling) => pulling.await,
        None => std::future::pending().await,
    }
}

/// Handles one delivery and acknowledges or requeues it. A lost acknowledgement only causes a redelivery.
async fn settle<H: Handler>(
    context: &Context,
    handler: &H,
    mut delivery: Delivery,
    out_of_reach: &AtomicU32,
) {
    let _in_hand = context.in_hand.take(H::TOPIC);
    let (disposition, outcome) = match wire::decode::<H::Message>(&delivery.payload) {
        _ if let Err(why) = &delivery.trust => untrusted(context, H::TOPIC, why, &delivery).await,
        Ok(message) => attempt(context, handler, &message, &mut delivery, out_of_reach).await,
        Err(e) => undecodable(context, handler, &e, &delivery).await,
    };
    context.telemetry.delivered(H::TOPIC.as_str(), outcome, delivery.deliveries);
    let answered = match disposition {
        Disposition::Done => delivery.handle.ack().await,
        Disposition::Requeue(delay) => delivery.handle.nak(delay).await,
    };
    if let Err(e) = answered {
        tracing::warn!(error = %e, "failed to answer the queue");
    }
    // A worker that reaches no server leaves the messages to workers that do.
    match out_of_reach.load(Ordering::Relaxed) {
        0 => {}
        count => sleep(context.timing.pause(count)).await,
    }
}

/// Dead-letters a message that cannot be decoded. A message of another version is first requeued for a while, for
/// workers of that version.
async fn undecodable<H: Handler>(
    context: &Context,
    handler: &H,
    error: &WireError,
    delivery: &Delivery,
) -> (Disposition, DeliveryOutcome) {
    let (topic, reason) = (H::TOPIC, error.to_string());
    if matches!(error, WireError::Format(_)) && delivery.deliveries < context.timing.max_failures {
        tracing::warn!(?topic, %error, "requeued a message for workers of another version");
        return (Disposition::Requeue(context.timing.retry_delay_max), DeliveryOutcome::Requeued);
    }
    match handler.undecodable(&delivery.payload, &reason).await {
        Ok(Disposition::Done) => {
            tracing::error!(?topic, %error, "undecodable message, dead-lettered");
            (dead_letter(context, topic, None, reason, delivery).await, DeliveryOutcome::Undecodable)
        }
        Ok(later) => (later, DeliveryOutcome::Requeued),
        Err(e) => {
            tracing::warn!(?topic, error = %e, "failed to end an undecodable message");
            (Disposition::Requeue(context.timing.retry_delay_max), DeliveryOutcome::Requeued)
        }
    }
}

/// Dead-letters a message whose signature is not accepted. It is first requeued for a while, for workers that may have
/// its key. Nothing of it is done.
async fn untrusted(
    context: &Context,
    topic: Topic,
    why: &SignatureError,
    delivery: &Delivery,
) -> (Disposition, DeliveryOutcome) {
    let others_may = matches!(why, SignatureError::Unsigned | SignatureError::UnknownKey(_));
    if others_may && delivery.deliveries < context.timing.max_failures {
        tracing::warn!(?topic, "requeued a message for other workers: {why}");
        return (Disposition::Requeue(context.timing.retry_delay_max), DeliveryOutcome::Requeued);
    }
    tracing::error!(?topic, "untrusted message, dead-lettered: {why}");
    (dead_letter(context, topic, None, why.to_string(), delivery).await, DeliveryOutcome::BadSignature)
}

async fn dead_letter(
    context: &Context,
    topic: Topic,
    run: Option<RunId>,
    reason: String,
    delivery: &Delivery,
) -> Disposition {
    let queue = format!("{topic:?}").to_ascii_lowercase();
    let letter = DeadLetter { reason, queue, run, at_ms: now_ms(), payload: delivery.payload.to_vec() };
    match dead_letter::publish(&*context.store, letter).await {
        Ok(()) => Disposition::Done,
        Err(e) => {
            tracing::warn!(error = %e, "failed to store a dead letter");
            Disposition::Requeue(context.timing.retry_delay_max)
        }
    }
}

/// Handles a delivery within a span of its own. A batch that only waits has none: it may wait thousands of times for the
/// end of its grace.
async fn attempt<H: Handler>(
    context: &Context,
    handler: &H,
    message: &H::Message,
    delivery: &mut Delivery,
    out_of_reach: &AtomicU32,
) -> (Disposition, DeliveryOutcome) {
    let root = TraceParent::of_run(handler.identity(message).0);
    // What another trace sent belongs to its run nevertheless.
    let sender = delivery.trace.filter(|sender| sender.trace == root.trace).unwrap_or(root);
    let span = context.telemetry.begin_span(sender);
    if let Some(span) = span {
        delivery.trace = Some(span.id);
    }
    let handled = handler.handle(message, delivery).await;
    let error = handled.as_ref().err().map(ToString::to_string);
    let (disposition, outcome) = settled(context, handler, message, delivery, handled, out_of_reach).await;
    let has_waited = H::TOPIC == Topic::Batches && outcome == DeliveryOutcome::Requeued;
    if let Some(span) = span.filter(|_| !has_waited) {
        let (traced, mut attributes) = handler.traced(message);
        let number = AttributeValue::Number(delivery.deliveries.into());
        attributes.push(("keysweep.delivery.number", number));
        context.telemetry.end_span(span, traced, attributes, error);
    }
    (disposition, outcome)
}

/// What follows from an attempt at a message.
async fn settled<H: Handler>(
    context: &Context,
    handler: &H,
    message: &H::Message,
    delivery: &Delivery,
    handled: Result<Disposition, Failure>,
    out_of_reach: &AtomicU32,
) -> (Disposition, DeliveryOutcome) {
    let failure = match handled {
        Ok(disposition) => {
            out_of_reach.store(0, Ordering::Relaxed);
            let done = if disposition == Disposition::Done {
                DeliveryOutcome::Done
            } else {
                DeliveryOutcome::Requeued
            };
            return (disposition, done);
        }
        Err(failure) => failure,
    };
    if let Failure::Records(RecordError::BadSignature { why, .. }) = &failure {
        return untrusted(context, H::TOPIC, why, delivery).await;
    }
    let (run, what) = handler.identity(message);
    if failure.is_ours() {
        tracing::warn!(%run, what, error = %failure, "queue or store failed, will retry");
        return (Disposition::Requeue(context.timing.retry_delay_max), DeliveryOutcome::Requeued);
    }
    if let Failure::Redis(fault) = &failure {
        context.telemetry.failed(handler.redis(message), fault.kind.into());
        if fault.kind.is_transient() {
            out_of_reach.fetch_add(1, Ordering::Relaxed);
        }
    }
    if let Failure::Backup(BackupError::NoTarget(_)) = &failure {
        out_of_reach.fetch_add(1, Ordering::Relaxed);
    }
    let records = context.records(run);
    let failures = match records.count_failure(&what, now_ms()).await {
        Ok(failures) => failures,
        Err(e) => {
            tracing::warn!(error = %e, "failed to count a failure");
            return (Disposition::Requeue(context.timing.retry_delay_max), DeliveryOutcome::Failed);
        }
    };
    let count = failures.count;
    if failure.transient() && !is_enough(context, &records, failures).await {
        tracing::debug!(%run, what, error = %failure, count, "failed, will retry");
        return (Disposition::Requeue(context.timing.pause(count)), DeliveryOutcome::Failed);
    }
    tracing::warn!(%run, what, error = %failure, "giving up after {count} failures, dead-lettered");
    match handler.give_up(message, &failure).await {
        Ok(()) => (
            dead_letter(context, H::TOPIC, Some(run), failure.to_string(), delivery).await,
            DeliveryOutcome::DeadLettered,
        ),
        Err(e) => {
            tracing::warn!(%run, what, error = %e, "failed to give up");
            (Disposition::Requeue(context.timing.retry_delay_max), DeliveryOutcome::Failed)
        }
    }
}

/// Whether to give up after these failures. The limit is lower while the run is stopping.
async fn is_enough(context: &Context, records: &Records, failures: Failures) -> bool {
    let lasted = Duration::from_millis(now_ms().saturating_sub(failures.since_ms));
    let stopping = || async { matches!(records.cancel().await, Ok(Some(_))) };
    failures.count >= context.timing.max_failures
        || lasted >= FAILING_TIME_MAX
        || failures.count >= FAILURES_WHEN_STOPPING && stopping().await
}

#[cfg(test)]
mod tests;
