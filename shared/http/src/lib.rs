//! Outgoing HTTP: alerts to webhooks, hits and misses from Prometheus, and requests to services. The only files that use
//! the cryptography of signatures and tokens, and, with `shared/traces`, the HTTP client. TLS is rustls with ring, and
//! trusts the system's certificates; `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` are honored.
//!
//! URLs are secrets, because any client that knows the URL of a webhook may post to it: errors and logs contain scheme
//! and host.

mod client;
mod error;
mod integrations;
pub mod limits;
mod notification;
pub mod prometheus;
mod service_api;
mod token;
pub mod webhook;

pub use client::{RetryPolicy, WebClient, check_address, display_origin, display_url};
pub use error::{WebError, WebErrorKind};
pub use integrations::{Integrations, JobIntegrations, PrometheusSource, Webhooks};
pub use notification::{signature, slack};
pub use service_api::{ApiReply, ServiceApi};
pub use token::{constant_time_eq, random_token, token_digest};
pub use webhook::Webhook;
