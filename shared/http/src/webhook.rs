//! Posts notifications to webhooks. A failed post is retried a few times where that may help, with the same event id,
//! so that a receiver can detect duplicates.

use std::time::Duration;

use keysweep_model::secret::Secret;
use keysweep_model::time::{self, now_ms};
use keysweep_storage::alerts::AlertNotification;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Response, Url};
use tokio::time::sleep;

use super::client::{WebClient, address, display_url, send};
use super::error::{WebError, WebErrorKind};
use super::notification::{cloud_event, signature, slack};

/// Names the event.
pub const EVENT_HEADER: &str = "X-Keysweep-Event";
/// When the post was made, in seconds since the epoch.
pub const TIMESTAMP_HEADER: &str = "X-Keysweep-Timestamp";
/// Authenticates the sender; see [`signature`].
pub const SIGNATURE_HEADER: &str = "X-Keysweep-Signature";

/// The operation, for errors.
const WHAT: &str = "post to";

/// A receiver of notifications.
#[derive(Clone, Debug)]
pub enum Webhook {
    /// Receives a CloudEvent, signed if there is a secret.
    Generic {
        /// The address.
        url: Secret,
        /// The key that signs it.
        secret: Option<Secret>,
    },
    /// Receives a Slack message.
    Slack {
        /// The address.
        url: Secret,
    },
}

impl Webhook {
    /// The part of its URL that may be shown.
    #[must_use]
    pub fn display_url(&self) -> String {
        display_url(self.url())
    }

    /// The name of its kind.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Generic { .. } => "generic",
            Self::Slack { .. } => "slack",
        }
    }

    fn url(&self) -> &Secret {
        let (Self::Generic { url, .. } | Self::Slack { url }) = self;
        url
    }
}

/// Posts a notification; returns when the receiver confirmed it with a status of 2xx.
///
/// # Errors
/// If it did not, after a few tries. None takes longer than [`RetryPolicy`](super::RetryPolicy) permits.
pub async fn post(client: &WebClient, hook: &Webhook, notice: &AlertNotification) -> Result<(), WebError> {
    let url = address(hook.url(), WHAT)?;
    let patience = &client.retry_policy;
    let mut pause = patience.pause;
    let mut tries = 1;
    loop {
        let (kind, asked) = match attempt(client, &url, hook, notice).await {
            Ok(response) if response.status().is_success() => return Ok(()),
            Ok(response) => (
                WebErrorKind::Status { code: response.status().as_u16(), said: None },
                retry_after(&response),
            ),
            Err(kind) => (kind, None),
        };
        if tries >= patience.tries || !kind.may_pass() {
            return Err(WebError { kind, what: WHAT, target: hook.display_url() });
        }
        tracing::debug!(target = hook.display_url(), error = %kind, tries, "retrying a post to a webhook");
        sleep(asked.unwrap_or(pause).min(patience.pause_max)).await;
        (tries, pause) = (tries + 1, pause * 2);
    }
}

async fn attempt(
    client: &WebClient,
    url: &Url,
    hook: &Webhook,
    notice: &AlertNotification,
) -> Result<Response, WebErrorKind> {
    let request = client.client.post(url.clone()).header(EVENT_HEADER, notice.id());
    let request = match hook {
        Webhook::Generic { secret, .. } => {
            let (body, timestamp) = (cloud_event(notice).to_string(), now_ms() / 1_000);
            let signature = secret.as_ref().map(|secret| signature(secret, timestamp, body.as_bytes()));
            let request = request
                .header(CONTENT_TYPE, "application/cloudevents+json")
                .header(TIMESTAMP_HEADER, timestamp.to_string());
            let request = match signature {
                Some(signature) => request.header(SIGNATURE_HEADER, signature),
                None => request,
            };
            request.body(body)
        }
        Webhook::Slack { .. } => request.json(&slack(notice)),
    };
    send(request, &client.retry_policy).await
}

/// The pause that the server requests, in seconds or as a date.
fn retry_after(response: &Response) -> Option<Duration> {
    let text = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    Some(Duration::try_from(date.duration_since(time::now())).unwrap_or_default())
}
