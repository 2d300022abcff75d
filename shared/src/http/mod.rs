//! HTTP out: alerts go to webhooks, and hits and misses may come from Prometheus. The only files that name the
//! HTTP client and the cryptography of signatures and tokens. TLS is rustls with ring, and trusts what the system trusts; proxies are taken from `HTTPS_PROXY`,
//! `HTTP_PROXY` and `NO_PROXY`, as everywhere.
//!
//! Addresses are secrets, because who knows the one of a hook may post to it: errors and logs name scheme and host.

mod client;
mod error;
mod integrations;
mod notification;
pub mod prometheus;
mod token;
pub mod webhook;

pub use client::{RetryPolicy, WebClient, check_address, place};
pub use error::{WebError, WebErrorKind};
pub use integrations::{Integrations, JobIntegrations, PrometheusSource, Webhooks};
pub use notification::signature;
pub use token::constant_time_eq;
pub use webhook::Webhook;
