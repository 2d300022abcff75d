//! What was counted between two looks: the requests of the application, and keys that servers removed by themselves.

use keysweep_model::time::rfc3339;
use keysweep_model::ttl_advice::TtlDiagnostics;
use keysweep_runtime::context::Context;
use keysweep_storage::counter_snapshot::{self, CounterSnapshot};
use keysweep_storage::store::StoreError;
use keysweep_ttl_advice::{Removals, Traffic};
use reporter::hit_rate::{self, CounterSnapshots, TrafficInterval};

use super::panel::Panel;
use super::report::{Refused, seconds};
use crate::options::Options;

/// What was counted between two looks.
pub(super) struct CountedInterval {
    from_ms: u64,
    to_ms: u64,
    traffic: hit_rate::Traffic,
    /// Keys that the servers removed by themselves; `None` if one of them does not say.
    pub(super) removals: Option<Removals>,
}

impl CountedInterval {
    /// The application's lookups since `panel` began until `at_ms`; `None` without a panel, and without counters of both
    /// times.
    pub(super) async fn of(
        context: &Context,
        options: &Options,
        panel: Option<&Panel>,
        at_ms: u64,
    ) -> Result<Option<Self>, StoreError> {
        let Some(panel) = panel else { return Ok(None) };
        let all = counter_snapshot::of(&*context.history_store, &options.alias).await?;
        let samples = CounterSnapshots::new(&all, &options.job, &options.application.hit_rate);
        let Some(interval) = samples.between(panel.begun_ms, at_ms) else { return Ok(None) };
        let TrafficInterval { from_ms, to_ms, traffic } = interval;
        Ok(Some(Self { from_ms, to_ms, traffic, removals: removals(&all, from_ms, to_ms) }))
    }

    /// Whether counters do not continue from its beginning to its end.
    pub(super) fn was_reset(&self) -> bool {
        self.traffic.resets > 0
    }

    /// The application's requests, or why they are not known; also adds them to `known`.
    pub(super) fn describe(&self, known: &mut TtlDiagnostics) -> Result<Traffic, Refused> {
        let window_ms = self.to_ms.saturating_sub(self.from_ms);
        known.counted_since = Some(rfc3339(self.from_ms));
        known.window_seconds = Some(seconds(window_ms));
        if self.was_reset() {
            return Err(Refused::new(
                "reset",
                "a server restarted or failed over, or its counters were reset, since the first look: what was counted \
                 before does not belong to what is counted now; look again later",
            ));
        }
        if let Some(removals) = self.removals {
            (known.expired, known.evicted) = (Some(removals.expired), Some(removals.evicted));
        }
        let (Some(lookups), Some(hits)) = (self.traffic.number(), self.traffic.hits()) else {
            let why = self.traffic.unknown_reason().unwrap_or_default();
            return Err(Refused::new("unknownHitRate", format!("the hit rate is not known: {why}")));
        };
        let misses = lookups.saturating_sub(hits);
        (known.requests, known.misses, known.hit_rate) = (Some(lookups), Some(misses), self.traffic.rate());
        Ok(Traffic { hits, misses, window_ms: Some(window_ms) })
    }
}

/// Keys that the servers removed by themselves between two snapshots; `None` if one of them does not say.
fn removals(all: &[CounterSnapshot], from_ms: u64, to_ms: u64) -> Option<Removals> {
    let at = |time| all.iter().find(|taken| taken.at_ms == time);
    let (first, last) = at(from_ms).zip(at(to_ms))?;
    let mut sum = Removals { expired: 0, evicted: 0 };
    for node in &last.nodes {
        let before = first.nodes.iter().find(|before| before.process == node.process)?.removals?;
        let now = node.removals?;
        sum.expired = sum.expired.saturating_add(now.expired.checked_sub(before.expired)?);
        sum.evicted = sum.evicted.saturating_add(now.evicted.checked_sub(before.evicted)?);
    }
    Some(sum)
}
