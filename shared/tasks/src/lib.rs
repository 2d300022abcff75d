//! Tasks that are named and always joined, and bounded concurrency.

pub mod concurrency;
pub mod limits;
pub mod supervision;
