//! The command line: its syntax (the only files that know clap), and its commands.

pub mod args;
pub mod demo;
mod examples;
pub mod log;
pub mod plan_page;
mod progress;
pub mod run;
pub mod show;
mod signals;
