//! The advice about keys that are all written with one TTL, from what looks at them saw. It uses a processor for up to a
//! second, so not where requests are answered.

use std::time::Duration;

use keysweep_model::ttl_advice::refusal::{FIRST_LOOK, NOT_COMPARABLE};
use keysweep_model::ttl_advice::{TtlAdvice, TtlDiagnostics};
use keysweep_ttl_advice::limits::{FOLLOWED_MIN, FOLLOWED_SHARE_MIN};
use keysweep_ttl_advice::{CountedFor, Idle, Observation, Refusal, SampledKey, Traffic, advise};
use reporter::span;
use tokio::task::spawn_blocking;

use super::counted::CountedInterval;
use super::look::{SeenKey, TtlSample};
use super::panel::{Found, Panel};
use super::refused::loaded;
use super::report::{self, Refused};

/// The seed of random weights: the same looks give the same advice.
const SEED: u64 = 1;

/// What was seen of the keys that are written with one TTL.
pub(super) struct Seen {
    pub(super) ttl_ms: u64,
    /// The keys of this look.
    pub(super) sample: TtlSample,
    /// Those of an earlier one, and what this look found of them.
    pub(super) panel: Option<Panel>,
    pub(super) found: Vec<Found>,
    /// What was counted between that look and this one.
    pub(super) interval: Option<CountedInterval>,
    /// Which requests those are.
    pub(super) counted_for: CountedFor,
    /// What is known besides.
    pub(super) known: TtlDiagnostics,
    /// When another look knows more.
    pub(super) again: Duration,
    pub(super) target_hit_rate: Option<f64>,
}

impl Seen {
    /// The advice.
    pub(super) async fn advice(self) -> TtlAdvice {
        let known = self.known.clone();
        match spawn_blocking(move || self.estimate()).await {
            Ok(advice) => advice,
            // It has panicked, or the process ends.
            Err(e) => Refused::new("failed", format!("the estimate failed: {e}")).advice(known),
        }
    }

    fn estimate(mut self) -> TtlAdvice {
        let counted = self.counted();
        let fresh: Vec<SampledKey> = self.sample.keys.iter().map(sampled).collect();
        let panel = self.panel.as_ref();
        let followed = panel.map(|panel| panel.sampled(&self.found)).filter(|keys| is_panel(keys));
        let keys = followed.as_ref().unwrap_or(&fresh);
        self.known.followed_keys = keys.iter().filter(|key| key.follow_up.is_some()).count() as u64;
        let now = self.sample.live_keys;
        let live_keys = panel.map_or(now, |panel| panel.live_keys.midpoint(now));
        let observation = Observation {
            ttl_ms: self.ttl_ms,
            keys,
            traffic: counted.as_ref().ok().copied().unwrap_or(Traffic {
                hits: 0,
                misses: 0,
                window_ms: None,
            }),
            counted_for: self.counted_for,
            removals: self.interval.as_ref().and_then(|interval| interval.removals),
            live_keys: Some(live_keys),
            key_bytes: self.sample.key_bytes(),
        };
        let advice = advise(&observation, self.target_hit_rate, SEED);
        let mut answer = report::advice(&advice, live_keys, self.known);
        let without_idle_times = loaded(&self.sample, self.ttl_ms);
        if without_idle_times.is_some() {
            answer.diagnostics.never_read = None;
        }
        let refused = match (&advice.curve, counted) {
            // Without counts, the other reasons to refuse still hold.
            (Err(Refusal::TooFewRequests { .. }), Err(why)) => Some(why),
            // What depends on idle times.
            (Ok(_) | Err(Refusal::SlidingTtl { .. } | Refusal::OtherPattern { .. }), _) => without_idle_times,
            _ => None,
        };
        match refused {
            Some(why) => why.advice(answer.diagnostics),
            None => answer,
        }
    }

    /// The requests that were counted, or why they are not known.
    fn counted(&mut self) -> Result<Traffic, Refused> {
        match (&self.interval, &self.panel) {
            (Some(interval), _) => interval.describe(&mut self.known),
            (None, Some(_)) => Err(Refused::new(
                NOT_COMPARABLE,
                "the counters of the first look cannot be compared with those of now: a run of keysweep was going on, or \
                 they are no longer kept; look again later",
            )),
            (None, None) => {
                let again = span(self.again.as_secs_f64());
                let why = format!(
                    "hits and misses need two looks, and this is the first at these keys with this TTL; look again in \
                     {again}"
                );
                Err(Refused::new(FIRST_LOOK, why))
            }
        }
    }
}

fn sampled(key: &SeenKey) -> SampledKey {
    SampledKey { remaining_ms: key.remaining_ms, idle: idle(key), follow_up: None }
}

/// When a key was last used.
pub(super) fn idle(key: &SeenKey) -> Option<Idle> {
    let clock_ms = key.expires_at_ms.saturating_sub(key.remaining_ms);
    key.idle_s.map(|idle_s| Idle::from_seconds(idle_s, clock_ms))
}

/// Whether enough keys were followed.
fn is_panel(keys: &[SampledKey]) -> bool {
    let followed = keys.iter().filter(|key| key.follow_up.is_some()).count();
    #[expect(clippy::cast_precision_loss, reason = "there are some thousands")]
    let is_enough = followed as f64 >= FOLLOWED_SHARE_MIN * keys.len() as f64;
    followed >= FOLLOWED_MIN && is_enough
}
