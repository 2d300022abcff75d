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
    queue::delivers_in_order_and_removes_acknowledged_messages(&memory_queue()).await;
    queue::redelivers_after_the_deadline(&memory_queue(), ACK_WAIT).await;
    queue::extending_the_deadline_delays_redelivery(&memory_queue(), ACK_WAIT).await;
    queue::requeues_after_the_delay(&memory_queue(), ACK_WAIT).await;
    queue::refuses_when_full_and_accepts_again(&memory_queue(), 10_000).await;
    queue::topics_are_separate(&memory_queue()).await;
    queue::reports_its_load(&memory_queue()).await;
    queue::an_empty_pull_waits_and_ends(&memory_queue()).await;
    queue::concurrent_consumers_lose_and_duplicate_nothing(&memory_queue()).await;
}

#[tokio::test(start_paused = true)]
async fn the_store_in_memory_passes_the_contract() {
    macro_rules! passes {
        ($($name:ident),* $(,)?) => { $(store::$name(&MemoryStore::default()).await;)* };
    }
    each_store_contract!(passes);
}
