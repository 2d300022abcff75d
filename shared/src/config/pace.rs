//! Full speed and a latency budget exclude each other. Who says so in a higher layer wins, as everywhere; in one and the
//! same layer it is a contradiction, and nobody guesses which of the two was meant.

use std::time::Duration;

use super::error::{ConfigError, subject};
use super::layers::Layers;
use super::origin::{Origin, Setting};
use super::parse;

/// The latency budget, `None` at full speed; and whether that was asked for.
///
/// # Errors
/// When either value is bad, or both are given by the same layer.
pub(super) fn latency_budget(
    layers: &Layers<'_>,
) -> Result<(Setting<Option<Duration>>, Setting<bool>), ConfigError> {
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
