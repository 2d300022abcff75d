//! Applies a request's fields to the pacing limits of a run. Pure.

use keysweep_config as config;
use keysweep_config::limits::LATENCY_BUDGET;
use keysweep_model::duration;
use keysweep_model::messages::PacingLimits;

use super::handlers::{ApiResult, RunRequest, bad_request, refused};
use crate::options::millis;

/// The `limits` of the job, with those of the request. The bounds are those of the settings.
pub(super) fn changed(mut limits: PacingLimits, request: &RunRequest) -> ApiResult<PacingLimits> {
    let check = |name, field, text: &str| config::check(name, field, text).map_err(bad_request);
    if let Some(text) = &request.latency_budget {
        check("latency_budget", "latencyBudget", text)?;
        if request.max_speed == Some(true) {
            let why = "`maxSpeed` means no latency budget, but `latencyBudget` sets one; omit one of them";
            return refused(400, why);
        }
        limits.latency_budget_ms = duration::parse(text).ok().map(millis);
    } else if request.max_speed == Some(true) {
        limits.latency_budget_ms = None;
    } else if request.max_speed == Some(false) && limits.latency_budget_ms.is_none() {
        limits.latency_budget_ms = duration::parse(LATENCY_BUDGET).ok().map(millis);
    }
    if let Some(keys) = request.rate_limit {
        check("rate_limit", "rateLimit", &keys.to_string())?;
        limits.keys_per_s_max = Some(keys);
    }
    Ok(limits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_change_the_limits_within_their_bounds() {
        let check = |request: &str, expected: Result<(Option<u64>, Option<u64>), &str>| {
            let limits = PacingLimits { latency_budget_ms: Some(5), keys_per_s_max: None };
            let changed = changed(limits, &serde_json::from_str(request).expect("JSON"));
            match (changed, expected) {
                (Ok(limits), expected) => {
                    assert_eq!(Ok((limits.latency_budget_ms, limits.keys_per_s_max)), expected, "{request}");
                }
                (Err(refusal), Err(part)) => {
                    assert!(refusal.code == 400 && refusal.why.contains(part), "{refusal:?}");
                }
                (Err(refusal), Ok(_)) => panic!("{request}: {refusal:?}"),
            }
        };
        check("{}", Ok((Some(5), None)));
        check(r#"{"latencyBudget": "2ms", "rateLimit": 7}"#, Ok((Some(2), Some(7))));
        check(r#"{"maxSpeed": true, "rateLimit": 7}"#, Ok((None, Some(7))));
        check(r#"{"maxSpeed": false}"#, Ok((Some(5), None)));
        check(r#"{"latencyBudget": "0s"}"#, Err("`latencyBudget` is `0s`; it takes a duration"));
        check(r#"{"latencyBudget": "fast"}"#, Err("`latencyBudget` is `fast`"));
        check(r#"{"rateLimit": 0}"#, Err("`rateLimit` is `0`; it takes a whole number from 1"));
        check(r#"{"maxSpeed": true, "latencyBudget": "2ms"}"#, Err("omit one of them"));
        let free =
            changed(PacingLimits::default(), &serde_json::from_str(r#"{"maxSpeed": false}"#).expect("JSON"));
        assert_eq!(free.expect("good").latency_budget_ms, Some(1), "the default");
    }
}
