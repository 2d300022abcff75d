//! HTTP out: webhooks and Prometheus, against receivers on loopback.
#![cfg(test)]

mod prometheus;
mod receiver;
mod webhook;
