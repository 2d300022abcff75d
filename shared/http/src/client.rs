//! The HTTP client for webhooks, Prometheus and services, and what all requests share: time limits, no redirects, and no
//! URL in an error.

use std::error::Error as _;
use std::time::Duration;

use crate::limits;
use keysweep_model::secret::Secret;
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, RequestBuilder, Response, Url};

use super::error::{WebError, WebErrorKind};

/// Time limits and retry rules.
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    /// See [`limits::WEB_CONNECT_TIMEOUT`].
    pub connect: Duration,
    /// See [`limits::WEB_TIMEOUT`].
    pub request: Duration,
    /// See [`limits::WEB_TRIES`].
    pub tries: u32,
    /// The pause before the second try; it doubles from there. See [`limits::WEB_RETRY_DELAY`].
    pub pause: Duration,
    /// The longest pause that a server may request. See [`limits::WEB_RETRY_AFTER_MAX`].
    pub pause_max: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            connect: limits::WEB_CONNECT_TIMEOUT,
            request: limits::WEB_TIMEOUT,
            tries: limits::WEB_TRIES,
            pause: limits::WEB_RETRY_DELAY,
            pause_max: limits::WEB_RETRY_AFTER_MAX,
        }
    }
}

/// The client. Clones share its connections.
#[derive(Clone, Debug)]
pub struct WebClient {
    pub(super) client: Client,
    pub(super) retry_policy: RetryPolicy,
}

impl WebClient {
    /// A client with these time limits.
    ///
    /// # Errors
    /// If the system provides none.
    pub fn new(patience: RetryPolicy) -> Result<Self, WebError> {
        Self::of(patience, false)
    }

    /// A client with these time limits, which uses no proxy if it is `direct`.
    pub(super) fn of(patience: RetryPolicy, direct: bool) -> Result<Self, WebError> {
        // The NATS client uses the process' default provider if there is one, and ring otherwise, which is the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = || {
            let builder = ClientBuilder::new();
            if direct { builder.no_proxy() } else { builder }
                .user_agent(concat!("keysweep/", env!("CARGO_PKG_VERSION")))
                .redirect(Policy::none())
                .referer(false)
                .retry(reqwest::retry::never())
                .connect_timeout(patience.connect)
                .timeout(patience.request)
                .pool_idle_timeout(limits::WEB_IDLE)
        };
        let client = builder().build().or_else(|e| {
            // Images without certificates are common; URLs without TLS work there nevertheless.
            tracing::warn!(error = %cause(e), "the system has no usable root certificate, so HTTPS requests will fail");
            builder().tls_certs_only([]).build()
        });
        let client = client.map_err(|e| WebError {
            kind: WebErrorKind::Client(cause(e)),
            what: "make a client for",
            target: "http".to_owned(),
        })?;
        Ok(Self { client, retry_policy: patience })
    }
}

/// Checks that `secret` is an HTTP URL with a host.
///
/// # Errors
/// [`WebErrorKind::Address`], without the URL.
pub fn check_address(secret: &Secret) -> Result<(), WebError> {
    address(secret, "read").map(drop)
}

/// A URL, validated.
pub(super) fn address(secret: &Secret, what: &'static str) -> Result<Url, WebError> {
    let url =
        Url::parse(secret.expose()).ok().filter(|url| url.has_host() && url.scheme().starts_with("http"));
    url.ok_or_else(|| WebError { kind: WebErrorKind::Address, what, target: display_url(secret) })
}

/// The part of a URL that may be shown: `https://hooks.slack.com/***`.
#[must_use]
pub fn display_url(secret: &Secret) -> String {
    let Some(url) = parsed(secret.expose()) else { return "***".to_owned() };
    let rest = if url.path() == "/" && url.query().is_none() { "" } else { "/***" };
    format!("{}{rest}", origin(&url))
}

/// Scheme, host and port of a URL: user names, paths and queries may be secrets. `***` if it has no host.
#[must_use]
pub fn display_origin(url: &str) -> String {
    parsed(url).map_or_else(|| "***".to_owned(), |url| origin(&url))
}

/// A URL with a host.
fn parsed(url: &str) -> Option<Url> {
    Url::parse(url).ok().filter(|url| url.host_str().is_some_and(|host| !host.is_empty()))
}

fn origin(url: &Url) -> String {
    let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
    format!("{}://{}{port}", url.scheme(), url.host_str().unwrap_or("***"))
}

/// Sends a request once.
pub(super) async fn send(request: RequestBuilder, patience: &RetryPolicy) -> Result<Response, WebErrorKind> {
    let response = request.send().await.map_err(|e| kind(e, patience))?;
    match response.status() {
        status if status.is_redirection() => Err(WebErrorKind::Redirect(status.as_u16())),
        _ => Ok(response),
    }
}

/// The body of a reply, of at most `bytes_max` bytes.
pub(super) async fn body(
    mut response: Response,
    patience: &RetryPolicy,
    bytes_max: usize,
) -> Result<Vec<u8>, WebErrorKind> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| kind(e, patience))? {
        if body.len() + chunk.len() > bytes_max {
            return Err(WebErrorKind::TooLong(bytes_max));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Classifies an error of the client.
fn kind(e: reqwest::Error, patience: &RetryPolicy) -> WebErrorKind {
    match e.is_timeout() {
        true if e.is_connect() => WebErrorKind::Timeout(patience.connect.as_millis()),
        true => WebErrorKind::Timeout(patience.request.as_millis()),
        false => WebErrorKind::Unreachable(cause(e)),
    }
}

/// The innermost cause of an error: the outer ones only wrap it, or contain the URL.
fn cause(e: reqwest::Error) -> String {
    let e = e.without_url();
    let mut text = e.to_string();
    let mut source = e.source();
    while let Some(inner) = source {
        text = inner.to_string();
        source = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::display_origin;

    #[test]
    fn no_secret_of_an_address_is_shown() {
        let shown_as = [
            ("http://localhost:4318", "http://localhost:4318"),
            ("https://user:pass@collector.example/v1/traces?token=abc", "https://collector.example"),
            ("unix:/run/secret", "***"),
            ("no address", "***"),
        ];
        for (url, expected) in shown_as {
            assert_eq!(display_origin(url), expected);
        }
    }
}
