//! The commands, each as its user types it: the real binary with its output captured.
#![cfg(test)]
#![expect(clippy::disallowed_methods, reason = "tests write the files that they try out")]

#[path = "../cli/mod.rs"]
mod cli;

mod admin_tls;
mod aggressive;
mod announced_addresses;
mod at_replica;
mod backup;
mod bounded_waits;
mod connections;
mod demo;
mod faulty_servers;
mod from_scratch;
mod grace_wait;
mod guards;
mod health;
mod help;
mod hit_rate;
mod hostile_files;
mod hostile_requests;
mod http;
mod id_forms;
mod idle_connections;
mod inspect;
mod invalid_input;
mod invalid_server_data;
mod many_connections;
mod memory_limit;
mod memory_limit_clusters;
mod memory_limit_roles;
mod missing_slots;
mod nats;
mod nats_forged;
mod nats_isolation;
mod nats_login;
mod nats_rights;
mod nats_signing;
mod output;
mod page_access;
mod page_browser;
mod page_content;
mod page_detail;
mod pages;
mod questions;
mod read_only;
mod reload;
mod rights;
mod roles;
mod schemas;
mod secrets;
mod sentinel;
mod service;
mod service_faults;
mod service_manager;
mod signals;
mod state_faults;
mod state_file;
mod stats;
mod tls;
mod unreachable;
mod variables;
mod via;
mod without_scripts;
mod worker;
