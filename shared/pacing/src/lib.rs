//! Pacing: how fast a run may go without affecting the application's latency. `controller.rs` decides the share of a
//! node's time that the run uses, `token_bucket.rs` enforces the rate limit (both pure); `node.rs`, `probe.rs` and
//! `pacers.rs` add the permits, probes and pauses.

mod controller;
pub mod limits;
mod node;
mod pacers;
mod probe;
mod token_bucket;

#[cfg(test)]
mod tests;

pub use pacers::{PaceNow, Pacer, Pacers, Permit};
