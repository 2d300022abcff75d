//! Applies a request's fields to the pace of a run. Pure.

use keysweep_config as config;
use keysweep_config::limits::LATENCY_BUDGET;
use keysweep_model::duration;
use keysweep_model::messages::PacingLimits;

use super::handlers::{ApiError, ApiResult, RunRequest, refused};
use crate::options::millis;

/// The job's `pace`, changed by the request. The bounds are those of the settings.
pub(super) fn changed(mut pace: PacingLimits, request: &RunRequest) -> ApiResult<PacingLimits> {
    let check =
        |name, field, text: &str| config::check(name, field, text).map_err(|why| ApiError { code: 400, why });
    if let Some(text) = &request.latency_budget {
        check("latency_budget", "latencyBudget", text)?;
        if request.max_speed == Some(true) {
            let why = "`maxSpeed` means no latency budget, but `latencyBudget` sets one; omit one of them";
            return refused(400, why);
        }
        pace.latency_budget_ms = duration::parse(text).ok().map(millis);
    } else if request.max_speed == Some(true) {
        pace.latency_budget_ms = None;
    } else if request.max_speed == Some(false) && pace.latency_budget_ms.is_none() {
        pace.latency_budget_ms = duration::parse(LATENCY_BUDGET).ok().map(millis);
    }
    if let Some(keys) = request.rate_limit {
        check("rate_limit", "rateLimit", &keys.to_string())?;
        pace.keys_per_s_max = Some(keys);
    }
    Ok(pace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_change_the_pace_within_its_bounds() {
        let check = |request: &str, expected: Result<(Option<u64>, Option<u64>), &str>| {
            let pace = PacingLimits { latency_budget_ms: Some(5), keys_per_s_max: None };
            let changed = changed(pace, &serde_json::from_str(request).expect("JSON"));
            match (changed, expected) {
                (Ok(pace), expected) => {
                    assert_eq!(Ok((pace.latency_budget_ms, pace.keys_per_s_max)), expected, "{request}");
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
