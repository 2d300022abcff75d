//! The coordinator: plans runs, drives them to their result, and serves them. The only crate that uses the stages.
//!
//! A run in this process, with the settings of a job file. It asks for no confirmation:
//!
//! ```no_run
//! use std::path::Path;
//!
//! use coordinator::embedded::run_cleanup_now;
//! use coordinator::options::Options;
//! use keysweep_config::{Environment, FlagLayer, JobFile, resolve};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let file = JobFile::load(Path::new("keysweep.toml"))?;
//! let settings = resolve(FlagLayer::default().switch("--dry-run", true), &Environment::default(), Some(&file))?;
//! let result = run_cleanup_now(&Options::from_settings(&settings)?).await?;
//! println!("{:?}, {} stale keys", result.status, result.stale_ttl_keys);
//! println!("{}", reporter::printer::markdown::page(&result, "Job"));
//! # Ok(())
//! # }
//! ```
//!
//! A plan that is confirmed before its run is in [`preflight`](preflight::preflight); runs over NATS begin in
//! [`submit`] and are driven by [`serve`]. A program that follows their events is `examples/subscriber.rs`.

pub mod activity;
mod broker_capacity;
mod check_node;
mod cursors;
mod discover;
pub mod dispatch;
pub mod drive;
pub mod embedded;
pub mod estimate;
pub mod exit;
pub mod follow;
pub mod inactive_policy;
pub mod inspect;
pub mod integrations;
pub mod job_lock;
pub mod leader;
pub mod lease;
mod ledgers;
pub mod limits;
mod nats_context;
pub mod options;
pub mod plan;
pub mod plan_progress;
mod planned_source;
pub mod policy_check;
pub mod preflight;
pub mod process_id;
pub mod report;
pub mod restore;
mod retry;
mod rights;
mod rule_estimate;
mod run_events;
pub mod run_log;
pub mod run_phase;
pub mod run_time;
pub mod runs;
mod sample_node;
mod sampled_users;
pub mod schedule;
pub mod schemas;
pub mod serve;
pub mod shared_run;
pub mod state;
pub mod statistics;
pub mod submit;
pub mod task_ids;
pub mod ttl_advice;
pub mod ttl_experiment;
mod unreachable_nodes;

pub use nats_context::nats_context;
