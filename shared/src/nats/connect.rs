//! The connection to NATS: made once per process, and kept by the client through restarts of the server.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream::{self, Context};
use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event};
use thiserror::Error;
use tokio::time::{Instant, sleep};

use super::access::{Login, NatsAccess};
use super::layout::Layout;
use crate::limits::TASK_QUEUE_BYTES;

/// How long JetStream may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// The pause between two attempts to reach a server.
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
    /// The login was refused, or its files cannot be used.
    #[error(
        "failed to log in to NATS at `{urls}`: {cause}; check the login (`--nats-creds`, `--nats-nkey`, `--nats-user`, `NATS_TOKEN`) and the certificates"
    )]
    Refused {
        /// The seeds, without secrets.
        urls: String,
        /// What happened.
        cause: String,
    },
    /// JetStream is off, or not for this account.
    #[error(
        "NATS at `{0}` has no JetStream for this account; start the server with `-js`, or enable it for the account"
    )]
    NoJetStream(String),
    /// A stream or consumer is not as we need it.
    #[error("{0}")]
    Layout(String),
    /// Something was not answered, or refused.
    #[error("failed to {what}: {cause}")]
    Request {
        /// What was asked for.
        what: String,
        /// What the server said, if anything.
        cause: String,
    },
}

/// A connection to NATS, and the names of what we keep there. Clones share it.
#[derive(Clone)]
pub struct Nats {
    pub(super) client: Client,
    pub(super) js: Context,
    pub(super) layout: Arc<Layout>,
    pub(super) urls: Arc<str>,
    /// The last thing that the server complained about, such as a missing right: a refused request is not
    /// answered at all, so this says why.
    complaint: Arc<Mutex<Option<String>>>,
}

impl Nats {
    /// Connects as `name`. Tries for `patience`; for ever if there is none, and says that it waits.
    ///
    /// # Errors
    /// When no server answered in time, or the login is refused.
    pub async fn connect(
        access: &NatsAccess,
        name: &str,
        patience: Option<Duration>,
    ) -> Result<Self, NatsError> {
        let urls = &access.urls;
        let shown = urls.join(", ");
        let until = patience.map(|patience| Instant::now() + patience);
        let mut told = false;
        loop {
            let complaint = Arc::default();
            let options = options(access, name, &shown, Arc::clone(&complaint)).await?;
            match options.connect(urls.clone()).await {
                Ok(client) => {
                    if told {
                        tracing::info!("connected to NATS at {shown}");
                    }
                    let js = context(&client, access.domain.as_deref());
                    let layout = Arc::new(Layout::new(access));
                    return Ok(Self { client, js, layout, urls: shown.into(), complaint });
                }
                Err(e) => {
                    let cause = chain(&e);
                    let refused = matches!(
                        e.kind(),
                        ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation
                    );
                    if refused {
                        return Err(NatsError::Refused { urls: shown, cause });
                    }
                    if until.is_some_and(|until| Instant::now() >= until) {
                        return Err(NatsError::Unreachable { urls: shown, cause });
                    }
                    if !told {
                        tracing::warn!("waiting for NATS at {shown}: {cause}");
                        told = true;
                    }
                    sleep(RETRY).await;
                }
            }
        }
    }

    /// Whether the connection stands.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// Scan tasks whose batches fit the queue together.
    pub(crate) fn tasks_at_once_max(&self) -> usize {
        let bytes = usize::try_from(self.layout.queue_bytes()).unwrap_or(usize::MAX);
        (bytes / TASK_QUEUE_BYTES).max(1)
    }

    /// The seeds, for people.
    #[must_use]
    pub fn urls(&self) -> &str {
        &self.urls
    }

    /// Sends what is still to be sent, and closes the connection.
    pub async fn close(&self) {
        // Nobody waits for what could not be sent: the server will deliver again.
        let _ = tokio::time::timeout(ANSWER_TIMEOUT, async {
            let _ = self.client.flush().await;
            let _ = self.client.drain().await;
        })
        .await;
    }

    /// What the server last complained about, to be told with a request that was not answered.
    pub(super) fn explain(&self, cause: impl std::fmt::Display) -> String {
        let complaint = self.complaint.lock().unwrap_or_else(PoisonError::into_inner);
        match &*complaint {
            Some(complaint) => format!("{cause} (the server said: {complaint})"),
            None => cause.to_string(),
        }
    }
}

fn context(client: &Client, domain: Option<&str>) -> Context {
    let builder =
        jetstream::context::ContextBuilder::new().timeout(ANSWER_TIMEOUT).ack_timeout(ANSWER_TIMEOUT);
    match domain {
        Some(domain) => builder.domain(domain).build(client.clone()),
        None => builder.build(client.clone()),
    }
}

async fn options(
    access: &NatsAccess,
    name: &str,
    shown: &str,
    complaint: Arc<Mutex<Option<String>>>,
) -> Result<ConnectOptions, NatsError> {
    let unusable = |path: &Path, e: std::io::Error| NatsError::Refused {
        urls: shown.to_owned(),
        cause: format!("cannot use `{}`: {e}", path.display()),
    };
    let options = ConnectOptions::new()
        .name(name)
        .request_timeout(Some(ANSWER_TIMEOUT))
        .reconnect_delay_callback(|attempts| {
            let step = u32::try_from(attempts.min(20)).unwrap_or(20);
            Duration::from_millis(50) * step
        })
        .event_callback(move |event| {
            let complaint = Arc::clone(&complaint);
            async move { heard(&event, &complaint) }
        });
    let options = match &access.login {
        Login::Open => options,
        Login::Password(user, password) => {
            options.user_and_password(user.clone(), password.expose().to_owned())
        }
        Login::Token(token) => options.token(token.expose().to_owned()),
        Login::Creds(path) => options.credentials_file(path).await.map_err(|e| unusable(path, e))?,
        Login::Nkey(path) => {
            let seed = tokio::fs::read_to_string(path).await.map_err(|e| unusable(path, e))?;
            options.nkey(seed.trim().to_owned())
        }
    };
    let options = match &access.ca {
        Some(ca) => options
            .add_root_certificates(readable(ca).map_err(|e| unusable(ca, e))?.to_owned())
            .require_tls(true),
        None => options,
    };
    Ok(match &access.identity {
        Some((cert, key)) => {
            readable(cert).map_err(|e| unusable(cert, e))?;
            readable(key).map_err(|e| unusable(key, e))?;
            options.add_client_certificate(cert.clone(), key.clone()).require_tls(true)
        }
        None => options,
    })
}

/// The client names no file that it cannot read, so we look first.
fn readable(path: &Path) -> std::io::Result<&Path> {
    std::fs::File::open(path).map(|_| path)
}

fn heard(event: &Event, complaint: &Mutex<Option<String>>) {
    match event {
        Event::ServerError(error) => {
            let text = error.to_string();
            tracing::warn!(error = text, "NATS complains");
            *complaint.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
        }
        Event::Disconnected => tracing::warn!("the connection to NATS is lost; it will be made again"),
        Event::Connected => tracing::debug!("connected to NATS"),
        other => tracing::debug!("NATS: {other}"),
    }
}

/// An error with its sources.
pub(super) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        source = inner.source();
    }
    text
}
