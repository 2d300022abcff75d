//! The connection to NATS: created once per process; the client reconnects when the server restarts.

use std::error::Error as _;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream::Context;
use async_nats::{Client, ClientError, ConnectError, ConnectErrorKind, Event, rustls};
use keysweep_signing::{Authority, KeyError};
use keysweep_storage::queue::Topic;
use thiserror::Error;
use tokio::time::{Instant, sleep};

use super::access::NatsOptions;
use super::imported;
use super::layout::Layout;
use super::login::settled;
use crate::limits::TASK_QUEUE_BYTES;

/// The timeout of JetStream requests.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a server error is kept, to explain failed requests.
const COMPLAINT_KEPT: Duration = Duration::from_secs(10);

/// The delay between two connection attempts.
const RETRY: Duration = Duration::from_millis(500);

/// Why NATS cannot be used.
#[derive(Debug, Error)]
pub enum NatsError {
    /// No server answers.
    #[error(
        "failed to reach NATS at `{urls}`: {cause}; check `--nats` or `NATS_URL`, and that the server is running"
    )]
    Unreachable {
        /// The seeds, without secrets.
        urls: String,
        /// What happened.
        cause: String,
    },
    /// The server rejects the login, or its files cannot be used.
    #[error(
        "failed to log in to NATS at `{urls}`: {cause}; check the login (`--nats-creds`, `--nats-nkey`, `--nats-user`, `NATS_TOKEN`) and the certificates"
    )]
    Refused {
        /// The seeds, without secrets.
        urls: String,
        /// What happened.
        cause: String,
    },
    /// The TLS handshake failed, or one side does not trust the other.
    #[error(
        "the TLS handshake with NATS at `{urls}` failed: {cause}; check `--nats-ca`, `--nats-cert` and `--nats-key`, and whether the server speaks TLS"
    )]
    Tls {
        /// The seeds, without secrets.
        urls: String,
        /// What happened.
        cause: String,
    },
    /// JetStream is disabled, or not enabled for this account.
    #[error(
        "NATS at `{0}` has no JetStream for this account; start the server with `-js`, or enable it for the account"
    )]
    NoJetStream(String),
    /// The JetStream domain does not exist.
    #[error(
        "NATS at `{urls}` reaches no JetStream domain `{domain}`; check `--nats-domain`, or leave it out where the server has none"
    )]
    NoDomain {
        /// The seeds, without secrets.
        urls: String,
        /// The domain.
        domain: String,
    },
    /// A stream or consumer does not have the required configuration.
    #[error("{0}")]
    Layout(String),
    /// The signing key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A request failed or timed out.
    #[error("failed to {what}: {cause}")]
    Request {
        /// The request.
        what: String,
        /// The error of the server, if any.
        cause: String,
    },
}

impl NatsError {
    /// Whether a retry may succeed, such as while a server starts. A missing permission is permanent.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::NoJetStream(_) => true,
            Self::Request { cause, .. } => !cause.contains("Permissions Violation"),
            _ => false,
        }
    }
}

/// A connection to NATS, and the names of the streams. Clones share it.
#[derive(Clone)]
pub struct Nats {
    pub(super) client: Client,
    pub(super) js: Context,
    pub(super) layout: Arc<Layout>,
    pub(super) urls: Arc<str>,
    /// The keys whose orders are accepted.
    pub(super) authority: Arc<Authority>,
    /// Whether JetStream is imported from another account.
    pub(super) imported: bool,
    /// The server's last asynchronous error, such as a missing permission. A request without permission gets no reply,
    /// so this explains its timeout.
    complaint: Complaint,
}

/// The server's last asynchronous error, and when it arrived.
pub(super) type Complaint = Arc<Mutex<Option<(Instant, String)>>>;

impl Nats {
    /// Connects as `name`. Retries for `patience`; forever without it, and logs that it waits.
    ///
    /// # Errors
    /// When no server is reachable in time, or the login is rejected.
    pub async fn connect(
        access: &NatsOptions,
        name: &str,
        patience: Option<Duration>,
    ) -> Result<Self, NatsError> {
        let urls = &access.urls;
        let shown = urls.join(", ");
        let until = patience.map(|patience| Instant::now() + patience);
        let mut logged = false;
        let authority = Arc::new(access.authority()?);
        loop {
            let complaint = Complaint::default();
            let options = settled(access, name, &shown, Arc::clone(&complaint)).await?;
            match options.connect(urls.clone()).await {
                Ok(client) => {
                    if logged {
                        tracing::info!("connected to NATS at {shown}");
                    }
                    let layout = Arc::new(Layout::new(access));
                    let (js, imported) =
                        imported::context(&client, access, &layout.queue_stream(Topic::Tasks)).await;
                    let urls = shown.into();
                    return Ok(Self { client, js, layout, urls, authority, imported, complaint });
                }
                Err(e) => {
                    let cause = chain(&e);
                    if let Some(permanent) = permanent(&e, &shown, &cause) {
                        return Err(permanent);
                    }
                    if until.is_some_and(|until| Instant::now() >= until) {
                        return Err(NatsError::Unreachable { urls: shown, cause });
                    }
                    if !logged {
                        tracing::warn!("waiting for NATS at {shown}: {cause}");
                        logged = true;
                    }
                    sleep(RETRY).await;
                }
            }
        }
    }

    /// Whether the client is connected.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// How often the connection was made.
    #[must_use]
    pub fn connects(&self) -> u64 {
        self.client.statistics().connects.load(Ordering::Relaxed)
    }

    /// The number of scan tasks whose batches fit into the queue together, with room for the remains of aborted
    /// attempts.
    pub fn max_inflight_tasks(&self) -> usize {
        let bytes = usize::try_from(self.layout.access.queue_bytes).unwrap_or(usize::MAX);
        (bytes / 4 * 3 / TASK_QUEUE_BYTES).max(1)
    }

    /// The seeds, for people.
    #[must_use]
    pub fn urls(&self) -> &str {
        &self.urls
    }

    /// Flushes pending messages, and closes the connection.
    pub async fn close(&self) {
        // Messages that could not be sent are lost without harm: the server redelivers.
        let _ = tokio::time::timeout(ANSWER_TIMEOUT, async {
            let _ = self.client.flush().await;
            let _ = self.client.drain().await;
        })
        .await;
    }

    /// The error for a JetStream that does not reply.
    pub(super) fn no_jetstream(&self) -> NatsError {
        let urls = self.urls.to_string();
        match &self.layout.access.domain {
            Some(domain) => NatsError::NoDomain { urls, domain: domain.to_owned() },
            None => NatsError::NoJetStream(urls),
        }
    }

    /// `cause`, with the server's last error if it is recent.
    pub(super) fn explain(&self, cause: impl std::fmt::Display) -> String {
        match self.complaint(|at| at.elapsed() < COMPLAINT_KEPT) {
            Some(complaint) => format!("{cause} (NATS reported: {complaint})"),
            None => cause.to_string(),
        }
    }

    /// The permission that the server denied since `began` for a subject that contains one of `words`. A retry is then
    /// useless.
    pub(super) fn refusal(&self, began: Instant, words: &[&str]) -> Option<String> {
        let complaint = self.complaint(|at| at >= began)?;
        let refused = complaint.to_ascii_lowercase().contains("permissions violation");
        (refused && words.iter().any(|word| complaint.contains(word))).then_some(complaint)
    }

    /// Whether the server's last error is a missing permission to publish or subscribe to `subject`.
    pub(super) fn has_refused(&self, subject: &str) -> bool {
        self.complaint(|_| true).is_some_and(|complaint| complaint.contains(subject))
    }

    fn complaint(&self, when: impl Fn(Instant) -> bool) -> Option<String> {
        let complaint = self.complaint.lock().unwrap_or_else(PoisonError::into_inner);
        complaint.as_ref().filter(|(at, _)| when(*at)).map(|(_, text)| text.clone())
    }
}

/// The error if a retry is useless; `None` if it may succeed.
fn permanent(e: &ConnectError, urls: &str, cause: &str) -> Option<NatsError> {
    let (urls, cause) = (urls.to_owned(), cause.to_owned());
    let io = e.source().and_then(|source| source.downcast_ref::<std::io::Error>());
    let of_tls = io.and_then(std::io::Error::get_ref).is_some_and(|inner| inner.is::<rustls::Error>());
    match e.kind() {
        ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => {
            Some(NatsError::Refused { urls, cause })
        }
        ConnectErrorKind::Tls => Some(NatsError::Tls { urls, cause }),
        _ if of_tls => Some(NatsError::Tls { urls, cause }),
        _ => None,
    }
}

/// Logs connection events, and keeps the server's errors.
pub(super) fn observe(event: &Event, complaint: &Complaint) {
    match event {
        Event::ServerError(error) => {
            let text = error.to_string();
            tracing::warn!(error = text, "NATS reported an error");
            *complaint.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), text));
        }
        Event::ClientError(ClientError::Other(text)) if text.contains("authorization") => {
            tracing::warn!(error = text, "NATS rejected the login; will retry");
        }
        Event::Disconnected => tracing::warn!("the connection to NATS is lost; reconnecting"),
        Event::Connected => tracing::debug!("connected to NATS"),
        other => tracing::debug!("NATS: {other}"),
    }
}

/// An error with its sources, without repetitions.
pub(super) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        if !text.contains(inner_text.trim_start_matches("nats: ")) {
            text = format!("{text}: {inner_text}");
        }
        source = inner.source();
    }
    text
}
