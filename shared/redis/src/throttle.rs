//! Pauses between the small requests of a preflight, before a run is paced: a plan reads little, but all at once would
//! be noticed (requests of other clients took up to 9 ms during one of 100 ms).

use keysweep_model::messages::PacingLimits;
use tokio::time::{Instant, sleep};

use crate::limits::{BREAK_RATIO, PAUSE_MAX, SMALL_REQUESTS};

/// Whether to pause between requests.
#[derive(Clone, Copy, Debug)]
pub struct Throttle {
    taken: bool,
}

impl Throttle {
    /// No pauses.
    pub const NONE: Self = Self { taken: false };

    /// Pauses if the run has a latency budget.
    #[must_use]
    pub fn of(pace: &PacingLimits) -> Self {
        Self { taken: pace.latency_budget_ms.is_some() }
    }

    /// The request size to use instead of `much`.
    #[must_use]
    pub fn at_once(self, much: usize) -> usize {
        if self.taken { (much / SMALL_REQUESTS).max(1) } else { much }
    }

    /// Pauses after a request that was sent at `sent` and has been answered.
    pub async fn rest(self, sent: Instant) {
        if self.taken {
            sleep((sent.elapsed() * BREAK_RATIO).min(PAUSE_MAX)).await;
        }
    }
}
