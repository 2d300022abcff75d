//! The commands, each as its user types it: the real binary with its output captured.
#![cfg(test)]

#[path = "../cli/mod.rs"]
mod cli;

mod aggressive;
mod demo;
mod guards;
mod help;
mod holes;
mod http;
mod input;
mod nats;
mod nats_access;
mod nats_rights;
mod output;
mod pages;
mod reach;
mod rights;
mod roles;
mod signals;
mod stats;
mod without_scripts;
