//! Errors of requests to webhooks, Prometheus and services. They contain only texts, so that no URL can leak through them;
//! replies of webhooks are not repeated, since they may contain the requested path.

use thiserror::Error;

/// See the module.
#[derive(Clone, Debug, Error)]
#[error("failed to {what} `{target}`: {kind}")]
pub struct WebError {
    /// The kind of error.
    pub kind: WebErrorKind,
    /// The operation.
    pub(super) what: &'static str,
    /// Its target: the part of the URL that may be shown.
    pub(super) target: String,
}

/// The kinds of errors.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum WebErrorKind {
    /// There is no HTTP client.
    #[error("HTTP cannot be used here: {0}")]
    Client(String),
    /// It is not an HTTP URL.
    #[error("this is not a URL that begins with `http://` or `https://`")]
    Address,
    /// The host is unreachable, or the connection broke.
    #[error("{0}")]
    Unreachable(String),
    /// No reply within the time limit.
    #[error("no reply within {0} ms")]
    Timeout(u128),
    /// An error status.
    #[error("the reply was HTTP {code}{}", after_colon(.said.as_ref()))]
    Status {
        /// The status.
        code: u16,
        /// The error message of Prometheus.
        said: Option<String>,
    },
    /// A redirect, which is not followed: it would send signed content, or a password, to another host.
    #[error("the reply was a redirect (HTTP {0}), which is not followed; configure the URL that it leads to")]
    Redirect(u16),
    /// The reply is too long.
    #[error("the reply is longer than {0} bytes")]
    TooLong(usize),
    /// The reply is not a Prometheus API reply.
    #[error("the reply is not a Prometheus API reply: {0}")]
    Answer(String),
    /// The query returns several series.
    #[error("the query has {0} series where one number is needed; aggregate with `sum(...)`")]
    Several(usize),
    /// The query's result is not a finite number.
    #[error("the query has the result `{0}`")]
    NotANumber(String),
}

fn after_colon(text: Option<&String>) -> String {
    text.map_or_else(String::new, |text| format!(": {text}"))
}

impl WebErrorKind {
    /// Whether a retry may help.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Timeout(_) => true,
            Self::Status { code, .. } => *code == 429 || *code >= 500,
            _ => false,
        }
    }
}
