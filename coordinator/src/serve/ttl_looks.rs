//! Looks of the service at keys with a TTL, and the advice that follows from them: kept in its store, published as an event
//! when it is another one, and shown in metrics. Several services may run: one of them claims each look.

use std::time::Duration;

use keysweep_model::duration::millis;
use keysweep_model::time::{now_ms, rfc3339};
use keysweep_model::ttl_advice::SampledTtlAdvice;
use keysweep_model::ttl_advice::refusal::NOT_COMPARABLE;
use keysweep_storage::events::Event;
use keysweep_storage::history;
use keysweep_storage::store::StoreError;
use keysweep_storage::ttl_advice::{claim_look, keep, of};
use serde_json::json;

use super::{ServedJob, ServiceState};
use crate::shared_run;
use crate::ttl_advice::{TtlAdviceError, follow, ttl_advice};

/// When looks are due: at the middle of each interval, because samples and most schedules begin with an hour or a minute.
pub(super) struct LookTimes {
    /// `None`: never.
    every_ms: Option<u64>,
    /// The number of the last interval whose time has come.
    last: u64,
}

impl LookTimes {
    /// The first look after `now_ms` is the first one that is due. `every`: zero for none.
    pub(super) fn new(every: Duration, now_ms: u64) -> Self {
        let every_ms = (!every.is_zero()).then(|| millis(every).max(1_000));
        let times = Self { every_ms, last: 0 };
        Self { last: times.number(now_ms).unwrap_or_default(), ..times }
    }

    /// The number of the interval whose look is due, once.
    pub(super) fn due(&mut self, now_ms: u64) -> Option<u64> {
        let number = self.number(now_ms).filter(|number| *number > self.last)?;
        self.last = number;
        Some(number)
    }

    /// When the next look is due, in milliseconds since the epoch.
    pub(super) fn next_ms(&self) -> Option<u64> {
        self.every_ms.map(|every_ms| (self.last + 1) * every_ms + every_ms / 2)
    }

    fn number(&self, now_ms: u64) -> Option<u64> {
        self.every_ms.map(|every_ms| now_ms.saturating_sub(every_ms / 2) / every_ms)
    }
}

/// Looks at the keys of `job` in time slot `slot`. During a run, only at those that are followed: its lookups are not known
/// before it has ended.
pub(super) async fn look(shared: &ServiceState, job: &ServedJob, slot: u64) -> Result<(), TtlAdviceError> {
    let (context, options, request) = (&shared.context, &job.options, &job.ttl_looks.request);
    let (store, name) = (&*context.history_store, &options.job);
    if !claim_look(store, name, slot).await? {
        show(shared, job, of(store, name).await?.as_ref());
        return Ok(());
    }
    if is_running(shared, job).await? {
        return follow(context, options, request).await;
    }
    let advice = ttl_advice(context, options, request).await.or_else(TtlAdviceError::into_refusal)?;
    // A run has begun since. What was said before still holds.
    if advice.with_groups().any(|advice| advice.is_refused_as(NOT_COMPARABLE)) {
        return Ok(());
    }
    let at_ms = now_ms();
    let latest = SampledTtlAdvice { at: rfc3339(at_ms), advice };
    if keep(store, name, &latest).await? {
        tracing::info!("[{}] TTL advice: {}", options.display_name, sentence(&latest));
        context.emit_event(&Event::ttl_advice(name, at_ms, json!(latest))).await;
    }
    show(shared, job, Some(&latest));
    Ok(())
}

/// Whether a run is in progress whose lookups the servers count.
async fn is_running(shared: &ServiceState, job: &ServedJob) -> Result<bool, StoreError> {
    let lines = history::read(&*shared.context.history_store).await?;
    for line in lines.iter().filter(|line| line.status.is_none() && line.redis == job.options.alias) {
        let is_gone = shared.here.is_some() && shared_run::is_silent(&shared.context, line, now_ms()).await?;
        if !is_gone {
            return Ok(true);
        }
    }
    Ok(false)
}

fn show(shared: &ServiceState, job: &ServedJob, latest: Option<&SampledTtlAdvice>) {
    let (name, redis) = (&job.options.job, &job.options.alias);
    let current = latest.and_then(|latest| latest.advice.diagnostics.current_ttl_seconds);
    let recommended = latest.and_then(|latest| Some(latest.advice.recommended.as_ref()?.ttl_seconds));
    shared.context.telemetry.ttls(name, redis, current, recommended);
}

fn sentence(latest: &SampledTtlAdvice) -> String {
    let advice = &latest.advice;
    match (&advice.refused, &advice.recommended) {
        (Some(why), _) => why.clone(),
        (None, Some(chosen)) => {
            format!("{} is recommended, because {}", reporter::span(chosen.ttl_seconds), chosen.reason)
        }
        (None, None) => "no TTL is recommended".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_are_due_once_in_the_middle_of_each_interval() {
        let mut times = LookTimes::new(Duration::from_secs(10), 21_000);
        assert_eq!(times.next_ms(), Some(25_000));
        for (now_ms, due) in [
            (21_000, None),
            (24_999, None),
            (25_000, Some(2)),
            (25_001, None),
            (47_000, Some(4)),
            (48_000, None),
        ] {
            assert_eq!(times.due(now_ms), due, "{now_ms}");
        }
        assert_eq!(times.next_ms(), Some(55_000));
    }

    #[test]
    fn no_look_is_ever_due_without_an_interval() {
        let mut times = LookTimes::new(Duration::ZERO, 21_000);
        assert_eq!((times.due(u64::MAX), times.next_ms()), (None, None));
    }
}
