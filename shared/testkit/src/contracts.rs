//! The contracts of the traits of `keysweep-storage`, which every implementation must pass.

pub mod queue;
pub mod store;
