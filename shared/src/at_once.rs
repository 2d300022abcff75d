//! Many nodes that are asked, some of them at a time: a connection to each of a thousand would take its memory.

use futures_util::{StreamExt, stream};

use crate::limits::NODES_AT_ONCE;

/// Waits for all of `nodes`: their outcomes, in order.
pub async fn at_once<F: Future>(nodes: Vec<F>) -> Vec<F::Output> {
    stream::iter(nodes).buffered(NODES_AT_ONCE).collect().await
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn no_more_than_that_are_waited_for() {
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let (now, most) = (&now, &most);
        let nodes = (0..5 * NODES_AT_ONCE).map(|n| async move {
            most.fetch_max(now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            now.fetch_sub(1, Ordering::Relaxed);
            n
        });
        let seen = at_once(nodes.collect()).await;
        assert_eq!(seen, (0..5 * NODES_AT_ONCE).collect::<Vec<_>>());
        assert_eq!(most.load(Ordering::Relaxed), NODES_AT_ONCE);
    }
}
