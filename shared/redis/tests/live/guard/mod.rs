//! Guarded deletion on live servers, with the script and with transactions: both give the same outcomes, repetition is
//! idempotent, and every lookup is counted.

/// Runs each of these tests with both backends.
macro_rules! both_ways {
    ($($name:ident),* $(,)?) => {
        mod by_script {
            $(#[tokio::test] async fn $name() { super::$name(keysweep_model::messages::DeleteBackend::Lua).await; })*
        }
        mod by_transactions {
            $(#[tokio::test] async fn $name() { super::$name(keysweep_model::messages::DeleteBackend::Watch).await; })*
        }
    };
}

mod bench;
mod fields;
mod inactive;
mod sealed;
mod stale;
mod transactions;
