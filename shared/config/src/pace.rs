//! `max_speed` and `latency_budget` exclude each other. The one from the higher layer wins; both in the same layer are
//! an error.

use std::time::Duration;

use super::error::{ConfigError, subject};
use super::layers::Layers;
use super::origin::{Origin, Setting};
use super::parse;
use super::table::JobSources;

/// The latency budget; `None` at full speed.
pub(super) fn budget(job: &JobSources<'_>) -> Result<Setting<Option<Duration>>, ConfigError> {
    pace(&job.layers).map(|(budget, _)| budget)
}

/// Whether the run is at full speed.
pub(super) fn max_speed(job: &JobSources<'_>) -> Result<Setting<bool>, ConfigError> {
    pace(&job.layers).map(|(_, max_speed)| max_speed)
}

type Pace = (Setting<Option<Duration>>, Setting<bool>);

/// Both together. Where problems are collected, a contradiction counts as full speed.
fn pace(layers: &Layers<'_>) -> Result<Pace, ConfigError> {
    let budget = layers.must("latency_budget", parse::time)?;
    let max_speed = layers.must("max_speed", parse::switch)?;
    if !max_speed.value {
        return Ok((budget.map(Some), max_speed));
    }
    let (of_budget, of_speed) = (budget.origin.rank(), max_speed.origin.rank());
    if budget.origin != Origin::Default && of_budget == of_speed {
        let (speed, budget) =
            (subject(&max_speed.origin, "max_speed"), subject(&budget.origin, "latency_budget"));
        let problem = ConfigError::Contradiction(format!(
            "{speed} goes without a latency budget, but {budget} sets one; leave one of them out (a `--rate-limit` \
             may stand beside either)"
        ));
        return layers.tolerate(Err(problem), (max_speed.derive(None), max_speed));
    }
    if of_budget > of_speed {
        let max_speed = budget.derive(false);
        return Ok((budget.map(Some), max_speed));
    }
    Ok((max_speed.derive(None), max_speed))
}
