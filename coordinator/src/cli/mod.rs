//! The command line: its syntax (the only files that know clap), and its commands.

mod admin;
pub mod args;
pub mod check;
pub mod demo;
mod error;
pub mod events;
mod examples;
mod last_resort;
pub mod log;
pub mod nats_keys;
pub mod nats_setup;
mod no_match;
pub mod plan_page;
mod progress;
pub mod question;
pub mod remote;
mod report;
pub mod restore;
pub mod roles;
pub mod run;
pub mod run_ref;
pub mod runs;
mod runs_list;
pub mod show;
mod signals;
pub mod site;
pub mod stats;
