//! Taking a sample: what it needs to know, and the application's counters wherever they are kept.

use crate::cluster::health::Look;
use crate::cluster::{Deployment, counters};
use crate::ids::{Alias, RunId};
use crate::messages::HitRateSource;
use crate::samples::{Counters, Moment, Sample};

/// For what a sample is taken.
#[derive(Clone, Debug)]
pub struct Purpose {
    /// The job.
    pub job: String,
    /// The deployment.
    pub redis: Alias,
    /// The run, unless it is taken between runs.
    pub run: Option<RunId>,
    /// Where in the run.
    pub moment: Moment,
}

impl Purpose {
    /// The sample of `look`, taken at `at_ms`.
    #[must_use]
    pub fn sample(self, look: &Look, application: Option<Counters>, at_ms: u64) -> Sample {
        Sample {
            job: self.job,
            redis: self.redis,
            run_id: self.run,
            moment: self.moment,
            at_ms,
            nodes: look.readings.clone(),
            application,
            memory_usage_percent: look.health.memory_usage_percent,
            latency: look.health.latency,
            matching_keys: None,
        }
    }
}

/// What the application has counted; `None` where Redis itself counts for it.
///
/// # Errors
/// What is wrong with the source, for people.
pub async fn application(
    deployment: &Deployment,
    source: &HitRateSource,
) -> Result<Option<Counters>, String> {
    match source {
        HitRateSource::Redis => Ok(None),
        HitRateSource::Hash(key) => counters::read(deployment, key).await.map(Some),
        HitRateSource::Prometheus => Err("prometheus".to_owned()),
    }
}
