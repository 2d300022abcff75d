//! Pacing: how fast a run may go without the application beside it noticing. `controller.rs` decides the share of
//! a node's time that we take, `bucket.rs` keeps the rate limit (both pure); `node.rs`, `probe.rs` and `pacers.rs` are
//! the shell around them: turns, probes, pauses. `breaks.rs` is for requests before and after a run.

mod controller;
mod node;
mod pacers;
mod probe;
mod throttle;
mod token_bucket;

#[cfg(test)]
mod tests;

pub use pacers::{Pacer, Pacers, Permit};
pub use throttle::Throttle;
