//! HTTP out: webhooks and Prometheus, against receivers on loopback.

mod prometheus;
mod receiver;
mod webhook;
