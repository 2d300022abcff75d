//! Why somebody outside could not be told or asked. Holds texts only, so that nothing of an address can be reached
//! through it; answers of webhooks are not repeated, since they may name the path that was asked for.

use thiserror::Error;

/// See the module.
#[derive(Clone, Debug, Error)]
#[error("failed to {what} `{place}`: {kind}")]
pub struct WebError {
    /// What happened.
    pub kind: WebErrorKind,
    /// What was tried.
    pub(super) what: &'static str,
    /// Whom: scheme and host.
    pub(super) place: String,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum WebErrorKind {
    /// There is no client.
    #[error("HTTP cannot be used here: {0}")]
    Client(String),
    /// It is no address.
    #[error("this is no address that begins with `http://` or `https://`")]
    Address,
    /// Nobody is there, or the connection broke.
    #[error("{0}")]
    Unreachable(String),
    /// No answer in time.
    #[error("no answer within {0} ms")]
    Timeout(u128),
    /// The answer was a refusal.
    #[error("the answer was HTTP {code}{}", after_colon(.said.as_ref()))]
    Status {
        /// The status.
        code: u16,
        /// What Prometheus said about it.
        said: Option<String>,
    },
    /// The answer sends us elsewhere, which we do not follow: what is signed, or a password, would go there, too.
    #[error("the answer was a redirect (HTTP {0}), which is not followed; give the address that it leads to")]
    Redirect(u16),
    /// The answer is longer than we read.
    #[error("the answer is longer than {0} bytes")]
    TooLong(usize),
    /// The answer is not what Prometheus answers.
    #[error("the answer is none of the Prometheus API: {0}")]
    Answer(String),
    /// The query has several results.
    #[error("the query has {0} series where one number is needed; aggregate with `sum(...)`")]
    Several(usize),
    /// The query's result is no number that can be reckoned with.
    #[error("the query has the result `{0}`")]
    NotANumber(String),
}

fn after_colon(text: Option<&String>) -> String {
    text.map_or_else(String::new, |text| format!(": {text}"))
}

impl WebErrorKind {
    /// Whether it may be otherwise in a moment.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Timeout(_) => true,
            Self::Status { code, .. } => *code == 429 || *code >= 500,
            _ => false,
        }
    }
}
