//! What tests of several crates share: runs that can be watched, fakes, proxies, random bytes, realistic data sets, and
//! the expected result that a run is compared with; and nats-server and Sentinel, which the bench starts too. No role
//! depends on it.

#[cfg(feature = "contracts")]
#[expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "test code fails by panics, and its names speak for themselves"
)]
pub mod contracts;
#[cfg(feature = "fuzz")]
#[expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "test code fails by panics, and its names speak for themselves"
)]
pub mod hostile;
#[cfg(feature = "runs")]
#[expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    missing_docs,
    reason = "test code fails by panics, and its names speak for themselves"
)]
pub mod kit;
pub mod nats_server;
pub mod populations;
#[cfg(feature = "receiver")]
#[expect(clippy::unwrap_used, reason = "test code fails by panics, and its names speak for themselves")]
pub mod receiver;
pub mod reshard;
pub mod sentinel;
#[cfg(feature = "runs")]
#[expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    missing_docs,
    reason = "test code fails by panics, and its names speak for themselves"
)]
pub mod soak;
