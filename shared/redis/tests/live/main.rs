//! Shared code with real servers: Redis, NATS, and HTTP receivers on loopback.
#![cfg(test)]

mod connections;
mod glob;
mod guard;
