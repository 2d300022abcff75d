//! Whole runs over NATS by workers that are processes of their own, which are killed, frozen and told to stop.
#![cfg(test)]

#[path = "../cli/mod.rs"]
mod cli;
#[path = "../fleet/mod.rs"]
mod fleet;
#[path = "../kit/mod.rs"]
mod kit;

mod chaos;
mod workers;
