//! What shared code does against real servers: Redis, NATS, and receivers of HTTP on loopback.
#![cfg(test)]

mod connections;
mod glob;
mod guard;
mod nats;
mod servers;
mod web;
