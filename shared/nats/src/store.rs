//! The store over JetStream: one message per key. Create and update carry the expected sequence of the key, so the
//! server rejects the slower of two writers. Reads need no consumer: they request the next message of a prefix after a
//! sequence, and any message below the prefix wakes waiting watches. So nothing must be recreated when a server
//! restarts.

use std::time::Duration;

use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::message::{PublishMessage, StreamMessage};
use async_nats::jetstream::stream::{DirectGetErrorKind, LastRawMessageErrorKind, Stream};
use async_nats::{HeaderValue, Subscriber};
use futures_util::StreamExt;
use futures_util::future::FutureExt;
use keysweep_signing::SignatureError;
use keysweep_storage::events::EVENTS;
use keysweep_storage::records::is_order;
use keysweep_storage::store::{Created, Entry, Store, StoreError, StoreFuture, Watch};
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use super::connect::{Nats, chain};
use super::signatures::{self, ReadPath, SIGNATURE};
use crate::limits::STORE_RETRY_TIMEOUT;

/// Identifies the attempt that wrote a message. If the reply to a write is lost, the header shows whether the stored
/// message is its own.
const WRITER: &str = "Keysweep-Writer";

/// The first and the longest pause of a waiting watch.
const CHECK_EVERY: Duration = Duration::from_millis(4);
const CHECK_EVERY_MAX: Duration = Duration::from_millis(250);

/// The longest pause in an account that imports JetStream: there, messages of other importing accounts wake no watch
/// (a message that came through a service import takes part in no stream import; seen with nats-server 2.9, 2.10 and
/// 2.15).
const CHECK_EVERY_IMPORTED: Duration = Duration::from_millis(40);

/// The first and the longest delay after a request without reply.
const RETRY: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(1);

/// After how long to log that the server does not reply.
const LOG_AFTER: Duration = Duration::from_secs(10);

/// Entries in JetStream.
#[derive(Clone)]
pub struct NatsStore {
    nats: Nats,
    timeout: Duration,
}

/// The result of a conditional write.
enum Put {
    Done(u64),
    /// The key is not at the expected sequence.
    Refused,
}

impl NatsStore {
    /// The store of the connection `nats`. A request without reply is retried for two minutes at most.
    #[must_use]
    pub fn new(nats: Nats) -> Self {
        Self { nats, timeout: STORE_RETRY_TIMEOUT }
    }

    async fn place(&self, key: &str) -> Result<(Stream<()>, String), StoreError> {
        let (stream, subject) =
            self.nats.layout.place(key).ok_or_else(|| StoreError(format!("`{key}` belongs to no bucket")))?;
        let stream = self
            .nats
            .js
            .get_stream_no_info(&stream)
            .await
            .map_err(|e| StoreError(format!("`{stream}`: {e}")))?;
        Ok((stream, subject))
    }

    /// Writes `key` if it is at the sequence `expected`; 0: if it does not exist.
    async fn put(&self, key: &str, value: Vec<u8>, expected: u64) -> Result<Put, StoreError> {
        let (stream, subject) = self.place(key).await?;
        let signature = self.signature(key, &value)?;
        let (writer, value) = (Uuid::now_v7().to_string(), bytes::Bytes::from(value));
        let ours =
            |stored: &StreamMessage| stored.headers.get(WRITER).is_some_and(|name| name.as_str() == writer);
        let mut retry = self.retry(&subject);
        loop {
            let message = PublishMessage::build()
                .payload(value.clone())
                .expected_last_subject_sequence(expected)
                .header(WRITER, writer.as_str());
            let message = match &signature {
                Some(signature) => message.header(SIGNATURE, signature.as_str()),
                None => message,
            };
            let answered = match self.nats.js.send_publish(subject.clone(), message).await {
                Ok(answer) => answer.await,
                Err(e) => Err(e),
            };
            match answered {
                Ok(ack) => return Ok(Put::Done(ack.sequence)),
                Err(e) if e.kind() == PublishErrorKind::WrongLastSequence => {
                    let stored = leader_get(&stream, &subject, &mut retry).await?;
                    return Ok(stored.filter(ours).map_or(Put::Refused, |stored| Put::Done(stored.sequence)));
                }
                Err(e) if e.kind() == PublishErrorKind::MaxPayloadExceeded => {
                    return Err(StoreError(chain(&e)));
                }
                Err(e) => {
                    retry.pause(&chain(&e)).await?;
                    // Perhaps only the reply was lost.
                    let stored = leader_get(&stream, &subject, &mut retry).await?;
                    if let Some(stored) = stored.filter(ours) {
                        return Ok(Put::Done(stored.sequence));
                    }
                }
            }
        }
    }

    /// The signature of an order, if there is a signing key.
    fn signature(&self, key: &str, value: &[u8]) -> Result<Option<String>, StoreError> {
        if !is_order(key) {
            return Ok(None);
        }
        signatures::signature(&self.nats.authority, key, value).map_err(StoreError)
    }

    /// The latest message of exactly this key, from the stream's leader.
    async fn latest(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        let (stream, subject) = self.place(key).await?;
        let mut retry = self.retry(&subject);
        let message = leader_get(&stream, &subject, &mut retry).await?;
        Ok(message.map(|message| self.entry(message, ReadPath::Stored)))
    }

    /// Whether `entry`, whose signature is not accepted, may be overwritten.
    fn may_be_overwritten(&self, entry: &Entry) -> bool {
        entry.trust.is_err() && (!is_order(&entry.key) || self.nats.authority.signing.is_some())
    }

    /// The retry policy of requests about `subject`.
    fn retry(&self, subject: &str) -> StoreRetry<'_> {
        let (nats, since, patience) = (&self.nats, Instant::now(), self.timeout);
        let stream = nats.layout.stream_of(&nats.layout.key(subject));
        let words = stream.into_iter().chain([subject.to_owned()]).collect();
        StoreRetry { nats, since, patience, pause: RETRY, logged: false, words }
    }

    fn entry(&self, message: StreamMessage, read: ReadPath) -> Entry {
        let key = self.nats.layout.key(&message.subject);
        let signature = message.headers.get(SIGNATURE).map(HeaderValue::as_str);
        let trust = match is_order(&key) {
            _ if signatures::is_redirected(&message.headers, read) => Err(SignatureError::Redirected),
            true => self.nats.authority.check(&key, &message.payload, signature),
            false => Ok(()),
        };
        Entry { key, value: message.payload.into(), revision: message.sequence, trust }
    }

    /// A message as an entry. One that JetStream put there, and that is no order, is ignored.
    fn verified(&self, message: StreamMessage) -> Option<Entry> {
        let entry = self.entry(message, ReadPath::Direct);
        let kept = entry.trust.is_ok() || is_order(&entry.key);
        if !kept {
            tracing::debug!(key = entry.key, "untrusted entry: {}", SignatureError::Redirected);
        }
        kept.then_some(entry)
    }

    async fn next_of(
        &self,
        stream: &Stream<()>,
        all: &str,
        mut after: u64,
        patience: Duration,
    ) -> Result<Option<Entry>, StoreError> {
        let mut retry = StoreRetry { patience, ..self.retry(all) };
        loop {
            match stream.direct_get_next_for_subject(all, Some(after + 1)).await {
                Ok(message) => {
                    after = message.sequence;
                    if let Some(entry) = self.verified(message) {
                        return Ok(Some(entry));
                    }
                }
                Err(e) if e.kind() == DirectGetErrorKind::NotFound => return Ok(None),
                Err(e) => retry.pause(&chain(&e)).await?,
            }
        }
    }
}

async fn leader_get(
    stream: &Stream<()>,
    subject: &str,
    retry: &mut StoreRetry<'_>,
) -> Result<Option<StreamMessage>, StoreError> {
    loop {
        match stream.get_last_raw_message_by_subject(subject).await {
            Ok(message) => return Ok(Some(message)),
            Err(e) if e.kind() == LastRawMessageErrorKind::NoMessageFound => return Ok(None),
            Err(e) => retry.pause(&chain(&e)).await?,
        }
    }
}

impl Store for NatsStore {
    fn create(&self, key: &str, value: Vec<u8>) -> StoreFuture<'_, Created> {
        let key = key.to_owned();
        async move {
            // A publish reaches the subscribers of the subject even if the stream rejects it. If there is no reply,
            // the next steps report the reason or retry.
            if key.starts_with(EVENTS) {
                let (stream, subject) = self.place(&key).await?;
                if let Ok(message) = stream.get_last_raw_message_by_subject(&subject).await {
                    let entry = self.entry(message, ReadPath::Stored);
                    if entry.trust.is_ok() {
                        return Ok(Created::Before(entry));
                    }
                }
            }
            loop {
                if let Put::Done(revision) = self.put(&key, value.clone(), 0).await? {
                    return Ok(Created::Now(revision));
                }
                // The entry may have expired between the two replies. Then it can be created after all.
                let Some(entry) = self.latest(&key).await? else { continue };
                if !self.may_be_overwritten(&entry) {
                    return Ok(Created::Before(entry));
                }
                if let Put::Done(revision) = self.put(&key, value.clone(), entry.revision).await? {
                    return Ok(Created::Now(revision));
                }
            }
        }
        .boxed()
    }

    fn get(&self, key: &str) -> StoreFuture<'_, Option<Entry>> {
        let key = key.to_owned();
        async move {
            let (stream, subject) = self.place(&key).await?;
            let mut retry = self.retry(&subject);
            loop {
                match stream.direct_get_last_for_subject(subject.clone()).await {
                    Ok(message) => return Ok(self.verified(message)),
                    // A follower may not have it yet. Since absence matters, the leader is queried.
                    Err(e)
                        if e.kind() == DirectGetErrorKind::NotFound
                            && self.nats.layout.access.replicas > 1 =>
                    {
                        return self.latest(&key).await;
                    }
                    Err(e) if e.kind() == DirectGetErrorKind::NotFound => return Ok(None),
                    Err(e) => retry.pause(&chain(&e)).await?,
                }
            }
        }
        .boxed()
    }

    fn update(&self, key: &str, value: Vec<u8>, revision: u64) -> StoreFuture<'_, Option<u64>> {
        let key = key.to_owned();
        async move {
            Ok(match self.put(&key, value, revision).await? {
                Put::Done(revision) => Some(revision),
                Put::Refused => None,
            })
        }
        .boxed()
    }

    fn next_after(&self, prefix: &str, revision: u64) -> StoreFuture<'_, Option<Entry>> {
        let prefix = prefix.to_owned();
        async move {
            let (stream, all) = self.place(&prefix).await?;
            self.next_of(&stream, &format!("{all}>"), revision, self.timeout).await
        }
        .boxed()
    }

    fn watch(&self, prefix: &str) -> StoreFuture<'_, Box<dyn Watch>> {
        let prefix = prefix.to_owned();
        async move {
            let (stream, all) = self.place(&prefix).await?;
            let all = format!("{all}>");
            let subscribed = self.nats.client.subscribe(all.clone()).await;
            let hints = subscribed.map_err(|e| StoreError(self.nats.explain(chain(&e))))?;
            let watch = NatsWatch {
                store: self.clone(),
                stream,
                all,
                seen: 0,
                hints: Some(hints),
                pause: CHECK_EVERY,
            };
            Ok(Box::new(watch) as Box<dyn Watch>)
        }
        .boxed()
    }
}

struct NatsWatch {
    store: NatsStore,
    stream: Stream<()>,
    all: String,
    seen: u64,
    /// Messages below the prefix, stored or not: only a hint to check. `None` once the subscription ended.
    hints: Option<Subscriber>,
    pause: Duration,
}

impl NatsWatch {
    /// Waits for a hint, or until the next regular check.
    async fn hint(&mut self) {
        let hinted = match &mut self.hints {
            Some(hints) => timeout(self.pause, hints.next()).await,
            None => {
                sleep(self.pause).await;
                return;
            }
        };
        match hinted {
            Ok(Some(_)) => {
                self.pause = CHECK_EVERY;
                // Several pending hints cause one check.
                while let Some(Some(Some(_))) = self.hints.as_mut().map(|hints| hints.next().now_or_never()) {
                }
            }
            Ok(None) => self.hints = None,
            Err(_) => {
                let longest = if self.store.nats.imported { CHECK_EVERY_IMPORTED } else { CHECK_EVERY_MAX };
                self.pause = (self.pause * 2).min(longest);
            }
        }
    }
}

impl Watch for NatsWatch {
    fn next(&mut self) -> StoreFuture<'_, Entry> {
        async move {
            loop {
                // A watch has nothing to do but wait, so it outlasts any outage of the server.
                let next = self.store.next_of(&self.stream, &self.all, self.seen, Duration::MAX);
                if let Some(entry) = next.await? {
                    self.seen = entry.revision;
                    self.pause = CHECK_EVERY;
                    return Ok(entry);
                }
                self.hint().await;
            }
        }
        .boxed()
    }
}

/// Retries requests to a server that does not reply.
struct StoreRetry<'a> {
    nats: &'a Nats,
    since: Instant,
    patience: Duration,
    pause: Duration,
    logged: bool,
    /// The stream and the subject, to recognize a missing permission.
    words: Vec<String>,
}

impl StoreRetry<'_> {
    /// Waits, or fails with `cause`: when the time is over, or at once if a permission is missing.
    async fn pause(&mut self, cause: &str) -> Result<(), StoreError> {
        let waited = self.since.elapsed();
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        if waited >= self.patience || self.nats.refusal(self.since, &words).is_some() {
            return Err(StoreError(self.nats.explain(cause)));
        }
        if waited > LOG_AFTER && !self.logged {
            tracing::warn!(cause = self.nats.explain(cause), "the store does not reply, will keep retrying");
            self.logged = true;
        }
        sleep(self.pause).await;
        self.pause = (self.pause * 2).min(RETRY_MAX);
        Ok(())
    }
}
