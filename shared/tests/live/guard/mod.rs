//! Guarded deletion against live servers, by the script and by transactions: the answers are the same, asking again
//! changes nothing, and every look-up that it takes is known.

/// Each of these tests is run in both ways.
macro_rules! both_ways {
    ($($name:ident),* $(,)?) => {
        mod by_script {
            $(#[tokio::test] async fn $name() { super::$name(shared::messages::DeleteBackend::Lua).await; })*
        }
        mod by_transactions {
            $(#[tokio::test] async fn $name() { super::$name(shared::messages::DeleteBackend::Watch).await; })*
        }
    };
}

mod bench;
mod fields;
mod inactive;
mod sealed;
mod stale;
mod transactions;
