//! The handlers of the service's API: start and cancel runs, list and show them, and return statistics. NATS
//! (`api.rs`) and HTTP (`http.rs`) both call them.

use std::fmt::Display;
use std::sync::Arc;

use keysweep_config as config;
use keysweep_config::is_name;
use keysweep_model::ids::{Alias, RunId};
use keysweep_model::messages::{Attempt, HitRateSource};
use keysweep_model::printable::Printable;
use keysweep_model::ttl_advice::SampledTtlAdvice;
use keysweep_storage::history::{self, RunLine};
use keysweep_storage::ttl_advice::of as latest_ttl_advice;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ServedJob, ServiceState, override_policy, pacing_limits};
use crate::inactive_policy;
use crate::limits::REQUEST_TEXT_BYTES_MAX;
use crate::options::Options;
use crate::runs::{self, Cancelled, RunView};
use crate::statistics::{Statistics, cleanup_statistics, with_sample};
use crate::submit::Submitted;

/// The request to start a run. It may only be gentler than the job, except in the fields that the job's
/// `allow_override` lists.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct RunRequest {
    /// The job; optional if there is only one.
    pub job: Option<String>,
    /// Keys per listing command.
    pub scan_batch_size: Option<u32>,
    /// Whether keys of inactive users are deleted, too.
    pub aggressive_cleanup: Option<bool>,
    /// Days without activity that make a user inactive.
    pub inactivity_threshold_days: Option<u32>,
    /// Whether keys of inactive users are deleted even if the sample has no key of an active one.
    pub allow_no_active: Option<bool>,
    /// Whether metrics and recommendations are collected.
    pub generate_report: Option<bool>,
    /// Report only.
    pub dry_run: Option<bool>,
    /// How much the p99 of the application's requests may grow, such as `2ms`.
    pub latency_budget: Option<String>,
    /// Keys that the run may read in a second.
    pub rate_limit: Option<u64>,
    /// Whether the run ignores the application's latency.
    pub max_speed: Option<bool>,
    /// The client, for the history.
    pub started_by: Option<String>,
}

/// The response to a [`RunRequest`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunAnswer {
    /// The run.
    pub run_id: RunId,
    /// Whether it is an earlier one that was left, and is gone on with.
    pub left: bool,
}

/// The deployment or job to return statistics for.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(super) struct StatsRequest {
    /// The job; without it, all jobs of the deployment.
    pub(super) job: Option<String>,
    /// The alias of the Redis deployment; without it, that of the job, or of the first job.
    pub(super) redis: Option<Alias>,
}

/// Which job.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct JobRequest {
    /// The job; the first one if it is not given.
    pub(super) job: Option<String>,
}

/// The run to cancel, and why.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct CancelRequest {
    pub(super) run_id: RunId,
    pub(super) cause: Option<String>,
}

/// The runs to list.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(super) struct RunsRequest {
    /// The job; without it, all jobs.
    pub(super) job: Option<String>,
    /// Return only the newest runs, this many; without it, all.
    #[schemars(with = "Option<u32>")]
    pub(super) limit: Option<usize>,
}

/// Runs, newest last.
#[derive(Serialize, JsonSchema)]
pub(super) struct Runs {
    /// The runs in the history, the newest last.
    #[schemars(with = "Vec<RunLine>")]
    runs: Vec<Value>,
}

/// An error response.
#[derive(Debug)]
pub(super) struct ApiError {
    /// An HTTP status code.
    pub(super) code: u16,
    /// The reason, as text.
    pub(super) why: String,
}

/// The TTL advice of a job.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct TtlAdviceAnswer {
    /// The job.
    job: String,
    /// The time from one look at its keys to the next, in seconds; 0 if there are none.
    every_seconds: f64,
    /// The latest advice; null before the first look.
    advice: Option<SampledTtlAdvice>,
}

/// A response, or an error response.
pub(super) type ApiResult<T> = Result<T, ApiError>;

pub(super) fn refused<T>(code: u16, why: impl Into<String>) -> ApiResult<T> {
    Err(ApiError { code, why: why.into() })
}

/// The error of a request that the service cannot carry out.
pub(super) fn failed(e: impl Display) -> ApiError {
    ApiError { code: 500, why: e.to_string() }
}

/// The error of a request that is wrong.
pub(super) fn bad_request(why: impl Display) -> ApiError {
    ApiError { code: 400, why: why.to_string() }
}

fn no_such_run(run: RunId) -> ApiError {
    ApiError { code: 404, why: format!("there is no run `{run}`") }
}

/// Serializes a response.
pub(super) fn write(answer: &impl Serialize) -> ApiResult<Vec<u8>> {
    serde_json::to_vec(answer).map_err(failed)
}

/// A text from a request that is stored or shown; an error if it is too long.
fn text(name: &str, text: Option<String>) -> ApiResult<Option<String>> {
    match text {
        Some(text) if text.len() > REQUEST_TEXT_BYTES_MAX => {
            refused(400, format!("`{name}` is longer than {REQUEST_TEXT_BYTES_MAX} bytes"))
        }
        text => Ok(text),
    }
}

/// Starts a run, and returns as soon as it is stored and waits for workers.
pub(super) async fn start(shared: &Arc<ServiceState>, request: &RunRequest) -> ApiResult<RunAnswer> {
    let job = choose(shared, request.job.as_deref())?;
    let options = options(job, request)?;
    let submitted = shared
        .start(&options)
        .await
        .map_err(|e| ApiError { code: if e.refused() { 409 } else { 500 }, why: e.to_string() })?;
    let left = matches!(submitted, Submitted::Resumed(_));
    Ok(RunAnswer { run_id: submitted.run(), left })
}

/// Cancels a run.
pub(super) async fn cancel(shared: &ServiceState, request: CancelRequest) -> ApiResult<Cancelled> {
    let cause = text("cause", request.cause)?.unwrap_or_else(|| "requested through the API".to_owned());
    let run = request.run_id;
    runs::cancel(&shared.context, run, cause).await.map_err(failed)?.ok_or_else(|| no_such_run(run))
}

/// The remembered runs. A job is known if it is served, or was once.
pub(super) async fn runs(shared: &ServiceState, request: &RunsRequest) -> ApiResult<Runs> {
    let mut runs = history::read(&*shared.context.history_store).await.map_err(failed)?;
    if let Some(job) = &request.job {
        runs.retain(|line| *job == line.job);
        if runs.is_empty() {
            choose(shared, Some(job))?;
        }
    }
    let surplus = runs.len().saturating_sub(request.limit.unwrap_or(usize::MAX));
    Ok(Runs { runs: runs[surplus..].iter().map(RunLine::as_json).collect() })
}

/// The state of one run.
pub(super) async fn run(shared: &ServiceState, run: RunId) -> ApiResult<RunView> {
    runs::find(&shared.context, run).await.map_err(failed)?.ok_or_else(|| no_such_run(run))
}

/// The state of jobs, cache and Redis.
pub(super) async fn stats(shared: &ServiceState, request: &StatsRequest) -> ApiResult<Statistics> {
    // Keys of store entries contain it.
    if let Some(redis) = request.redis.as_ref().filter(|redis| !is_name(redis.as_str())) {
        let shown = Printable(redis.as_str().chars().take(40).collect::<String>().as_bytes()).to_string();
        return refused(400, format!("`redis` is `{shown}`, which is not a name of a deployment"));
    }
    let job = match (request.job.as_deref(), &request.redis) {
        (Some(name), _) => Some(choose(shared, Some(name))?),
        (None, Some(redis)) => shared.jobs.iter().find(|job| job.options.alias == *redis),
        (None, None) => shared.jobs.first(),
    };
    let of_job = job.map(|job| (&job.options.alias, &job.options.application.hit_rate));
    let (redis, source) = match (&request.redis, of_job) {
        (Some(redis), of_job) => (redis, of_job.map_or(&HitRateSource::Redis, |(_, source)| source)),
        (None, Some(of_job)) => of_job,
        (None, None) => return refused(404, "no job is served"),
    };
    let job_name = request.job.as_deref();
    // A sample of keys is for one job.
    let one = job.filter(|_| job_name.is_some() || shared.jobs.len() == 1);
    let selection = one.map(|job| job.options.selection());
    let found = cleanup_statistics(&shared.context, redis, job_name, source, selection.as_ref());
    let found = found.await.map_err(failed)?;
    Ok(match one {
        Some(job) => with_sample(found, &shared.context, &job.options).await,
        None => found,
    })
}

/// What other TTLs would do to the cache of a job.
pub(super) async fn ttl_advice(shared: &ServiceState, request: &JobRequest) -> ApiResult<TtlAdviceAnswer> {
    let job = request.job_of(shared)?;
    let name = &job.options.job;
    let advice = latest_ttl_advice(&*shared.context.history_store, name).await.map_err(failed)?;
    Ok(TtlAdviceAnswer { job: name.clone(), every_seconds: job.ttl_looks.every.as_secs_f64(), advice })
}

impl JobRequest {
    /// The job, if it is served.
    pub(super) fn job_of<'a>(&self, shared: &'a ServiceState) -> ApiResult<&'a ServedJob> {
        match self.job.as_deref() {
            None => shared.jobs.first().map_or_else(|| choose(shared, None), Ok),
            name => choose(shared, name),
        }
    }
}

pub(super) fn choose<'a>(shared: &'a ServiceState, name: Option<&str>) -> ApiResult<&'a ServedJob> {
    let names = || shared.jobs.iter().map(|job| job.options.job.as_str()).collect::<Vec<_>>().join("`, `");
    match (name, shared.jobs.as_slice()) {
        (Some(name), _) => match shared.job(name) {
            Some(job) => Ok(job),
            None => refused(404, format!("there is no job `{name}`; there are `{}`", names())),
        },
        (None, [only]) => Ok(only),
        (None, _) => refused(400, format!("name one of the jobs: `{}`", names())),
    }
}

/// The job's options, changed by the request.
pub(super) fn options(job: &ServedJob, request: &RunRequest) -> ApiResult<Options> {
    let mut options = job.options.clone();
    options.aggressive = request.aggressive_cleanup.unwrap_or(options.aggressive);
    if let (Some(allow), Some(order)) = (request.allow_no_active, &mut options.inactive) {
        order.allow_no_active = allow;
    }
    if let Some(days) = request.inactivity_threshold_days
        && let Some(order) = options.inactive.take()
    {
        config::check("inactivity_threshold_days", "inactivityThresholdDays", &days.to_string())
            .map_err(bad_request)?;
        options.inactive = Some(inactive_policy::after_days(order, days).map_err(bad_request)?);
    }
    if options.aggressive && options.inactive.is_none() {
        let why = "the job cannot find inactive users; set its `activity` and `identity`, or leave \
                   `aggressiveCleanup` out";
        return refused(400, why);
    }
    if let Some(keys) = request.scan_batch_size {
        if !(1..=10_000).contains(&keys) {
            let why = format!("`scanBatchSize` is `{keys}`; it takes a whole number from 1 to 10000");
            return refused(400, why);
        }
        options.rules.scan_batch_keys = keys;
    }
    if let Some(dry_run) = request.dry_run {
        options.dry_run = dry_run;
        options.rules.set_dry_run(dry_run, job.action);
    }
    options.pacing = pacing_limits::changed(options.pacing, request)?;
    options.check().map_err(bad_request)?;
    override_policy::check(job, request)?;
    options.attempt = Attempt { number: 1, of: job.attempts, previous: None };
    let started_by = text("startedBy", request.started_by.clone())?;
    options.started_by = started_by.unwrap_or_else(|| "a program".to_owned());
    Ok(options)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use keysweep_config::{Environment, FlagLayer, overrides, resolve};
    use keysweep_model::messages::Action;

    use super::*;
    use crate::schedule::Schedule;
    use crate::ttl_advice::TtlLooks;

    fn job(flags: &[(&'static str, &str)]) -> ServedJob {
        let mut layer = FlagLayer::default();
        for (flag, value) in flags {
            layer.value(flag, Some(value));
        }
        let settings = resolve(&layer, &Environment::default(), None).expect("good settings");
        ServedJob {
            options: Options::from_settings(&settings).expect("good options"),
            action: Action::Delete,
            allow_override: overrides(),
            schedule: Schedule::parse("* * * * *", "UTC").expect("a good schedule").into(),
            attempts: 1,
            backoff: Duration::ZERO,
            catch_up: false,
            sample_every: Duration::from_secs(3_600),
            ttl_looks: TtlLooks::default(),
        }
    }

    #[test]
    fn a_request_may_turn_the_removal_of_inactive_users_caches_on_and_off() {
        let set_up = [("--activity", "zset:a"), ("--identity", "{user}:*")];
        let check = |flags: &[(&'static str, &str)], request: &str, expected: Result<Option<u64>, &str>| {
            let given = options(&job(flags), &serde_json::from_str(request).expect("JSON"));
            let days =
                |options: Options| options.inactive_policy().map(|order| order.threshold_ms / 86_400_000);
            match (given.map(days), expected) {
                (Err(refusal), Err(word)) => {
                    assert!(refusal.code == 400 && refusal.why.contains(word), "{}", refusal.why);
                }
                (given, expected) => assert_eq!(given.ok(), expected.ok(), "{request}"),
            }
        };
        let on = [set_up[0], set_up[1], ("--aggressive", "true")];
        check(&set_up, "{}", Ok(None));
        check(&set_up, r#"{"aggressiveCleanup": true}"#, Ok(Some(30)));
        check(&set_up, r#"{"aggressiveCleanup": true, "inactivityThresholdDays": 7}"#, Ok(Some(7)));
        check(&on, r#"{"inactivityThresholdDays": 7}"#, Ok(Some(7)));
        check(&on, r#"{"aggressiveCleanup": false}"#, Ok(None));
        check(&on, r#"{"inactivityThresholdDays": 0}"#, Err("inactivityThresholdDays"));
        check(&[], r#"{"aggressiveCleanup": true}"#, Err("`activity`"));
        check(&[], "{}", Ok(None));
        let saved = [("--activity", "idletime"), ("--backup", "/backups")];
        check(&saved, r#"{"aggressiveCleanup": true}"#, Err("`backup`"));
    }
}
