//! The contract of [`keysweep_redis::guard::Guard`] on live servers: script and transactions give the same outcomes,
//! repetition is idempotent, and every lookup is counted.

/// Runs each of these tests with both backends.
macro_rules! both_ways {
    ($($name:ident),* $(,)?) => {
        mod by_script {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)] async fn $name() { super::$name(keysweep_model::messages::DeleteBackend::Lua).await; })*
        }
        mod by_transactions {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)] async fn $name() { super::$name(keysweep_model::messages::DeleteBackend::Watch).await; })*
        }
    };
}

mod attempts;
mod bench;
mod fields;
mod inactive;
mod sealed;
mod stale;
mod transactions;
