//! The command line: its syntax (the only files that know clap), and what `config`, `completions`
//! and `man` print.

pub mod args;
mod examples;
pub mod show;
