//! Whole runs over NATS by workers in separate processes, which are killed, paused and stopped.
#![cfg(test)]

#[path = "../cli/mod.rs"]
mod cli;
#[path = "../fleet/mod.rs"]
mod fleet;
#[path = "../kit/mod.rs"]
mod kit;

mod chaos;
mod workers;
