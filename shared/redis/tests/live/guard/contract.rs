//! Real servers pass the contract of the guard.

use keysweep_testkit::contracts::guard::{self, Backend, GuardServer};
use keysweep_testkit::each_guard_contract;

macro_rules! passes {
    ($module:ident: $backend:ident, $($name:ident,)*) => {
        mod $module {
            use super::*;

            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { guard::$name(GuardServer::start().await, Backend::$backend).await; })*
        }
    };
}

each_guard_contract!(passes by_node: Node,);
each_guard_contract!(passes by_slot: Slot,);
each_guard_contract!(passes by_transactions: Transactions,);
