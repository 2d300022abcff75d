//! Waiting that a shutdown ends.

use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Waits for `time`, or until `stop`. Whether the time has passed without it: a stop wins.
pub async fn pause(time: Duration, stop: &CancellationToken) -> bool {
    tokio::select! {
        biased;
        () = stop.cancelled() => false,
        () = sleep(time) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_pause_ends_with_its_time_or_the_stop() {
        let stop = CancellationToken::new();
        assert!(pause(Duration::from_secs(60), &stop).await);
        let (ended, ()) = tokio::join!(pause(Duration::MAX, &stop), async { stop.cancel() });
        assert!(!ended && !pause(Duration::ZERO, &stop).await);
    }
}
