//! The queue and the store of this crate keep the contracts.

use std::time::Duration;

use keysweep_storage::queue::MemoryQueue;
use keysweep_storage::store::MemoryStore;
use keysweep_testkit::contracts::{queue, store};
use keysweep_testkit::each_store_contract;

const ACK_WAIT: Duration = Duration::from_millis(200);

fn memory_queue() -> MemoryQueue {
    MemoryQueue::new(ACK_WAIT, 10_000, 10_000)
}

#[tokio::test(start_paused = true)]
async fn the_queue_in_memory_passes_the_contract() {
    queue::holds(memory_queue, ACK_WAIT, 10_000).await;
}

#[tokio::test(start_paused = true)]
async fn the_store_in_memory_passes_the_contract() {
    macro_rules! passes {
        ($($name:ident),* $(,)?) => { $(store::$name(&MemoryStore::default()).await;)* };
    }
    each_store_contract!(passes);
}
