//! Tasks that are named and always joined, bounded concurrency, and waiting that a shutdown ends.

pub mod concurrency;
pub mod limits;
pub mod pause;
pub mod supervision;
