//! The commands, each as its user types it: the real binary with its output captured.
#![cfg(test)]
#![expect(clippy::disallowed_methods, reason = "tests write the files that they try out")]

#[path = "../cli/mod.rs"]
mod cli;

mod aggressive;
mod announced;
mod at_replica;
mod backup;
mod ceiling;
mod ceiling_clusters;
mod ceiling_roles;
mod connections;
mod crowded;
mod demo;
mod guards;
mod help;
mod hit_rate;
mod holes;
mod hostile_files;
mod hostile_requests;
mod http;
mod input;
mod looks_only;
mod nats;
mod nats_access;
mod nats_forged;
mod nats_orders;
mod nats_rights;
mod nats_walls;
mod odd_servers;
mod odd_worlds;
mod output;
mod pages;
mod questions;
mod reach;
mod rights;
mod roles;
mod secrets;
mod sentinel;
mod signals;
mod stats;
mod tls;
mod unending;
mod variables;
mod waits;
mod without_scripts;
mod written_otherwise;
