//! The contract of every [`Queue`]. An implementation calls each function with an empty queue. A function panics if
//! the contract is violated.

use std::collections::BTreeMap;
use std::time::Duration;

use keysweep_storage::queue::{Delivery, Queue, QueueError, QueueLoad, Topic};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

const NOW: Duration = Duration::from_millis(20);

/// Publishes under a unique id.
async fn send(queue: &dyn Queue, topic: Topic, payload: Vec<u8>) -> Result<(), QueueError> {
    queue.publish(topic, &Uuid::now_v7().to_string(), payload, None).await
}

async fn pull_one(queue: &dyn Queue, wait: Duration) -> Option<Delivery> {
    queue.pull(Topic::Tasks, 1, wait).await.unwrap().pop()
}

/// The whole contract. `new` returns an empty queue that redelivers after `ack_wait` and takes `bytes_max` bytes.
pub async fn holds<Q: Queue>(new: impl Fn() -> Q, ack_wait: Duration, bytes_max: usize) {
    delivers_in_order_and_removes_acknowledged_messages(&new()).await;
    redelivers_after_the_deadline(&new(), ack_wait).await;
    extending_the_deadline_delays_redelivery(&new(), ack_wait).await;
    requeues_after_the_delay(&new(), ack_wait).await;
    refuses_when_full_and_accepts_again(&new(), bytes_max).await;
    topics_are_separate(&new()).await;
    reports_its_load(&new()).await;
    an_empty_pull_waits_and_ends(&new()).await;
    concurrent_consumers_lose_and_duplicate_nothing(&new()).await;
}

/// First in, first out; an acknowledged message is not redelivered.
pub async fn delivers_in_order_and_removes_acknowledged_messages(queue: &dyn Queue) {
    for n in 0..10_u8 {
        send(queue, Topic::Tasks, vec![n]).await.unwrap();
    }
    let mut seen = Vec::new();
    while seen.len() < 10 {
        for delivery in queue.pull(Topic::Tasks, 4, NOW).await.unwrap() {
            assert_eq!(delivery.deliveries, 1);
            seen.push(delivery.payload[0]);
            delivery.handle.ack().await.unwrap();
        }
    }
    assert_eq!(seen, (0..10).collect::<Vec<u8>>());
    assert!(pull_one(queue, NOW).await.is_none());
}

/// An unacknowledged delivery is redelivered after the ack deadline, and not before.
pub async fn redelivers_after_the_deadline(queue: &dyn Queue, ack_wait: Duration) {
    send(queue, Topic::Tasks, b"x".to_vec()).await.unwrap();
    let first = pull_one(queue, NOW).await.unwrap();
    let since = Instant::now();
    assert!(pull_one(queue, ack_wait / 2).await.is_none());
    let second = pull_one(queue, ack_wait * 4).await.unwrap();
    assert!(since.elapsed() >= ack_wait - NOW);
    assert_eq!((second.payload.as_ref(), second.deliveries), (&b"x"[..], 2));
    drop(first);
    second.handle.ack().await.unwrap();
    assert!(pull_one(queue, ack_wait * 2).await.is_none());
}

/// Extending the deadline delays the redelivery.
pub async fn extending_the_deadline_delays_redelivery(queue: &dyn Queue, ack_wait: Duration) {
    send(queue, Topic::Tasks, b"x".to_vec()).await.unwrap();
    let delivery = pull_one(queue, NOW).await.unwrap();
    for _ in 0..6 {
        sleep(ack_wait / 2).await;
        delivery.handle.extend_deadline().await.unwrap();
    }
    assert!(pull_one(queue, ack_wait / 4).await.is_none());
    delivery.handle.ack().await.unwrap();
}

/// A requeued message is redelivered after the delay.
pub async fn requeues_after_the_delay(queue: &dyn Queue, ack_wait: Duration) {
    send(queue, Topic::Tasks, b"x".to_vec()).await.unwrap();
    let delivery = pull_one(queue, NOW).await.unwrap();
    delivery.handle.nak(ack_wait / 4).await.unwrap();
    let since = Instant::now();
    let again = pull_one(queue, ack_wait * 2).await.unwrap();
    assert!(since.elapsed() >= ack_wait / 4 - NOW / 2);
    assert_eq!(again.deliveries, 2);
    again.handle.ack().await.unwrap();
}

/// What waits, what is delivered, and what was delivered before, are counted.
pub async fn reports_its_load(queue: &dyn Queue) {
    let load = async |topic: Topic| {
        let QueueLoad { waiting, in_hand, redelivered } = queue.load(topic).await.unwrap();
        (waiting, in_hand, redelivered)
    };
    assert_eq!(load(Topic::Tasks).await, (0, 0, 0));
    for n in 0..3_u8 {
        send(queue, Topic::Tasks, vec![n]).await.unwrap();
    }
    assert_eq!(load(Topic::Tasks).await, (3, 0, 0));
    let first = pull_one(queue, NOW * 50).await.unwrap();
    assert_eq!(load(Topic::Tasks).await, (2, 1, 0));
    first.handle.nak(Duration::ZERO).await.unwrap();
    let mut again = pull_one(queue, NOW * 50).await.unwrap();
    while again.deliveries < 2 {
        again.handle.ack().await.unwrap();
        again = pull_one(queue, NOW * 50).await.unwrap();
    }
    let (_, in_hand, redelivered) = load(Topic::Tasks).await;
    assert_eq!((in_hand, redelivered), (1, 1));
    again.handle.ack().await.unwrap();
    let (_, in_hand, redelivered) = load(Topic::Tasks).await;
    assert_eq!((in_hand, redelivered, load(Topic::Batches).await), (0, 0, (0, 0, 0)));
}

/// A full queue refuses messages without losing any, and accepts them again when there is room.
pub async fn refuses_when_full_and_accepts_again(queue: &dyn Queue, bytes_max: usize) {
    let mut taken = 0;
    let full = loop {
        match send(queue, Topic::Tasks, vec![0; 1_000]).await {
            Ok(()) => taken += 1,
            Err(e) => break e,
        }
        assert!(taken <= bytes_max / 1_000, "more bytes than the bound");
    };
    assert_eq!(full, QueueError::Full);
    assert!(taken > 0);
    pull_one(queue, NOW).await.unwrap().handle.ack().await.unwrap();
    send(queue, Topic::Tasks, vec![1; 1_000]).await.unwrap();
    for _ in 0..taken {
        pull_one(queue, NOW).await.unwrap().handle.ack().await.unwrap();
    }
    assert!(pull_one(queue, NOW).await.is_none());
}

/// A message of one topic is not delivered on the other.
pub async fn topics_are_separate(queue: &dyn Queue) {
    send(queue, Topic::Batches, b"b".to_vec()).await.unwrap();
    assert!(pull_one(queue, NOW).await.is_none());
    let batch = queue.pull(Topic::Batches, 5, NOW).await.unwrap().pop().unwrap();
    batch.handle.ack().await.unwrap();
}

/// A pull on an empty queue waits, returns nothing on timeout, and is woken by a message.
pub async fn an_empty_pull_waits_and_ends(queue: &dyn Queue) {
    let since = Instant::now();
    assert!(pull_one(queue, Duration::from_millis(100)).await.is_none());
    assert!(since.elapsed() >= Duration::from_millis(90));
    let (pulled, ()) = tokio::join!(pull_one(queue, Duration::from_secs(20)), async {
        sleep(Duration::from_millis(50)).await;
        send(queue, Topic::Tasks, b"x".to_vec()).await.unwrap();
    });
    pulled.unwrap().handle.ack().await.unwrap();
}

/// Several consumers, some of which drop their deliveries: every message is acknowledged by exactly one.
pub async fn concurrent_consumers_lose_and_duplicate_nothing(queue: &dyn Queue) {
    for n in 0..100_u8 {
        send(queue, Topic::Tasks, vec![n]).await.unwrap();
    }
    let puller = |careless: bool| async move {
        let mut done: BTreeMap<u8, u32> = BTreeMap::new();
        loop {
            let deliveries = queue.pull(Topic::Tasks, 7, Duration::from_secs(2)).await.unwrap();
            if deliveries.is_empty() {
                return done;
            }
            for delivery in deliveries {
                let n = delivery.payload[0];
                if careless && delivery.deliveries == 1 && n.is_multiple_of(3) {
                    continue;
                }
                *done.entry(n).or_default() += 1;
                delivery.handle.ack().await.unwrap();
            }
        }
    };
    let (a, b) = tokio::join!(puller(true), puller(false));
    for n in 0..100_u8 {
        let times = a.get(&n).unwrap_or(&0) + b.get(&n).unwrap_or(&0);
        assert_eq!(times, 1, "message {n}");
    }
}
