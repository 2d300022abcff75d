//! The coordinator: plans runs, drives them to their result, and is the command line. The only crate that
//! knows the stages.

pub mod activity;
pub mod cli;
pub mod conduct;
mod cursors;
mod discover;
pub mod dispatch;
mod down;
pub mod drive;
pub mod embedded;
pub mod estimate;
pub mod exit;
pub mod follow;
pub mod hold;
pub mod inactive;
pub mod job_lock;
pub mod lines;
mod look;
mod meet;
pub mod options;
pub mod plan;
mod planned_source;
pub mod planning;
mod replan;
pub mod report;
pub mod restore;
mod rights;
pub mod runs;
pub mod schedule;
pub mod serve;
pub mod state;
pub mod statistics;
pub mod submit;
pub mod survey;
mod tidings;
pub mod whoami;
