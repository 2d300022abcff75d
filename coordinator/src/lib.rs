//! The coordinator: plans runs, drives them to their result, and provides the command line. The only crate that uses
//! the stages.

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
pub mod integrations;
pub mod job_lock;
pub mod leader;
pub mod lease;
pub mod limits;
mod nats_context;
pub mod options;
pub mod plan;
pub mod plan_progress;
mod planned_source;
pub mod preflight;
pub mod process_id;
pub mod report;
pub mod restore;
mod retry;
mod rights;
mod run_events;
pub mod run_log;
pub mod run_phase;
pub mod run_time;
pub mod runs;
mod sample_node;
mod sampled_users;
pub mod schedule;
pub mod serve;
pub mod statistics;
pub mod submit;
pub mod task_ids;
mod unreachable_nodes;

pub use nats_context::nats_context;
