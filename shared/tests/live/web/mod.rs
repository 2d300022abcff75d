//! Outgoing HTTP: webhooks and Prometheus, with receivers on loopback.

mod prometheus;
mod receiver;
mod webhook;
