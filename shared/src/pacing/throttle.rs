//! Breaks between the small requests of a look around, before a run has a pace of its own: a plan reads little, but
//! all at once it would be noticed (requests of others took up to 9 ms during one of 100 ms).

use tokio::time::{Instant, sleep};

use crate::limits::{BREAK_RATIO, PAUSE_MAX, SMALL_REQUESTS};
use crate::messages::Pace;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Throttle {
    taken: bool,
}

impl Throttle {
    /// For those who are not noticed anyway, or need not care.
    pub const NONE: Self = Self { taken: false };

    /// Where a latency budget is kept.
    #[must_use]
    pub fn of(pace: &Pace) -> Self {
        Self { taken: pace.latency_budget_ms.is_some() }
    }

    /// How much to ask for at once instead of `much`.
    #[must_use]
    pub fn at_once(self, much: usize) -> usize {
        if self.taken { (much / SMALL_REQUESTS).max(1) } else { much }
    }

    /// Leaves the server alone after a request that was sent at `sent` and has been answered.
    pub async fn rest(self, sent: Instant) {
        if self.taken {
            sleep((sent.elapsed() * BREAK_RATIO).min(PAUSE_MAX)).await;
        }
    }
}
