//! Outgoing HTTP: webhooks and Prometheus, with receivers on loopback.
#![cfg(test)]

mod prometheus;
mod webhook;
