//! The loop that scanners and reapers share: pull, handle, and answer the queue. Order is an invariant here:
//! a message is acknowledged only after its handler has stored everything that it produced.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::activity::ActivityError;
use crate::backup::BackupError;
use crate::cluster::RedisError;
use crate::context::Context;
use crate::dead_letter::{self, DeadLetter};
use crate::ids::{Alias, RunId};
use crate::limits::{FAILING_TIME_MAX, FAILURES_WHEN_STOPPING};
use crate::queue::{Delivery, QueueError, Topic};
use crate::records::{Failures, RecordError, Records};
use crate::signing::SignatureError;
use crate::telemetry::DeliveryOutcome;
use crate::time::now_ms;
use crate::wire::{self, WireError};

/// How long one pull waits for a message.
const PULL_WAIT: Duration = Duration::from_secs(1);

/// What a handler wants done with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// It is finished.
    Done,
    /// It is not its time yet; no failure.
    Requeue(Duration),
}

/// Why a message could not be handled.
#[derive(Debug, Error)]
pub enum Failure {
    /// A server failed.
    #[error(transparent)]
    Redis(#[from] RedisError),
    /// The records failed.
    #[error(transparent)]
    Records(#[from] RecordError),
    /// The queue failed.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// What is to be deleted could not be saved.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// The message asks for something that cannot be done.
    #[error("{0}")]
    Message(String),
    /// The message asks for something that its run does not allow: nothing of it may be done.
    #[error("{0}")]
    Refused(String),
}

/// Without knowing who is active, nothing may be done.
impl From<ActivityError> for Failure {
    fn from(error: ActivityError) -> Self {
        match error {
            ActivityError::Records(error) => error.into(),
            error => Self::Message(error.to_string()),
        }
    }
}

impl Failure {
    /// Whether trying again may help.
    #[must_use]
    pub fn transient(&self) -> bool {
        match self {
            Self::Redis(fault) => fault.kind.is_transient(),
            // Another worker may have a place; one that could not use its own has tried for long enough.
            Self::Backup(e) => matches!(e, BackupError::NoPlace(_)),
            Self::Records(_) | Self::Queue(_) => true,
            Self::Message(_) | Self::Refused(_) => false,
        }
    }

    /// Whether queue or store failed, which says nothing about the message: it is tried again for as long as it
    /// takes.
    fn is_ours(&self) -> bool {
        matches!(self, Self::Records(RecordError::Store(_)) | Self::Queue(_))
    }
}

/// One stage's way with one kind of message.
pub trait Handler: Send + Sync {
    /// The message.
    type Message: DeserializeOwned + Send + Sync;

    /// The queue it comes from.
    const TOPIC: Topic;

    /// The run of a message, and its identity within the run.
    fn identity(&self, message: &Self::Message) -> (RunId, String);

    /// The deployment that a message is about.
    fn redis<'a>(&self, message: &'a Self::Message) -> &'a Alias;

    /// Does the work, and stores what it produced. Called more than once for the same message.
    fn handle(
        &self,
        message: &Self::Message,
        delivery: &Delivery,
    ) -> impl Future<Output = Result<Disposition, Failure>> + Send;

    /// Ends a message that failed for good: stores the record that says so.
    fn give_up(
        &self,
        message: &Self::Message,
        failure: &Failure,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Ends what a message that cannot be read, for `reason`, is about, as far as it says that. It is put aside once that
    /// is done.
    fn undecodable(
        &self,
        _payload: &[u8],
        _reason: &str,
    ) -> impl Future<Output = Result<Disposition, Failure>> + Send {
        std::future::ready(Ok(Disposition::Done))
    }
}

/// Handles messages, `at_once` at a time, until `shutdown`; then finishes those in hand.
///
/// # Errors
/// When the queue fails for good.
pub async fn run<H: Handler>(
    context: &Context,
    handler: &H,
    at_once: usize,
    shutdown: CancellationToken,
) -> Result<(), QueueError> {
    // Messages in a row whose server could not be reached from here.
    let out_of_reach = AtomicU32::new(0);
    let mut in_hand = FuturesUnordered::new();
    let mut pulling: Option<Pull<'_>> = None;
    loop {
        // Whoever answers in the queue's name may send more than was asked for.
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

/// What the pull under way brings, if there is one. It is not begun anew whenever a message is done: what the
/// queue has sent already would go back there.
async fn pulled(pulling: &mut Option<Pull<'_>>) -> Result<Vec<Delivery>, QueueError> {
    match pulling {
        Some(pulling) => pulling.await,
        None => std::future::pending().await,
    }
}

/// Handles one delivery and answers the queue. An answer that gets lost only means another delivery.
async fn settle<H: Handler>(context: &Context, handler: &H, delivery: Delivery, out_of_reach: &AtomicU32) {
    let (disposition, outcome) = match wire::decode::<H::Message>(&delivery.payload) {
        _ if let Err(why) = &delivery.trust => untrusted(context, H::TOPIC, why, &delivery).await,
        Ok(message) => attempt(context, handler, &message, &delivery, out_of_reach).await,
        Err(e) => (undecodable(context, handler, &e, &delivery).await, DeliveryOutcome::Undecodable),
    };
    context.telemetry.delivered(H::TOPIC, outcome, delivery.deliveries);
    let answered = match disposition {
        Disposition::Done => delivery.handle.ack().await,
        Disposition::Requeue(delay) => delivery.handle.nak(delay).await,
    };
    if let Err(e) = answered {
        tracing::warn!(error = %e, "failed to answer the queue");
    }
    // A worker that reaches nothing leaves the messages to those who do.
    match out_of_reach.load(Ordering::Relaxed) {
        0 => {}
        count => sleep(context.timing.pause(count)).await,
    }
}

/// Ends a message that cannot be read, or leaves it to a worker of another version for a while.
async fn undecodable<H: Handler>(
    context: &Context,
    handler: &H,
    error: &WireError,
    delivery: &Delivery,
) -> Disposition {
    let (topic, reason) = (H::TOPIC, error.to_string());
    if matches!(error, WireError::Format(_)) && delivery.deliveries < context.timing.max_failures {
        tracing::warn!(?topic, %error, "left a message to workers of another version");
        return Disposition::Requeue(context.timing.retry_delay_max);
    }
    match handler.undecodable(&delivery.payload, &reason).await {
        Ok(Disposition::Done) => {
            tracing::error!(?topic, %error, "put a message aside that cannot be read");
            dead_letter(context, topic, None, reason, delivery).await
        }
        Ok(later) => later,
        Err(e) => {
            tracing::warn!(?topic, error = %e, "failed to end what cannot be read");
            Disposition::Requeue(context.timing.retry_delay_max)
        }
    }
}

/// Leaves what is not believed here to workers who may know its key for a while, and then puts it aside. Nothing of it is
/// done.
async fn untrusted(
    context: &Context,
    topic: Topic,
    why: &SignatureError,
    delivery: &Delivery,
) -> (Disposition, DeliveryOutcome) {
    let others_may = matches!(why, SignatureError::Unsigned | SignatureError::UnknownKey(_));
    if others_may && delivery.deliveries < context.timing.max_failures {
        tracing::warn!(?topic, "left a message to others: {why}");
        return (Disposition::Requeue(context.timing.retry_delay_max), DeliveryOutcome::Requeued);
    }
    tracing::error!(?topic, "put a message aside that is not believed: {why}");
    (dead_letter(context, topic, None, why.to_string(), delivery).await, DeliveryOutcome::Undecodable)
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
            tracing::warn!(error = %e, "failed to keep a dead letter");
            Disposition::Requeue(context.timing.retry_delay_max)
        }
    }
}

async fn attempt<H: Handler>(
    context: &Context,
    handler: &H,
    message: &H::Message,
    delivery: &Delivery,
    out_of_reach: &AtomicU32,
) -> (Disposition, DeliveryOutcome) {
    let failure = match handler.handle(message, delivery).await {
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
        tracing::warn!(%run, what, error = %failure, "queue or store failed, will be tried again");
        return (Disposition::Requeue(context.timing.retry_delay_max), DeliveryOutcome::Requeued);
    }
    if let Failure::Redis(fault) = &failure {
        context.telemetry.failed(handler.redis(message), fault);
        if fault.kind.is_transient() {
            out_of_reach.fetch_add(1, Ordering::Relaxed);
        }
    }
    if let Failure::Backup(BackupError::NoPlace(_)) = &failure {
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
        tracing::debug!(%run, what, error = %failure, count, "failed, will be tried again");
        return (Disposition::Requeue(context.timing.pause(count)), DeliveryOutcome::Failed);
    }
    tracing::warn!(%run, what, error = %failure, count, "given up");
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

/// Whether something failed often or long enough to be given up: nobody waits for a run that is to stop.
async fn is_enough(context: &Context, records: &Records, failures: Failures) -> bool {
    let lasted = Duration::from_millis(now_ms().saturating_sub(failures.since_ms));
    let stopping = || async { matches!(records.cancel().await, Ok(Some(_))) };
    failures.count >= context.timing.max_failures
        || lasted >= FAILING_TIME_MAX
        || failures.count >= FAILURES_WHEN_STOPPING && stopping().await
}
