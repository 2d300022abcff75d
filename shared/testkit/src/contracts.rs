//! The contracts of the traits of `keysweep-storage` and of the guard, which every implementation and every simulated server
//! must pass.

pub mod guard;
pub mod queue;
pub mod store;
