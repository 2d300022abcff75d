//! Whole runs over NATS by workers in separate processes, which are killed, paused and stopped.
#![cfg(test)]

#[path = "../cli/mod.rs"]
mod cli;
mod fleet;

mod chaos;
mod workers;
