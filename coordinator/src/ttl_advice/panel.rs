//! Keys that are looked at again: which survived until their expiry, and when they were written again. Pure.
//!
//! What a later look says depends on when it is taken. Times are those of the server's clock, and `T` is the TTL.
//!
//! - Before the expiry: a key that is gone, or has another expiry, ended early.
//! - After it: a key that is back tells by its new expiry when it was written; one that is not was not back by then. Both only
//!   if no more than `T` passed since the expiry or the last look: otherwise it may have come and gone meanwhile, and the
//!   wait ends at that last look.
//! - Whether a key survived is known only if it was looked at within the last quarter of `T` before its expiry. Keys of which
//!   that is not so are left out, whatever is found of them later, so that neither kind is favoured.

use std::time::Duration;

use keysweep_model::key::Key;
use keysweep_model::ttl_advice::TtlAdvice;
use keysweep_ttl_advice::{FollowUp, Idle, SampledKey};
use serde::{Deserialize, Serialize};

use crate::limits::{TTL_LOOK_PAUSE_MIN, TTL_LOOKS, TTL_PANEL_TTLS};

/// The part of the TTL before its expiry in which a key must have been looked at.
const WATCHED: u64 = 4;

/// How far times may be off for a TTL of `ttl_ms`: clocks differ, and what is derived from keys depends on chance.
pub(super) fn tolerance(ttl_ms: u64) -> u64 {
    ttl_ms / 200
}

/// When the keys that are followed must be looked at again, by the shortest TTL; `None` if none are followed.
pub(super) fn pause(advice: &TtlAdvice) -> Option<Duration> {
    let ttls = advice.with_groups().filter_map(|advice| advice.diagnostics.current_ttl_seconds);
    ttls.map(|ttl| (Duration::from_secs_f64(ttl) / TTL_LOOKS).max(TTL_LOOK_PAUSE_MIN)).min()
}

/// The keys of the first look, and what is known of them since. It is kept between calls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Panel {
    /// The TTL that the keys are written with, in ms.
    pub(crate) ttl_ms: u64,
    /// When the counters of the first look were read, in ms since the epoch.
    pub(crate) begun_ms: u64,
    /// Live keys with a TTL at the first look.
    pub(crate) live_keys: u64,
    /// The keys.
    pub(crate) keys: Vec<PanelKey>,
}

/// A key of the panel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PanelKey {
    /// Its database.
    pub(crate) db: u32,
    /// Its name: without it, it could not be looked up again.
    pub(crate) key: Key,
    /// What was left of its TTL at the first look, in ms.
    pub(crate) remaining_ms: u64,
    /// When it expires, by the server's clock.
    pub(crate) expires_at_ms: u64,
    /// The bounds of its idle time at the first look, in ms.
    pub(crate) idle_ms: Option<(u64, u64)>,
    /// The last look before its expiry.
    pub(crate) watched_ms: u64,
    /// What was found since.
    pub(crate) since: Since,
}

/// What was found of a key since the first look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Since {
    /// It lives, with the same expiry.
    Live,
    /// It ended before its expiry.
    Early,
    /// It expired, and was not back at this time.
    Absent(u64),
    /// It was written again so many ms after its expiry.
    Back(u64),
    /// It was not looked at for too long; it had not been back for so many ms before.
    Lost(Option<u64>),
}

/// What a later look found of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// It is there, at this time, and expires at that one.
    There {
        /// The time.
        at_ms: u64,
        /// The expiry; `None` if it has no TTL any more.
        expires_at_ms: Option<u64>,
    },
    /// It is not there.
    Gone {
        /// The time just before the look,
        from_ms: u64,
        /// and just after it.
        until_ms: u64,
    },
    /// That is not known: another node serves it now.
    Unknown,
}

impl Panel {
    /// Takes in what a look found, in the order of the keys.
    pub(crate) fn follow(&mut self, found: &[Found]) {
        let ttl_ms = self.ttl_ms;
        self.keys.iter_mut().zip(found).for_each(|(key, found)| key.follow(*found, ttl_ms));
    }

    /// Whether it tells nothing more at the time `now_ms`.
    pub(crate) fn is_over(&self, now_ms: u64) -> bool {
        let is_open = |key: &PanelKey| matches!(key.since, Since::Live | Since::Absent(_));
        now_ms.saturating_sub(self.begun_ms) >= self.ttl_ms.saturating_mul(TTL_PANEL_TTLS)
            || !self.keys.iter().any(is_open)
    }

    /// The keys as the estimate takes them, by what is known at the time of the last look.
    pub(crate) fn sampled(&self, found: &[Found]) -> Vec<SampledKey> {
        let sampled = |(key, found): (&PanelKey, &Found)| SampledKey {
            remaining_ms: key.remaining_ms,
            idle: key.idle(),
            follow_up: key.follow_up(*found, self.ttl_ms),
        };
        self.keys.iter().zip(found).map(sampled).collect()
    }
}

impl PanelKey {
    /// The bounds of its idle time.
    pub(crate) fn idle(&self) -> Option<Idle> {
        self.idle_ms.map(|(at_least_ms, at_most_ms)| Idle { at_least_ms, at_most_ms })
    }

    fn follow(&mut self, found: Found, ttl_ms: u64) {
        let expiry = self.expires_at_ms;
        let at_ms = match found {
            Found::There { at_ms, .. } | Found::Gone { until_ms: at_ms, .. } => at_ms,
            Found::Unknown => return self.lose(),
        };
        if at_ms < expiry {
            self.watched_ms = self.watched_ms.max(at_ms);
        }
        let waited_from = match self.since {
            Since::Live => expiry,
            Since::Absent(until_ms) => until_ms.max(expiry),
            Since::Early | Since::Back(_) | Since::Lost(_) => return,
        };
        self.since = match found {
            Found::There { expires_at_ms: Some(now), .. } if now == expiry => return,
            // It was made permanent, or written without a TTL.
            Found::There { expires_at_ms: None, at_ms } if at_ms < expiry => Since::Early,
            Found::There { expires_at_ms: None, .. } => return self.lose(),
            Found::There { expires_at_ms: Some(now), at_ms } => {
                let filled = now.saturating_sub(ttl_ms);
                if filled.saturating_add(tolerance(ttl_ms)) < expiry {
                    Since::Early
                } else if at_ms.saturating_sub(waited_from) <= ttl_ms {
                    Since::Back(filled.saturating_sub(expiry))
                } else {
                    return self.lose();
                }
            }
            Found::Gone { until_ms, .. } if until_ms < expiry => Since::Early,
            Found::Gone { from_ms, until_ms } => {
                if until_ms.saturating_sub(waited_from) > ttl_ms {
                    return self.lose();
                }
                Since::Absent(from_ms.max(expiry))
            }
            Found::Unknown => return,
        };
    }

    fn lose(&mut self) {
        self.since = match self.since {
            Since::Live => Since::Lost(None),
            Since::Absent(until_ms) => Since::Lost(Some(until_ms.saturating_sub(self.expires_at_ms))),
            known => known,
        };
    }

    fn follow_up(&self, found: Found, ttl_ms: u64) -> Option<FollowUp> {
        let is_watched = self.expires_at_ms.saturating_sub(self.watched_ms) <= ttl_ms / WATCHED;
        let is_due = match found {
            Found::There { at_ms, .. } | Found::Gone { until_ms: at_ms, .. } => at_ms >= self.expires_at_ms,
            Found::Unknown => false,
        };
        if !is_watched || !is_due {
            return None;
        }
        match self.since {
            Since::Live | Since::Lost(None) => None,
            Since::Early => Some(FollowUp::EndedEarly),
            Since::Absent(until_ms) => {
                Some(FollowUp::NotBack { within_ms: until_ms.saturating_sub(self.expires_at_ms) })
            }
            Since::Lost(Some(within_ms)) => Some(FollowUp::NotBack { within_ms }),
            Since::Back(after_ms) => Some(FollowUp::CameBack { after_ms }),
        }
    }
}

#[cfg(test)]
mod tests;
