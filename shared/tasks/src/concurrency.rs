//! Waits for many nodes, a limited number at a time: a connection to each of a thousand nodes would take too much
//! memory.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::time::{Instant, timeout_at};

use crate::limits::NODES_AT_ONCE;

/// Waits for all futures in `nodes`, at most [`NODES_AT_ONCE`] at a time. Returns the outcomes in order. All futures exist
/// from the start: where there are thousands, each should put what it needs into a `Box` when it is polled first.
pub async fn join_bounded<F: Future>(nodes: Vec<F>) -> Vec<F::Output> {
    stream::iter(nodes).buffered(NODES_AT_ONCE).collect().await
}

/// Like [`join_bounded`], for `limit` at most. Returns the outcomes in order, `None` for futures that had not finished
/// by then, because they were slow or not started yet. These are dropped.
pub async fn join_bounded_within<F: Future>(nodes: Vec<F>, limit: Duration) -> Vec<Option<F::Output>> {
    let mut outcomes: Vec<Option<F::Output>> = nodes.iter().map(|_| None).collect();
    let numbered = nodes.into_iter().enumerate().map(async |(n, node)| (n, node.await));
    let (mut running, end) = (stream::iter(numbered).buffer_unordered(NODES_AT_ONCE), Instant::now() + limit);
    while let Ok(Some((n, outcome))) = timeout_at(end, running.next()).await {
        outcomes[n] = Some(outcome);
    }
    outcomes
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::time::sleep;

    use super::*;

    #[tokio::test]
    async fn waits_for_a_limited_number_of_nodes() {
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let (now, most) = (&now, &most);
        let nodes = || {
            let node = |n| async move {
                most.fetch_max(now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                tokio::task::yield_now().await;
                now.fetch_sub(1, Ordering::Relaxed);
                n
            };
            (0..5 * NODES_AT_ONCE).map(node).collect::<Vec<_>>()
        };
        let all = (0..5 * NODES_AT_ONCE).collect::<Vec<_>>();
        assert_eq!(join_bounded(nodes()).await, all);
        let within = join_bounded_within(nodes(), Duration::from_secs(60)).await;
        assert_eq!(within.into_iter().flatten().collect::<Vec<_>>(), all);
        assert_eq!(most.load(Ordering::Relaxed), NODES_AT_ONCE);
    }

    #[tokio::test(start_paused = true)]
    async fn slow_nodes_time_out_and_do_not_block_others() {
        let (limit, silent) = (Duration::from_secs(60), Duration::from_secs(5));
        let begun = Instant::now();
        // Every second node is slow; the first one never answers.
        let nodes = (0..10_000_u64).map(|n| async move {
            match n {
                0 => std::future::pending().await,
                n if n % 2 == 0 => sleep(silent).await,
                _ => sleep(Duration::from_millis(1)).await,
            }
            n
        });
        let outcomes = join_bounded_within(nodes.collect(), limit).await;
        assert_eq!((begun.elapsed(), outcomes[0]), (limit, None));
        assert!((0..10_000).zip(&outcomes).all(|(n, outcome)| outcome.is_none_or(|outcome| outcome == n)));
        let had = outcomes.iter().flatten().count();
        assert!((600..900).contains(&had), "about 32 of every second node's delay: {had}");
    }
}
