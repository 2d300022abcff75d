//! [`keysweep_redis::guard::Guard`] on live servers: its contract, and what depends on how servers keep and count keys. A
//! script with a node ledger, a script with the ledger of a slot, and transactions give the same outcomes.

/// Runs each of these tests with all backends.
macro_rules! all_backends {
    ($($name:ident),* $(,)?) => {
        all_backends! { by_node: Node, $($name,)* }
        all_backends! { by_slot: Slot, $($name,)* }
        all_backends! { by_transactions: Transactions, $($name,)* }
    };
    ($module:ident: $backend:ident, $($name:ident,)*) => {
        mod $module {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name(super::super::bench::Backend::$backend).await; })*
        }
    };
}

mod across_slots;
mod attempts;
mod bench;
mod conditions;
mod contract;
mod fields;
mod inactive;
mod sealed;
mod stale;
mod transactions;
