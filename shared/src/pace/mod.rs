//! Pacing: how fast a run may go without the application beside it noticing. `controller.rs` decides the share of
//! a node's time that we take (pure), `bucket.rs` keeps the rate limit (pure).

mod bucket;
mod controller;

pub use bucket::Bucket;
pub use controller::{Controller, Seen};
