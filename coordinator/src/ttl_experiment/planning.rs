//! What a plan rests on, and the plan.

use keysweep_model::ids::RunId;
use keysweep_ttl_experiment::limits::LOOK_BACK_TTLS;
use keysweep_ttl_experiment::{Plan, Question, bucket_of, overdispersion, plan};

use super::look::{read_keys, server_time};
use super::{Experiment, ExperimentError, ExperimentRequest};
use crate::limits::EXPERIMENT_OVERDISPERSION;

/// What a plan rests on.
pub(super) struct Measured {
    pub(super) fills_per_s: f64,
    pub(super) overdispersion: f64,
    pub(super) overdispersion_measured: Option<f64>,
}

impl Experiment {
    /// What was measured, and the plan for it.
    pub(super) async fn planned(
        &self,
        request: &ExperimentRequest,
    ) -> Result<(Measured, Plan), ExperimentError> {
        let measured = self.measure(request).await?;
        let plan = plan(&Question {
            control_ttl_ms: request.control_ttl_ms,
            treated_ttl_ms: request.ttl_ms,
            buckets: request.buckets,
            period_ms: request.period_ms,
            effect: request.effect,
            margin: request.margin,
            alpha: request.alpha,
            power: request.power,
            overdispersion: measured.overdispersion,
            fills_per_s: measured.fills_per_s,
        })?;
        Ok((measured, plan))
    }

    /// What was written within half of the TTL of today, unless both figures are given.
    async fn measure(&self, request: &ExperimentRequest) -> Result<Measured, ExperimentError> {
        if let (Some(fills_per_s), Some(overdispersion)) = (request.fills_per_s, request.overdispersion) {
            return Ok(Measured { fills_per_s, overdispersion, overdispersion_measured: None });
        }
        let (ttl_ms, now_ms) = (request.control_ttl_ms, server_time(&self.client).await?);
        let window_ms = ((ttl_ms as f64 * LOOK_BACK_TTLS) as u64).max(2);
        let (salt, mut halves) =
            (RunId::new().to_string(), vec![(0.0, 0.0); request.buckets.max(1) as usize]);
        read_keys(&self.client, &self.keys, self.breaks, now_ms, |key| {
            let age_ms = (now_ms + ttl_ms).checked_sub(key.expires_ms).filter(|age_ms| *age_ms < window_ms);
            let bucket = bucket_of(&salt, key.user, request.buckets) as usize;
            if let (Some(age_ms), Some((first, second))) = (age_ms, halves.get_mut(bucket)) {
                *(if age_ms >= window_ms / 2 { first } else { second }) += 1.0;
            }
        })
        .await?;
        let fills: f64 = halves.iter().map(|(first, second)| first + second).sum();
        if fills < 1.0 && request.fills_per_s.is_none() {
            return Err(ExperimentError::NothingWritten { within_s: window_ms as f64 / 1_000.0 });
        }
        let measured = overdispersion(&halves);
        let assumed = measured.unwrap_or_default().max(EXPERIMENT_OVERDISPERSION);
        Ok(Measured {
            fills_per_s: request.fills_per_s.unwrap_or(fills * 1_000.0 / window_ms as f64),
            overdispersion: request.overdispersion.unwrap_or(assumed),
            overdispersion_measured: measured.filter(|_| request.overdispersion.is_none()),
        })
    }
}
