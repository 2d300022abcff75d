//! The queue and the store of this crate keep the contracts.

use std::time::Duration;

use keysweep_storage::queue::MemoryQueue;
use keysweep_storage::store::MemoryStore;
use keysweep_testkit::contracts::{queue, store};

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
    queue::an_empty_pull_waits_and_ends(&memory_queue()).await;
    queue::concurrent_consumers_lose_and_duplicate_nothing(&memory_queue()).await;
}

#[tokio::test(start_paused = true)]
async fn the_store_in_memory_passes_the_contract() {
    store::the_first_create_wins(&MemoryStore::default()).await;
    store::updates_are_fenced_by_revision(&MemoryStore::default()).await;
    store::a_watch_returns_existing_and_new_entries(&MemoryStore::default()).await;
    store::a_dropped_next_loses_no_entry(&MemoryStore::default()).await;
    store::concurrent_writers_agree(&MemoryStore::default()).await;
    store::entries_follow_each_other(&MemoryStore::default()).await;
}
