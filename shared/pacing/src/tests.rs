//! Permits, in paused time: how long they are waited for.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use keysweep_model::ids::Alias;
use tokio::time::{Instant, sleep};

use super::node::NodePacer;
use super::pacers::Pacer;
use super::token_bucket::TokenBucket;
use crate::limits::{DUTY_CYCLE_START, PERMIT_POLL};

fn node() -> Arc<NodePacer> {
    let place = (Alias::new("main"), "h:1".to_owned());
    Arc::new(NodePacer::new(place, Duration::from_millis(1), Arc::default()))
}

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Waits for a permit; returns how long that took, and how many calls.
async fn waited(pacer: &Pacer) -> (Duration, u32) {
    let (from, mut pieces) = (Instant::now(), 1);
    loop {
        let piece = Instant::now();
        let turn = pacer.acquire().await;
        assert!(piece.elapsed() <= PERMIT_POLL + ms(1), "{:?}", piece.elapsed());
        match turn {
            Some(turn) => {
                turn.done(0);
                return (from.elapsed(), pieces);
            }
            None => pieces += 1,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_delays_without_a_limit() {
    let pacer = Pacer::of(None, None);
    assert!(pacer.is_free() && pacer.window_keys().is_none());
    for _ in 0..1_000 {
        pacer.acquire().await.expect("at once").done(1_000_000);
    }
    assert_eq!(waited(&pacer).await, (Duration::ZERO, 1));
    assert!(pacer.stats().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_node_is_idle_after_work() {
    let pacer = Pacer::of(Some(node()), None);
    let turn = pacer.acquire().await.expect("at once");
    sleep(ms(30)).await;
    turn.done(0);
    let (waited_for, pieces) = waited(&pacer).await;
    let due = ms(30).mul_f64(1.0 / DUTY_CYCLE_START - 1.0);
    assert!(
        waited_for + ms(3) >= due && waited_for <= due + ms(3) && pieces == 1,
        "{waited_for:?} for {due:?}"
    );
    let stats = pacer.stats();
    assert!(stats.latency_wait_ms >= 60 && stats.rate_wait_ms == 0, "{stats:?}");
    assert_eq!(pacer.stats().latency_wait_ms, 0, "it is reported once");
}

#[tokio::test(start_paused = true)]
async fn long_waits_return_in_between() {
    let bucket = Arc::new(Mutex::new(TokenBucket::new(100.0, Duration::ZERO)));
    let pacer = Pacer::of(None, Some(bucket));
    pacer.acquire().await.expect("at once").done(500);
    let (waited_for, pieces) = waited(&pacer).await;
    assert!(
        (ms(4_900)..ms(5_200)).contains(&waited_for) && pieces >= 49,
        "{waited_for:?} in {pieces} pieces"
    );
    assert!(pacer.stats().rate_wait_ms >= 4_900);
}

#[tokio::test(start_paused = true)]
async fn one_piece_of_work_is_at_a_node_at_a_time() {
    let node = node();
    let (one, other) = (Pacer::of(Some(Arc::clone(&node)), None), Pacer::of(Some(node), None));
    let turn = one.acquire().await.expect("at once");
    assert!(other.acquire().await.is_none());
    drop(turn);
    assert!(waited(&other).await.0 > Duration::ZERO, "it waits for the pause of the other one, too");
}
