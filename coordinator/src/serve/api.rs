//! The part of the service that answers programs: they start and stop runs and ask for statistics, in JSON.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::json;
use shared::ids::{Alias, RunId};
use shared::messages::{Attempt, Cancel, CancelKind};
use shared::nats::{Nats, NatsError, Request, Service};
use shared::supervise::Crew;

use super::{Job, Shared, start_run};
use crate::options::Options;
use crate::statistics::cleanup_statistics;

/// Where statistics are asked for.
pub const STATS_ENDPOINT: &str = "stats";

/// All endpoints; their subjects are `keysweep.api.<endpoint>`.
const ENDPOINTS: [&str; 3] = [STATS_ENDPOINT, "run", "cancel"];

/// What a program says to start a run: the document's option names.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct RunRequest {
    /// The job; may be left out where there is only one.
    pub job: Option<String>,
    /// Keys per listing command.
    pub scan_batch_size: Option<u32>,
    /// Whether inactive users' keys go as well.
    pub aggressive_cleanup: Option<bool>,
    /// Days without activity that make a user inactive.
    pub inactivity_threshold_days: Option<u32>,
    /// Whether metrics and recommendations are collected.
    pub generate_report: Option<bool>,
    /// Report only.
    pub dry_run: Option<bool>,
    /// Who asks, for the history.
    pub started_by: Option<String>,
}

/// What it is answered.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunAnswer {
    /// The run.
    pub run_id: RunId,
    /// Whether it is an earlier one that was left, and is gone on with.
    pub left: bool,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct StatsRequest {
    job: Option<String>,
    redis: Option<Alias>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CancelRequest {
    run_id: RunId,
    cause: Option<String>,
}

/// An answer, or a code as in HTTP and the reason.
type Answered = Result<Vec<u8>, (usize, String)>;

/// Answers programs until the shutdown.
pub(super) async fn run(shared: &Arc<Shared>, nats: &Nats) -> Result<(), NatsError> {
    // One request may look around in Redis for a while; the others do not wait for it.
    let mut crew = Crew::default();
    let mut service = Service::start(nats, env!("CARGO_PKG_VERSION"), &ENDPOINTS).await?;
    loop {
        let request = tokio::select! {
            () = shared.shutdown.cancelled() => return Ok(()),
            Some(_) = crew.next() => continue,
            request = service.next() => request,
        };
        let Some(request) = request else {
            return Err(NatsError::Request {
                what: "go on serving".to_owned(),
                cause: "the service ended".to_owned(),
            });
        };
        let shared = Arc::clone(shared);
        crew.start(request.endpoint, async move {
            let answer = answer(&shared, &request).await;
            request.answer(answer).await;
            Ok::<(), NatsError>(())
        });
    }
}

async fn answer(shared: &Shared, request: &Request) -> Answered {
    // A request without a body asks for what is usual.
    let body: &[u8] = if request.payload.trim_ascii().is_empty() { b"{}" } else { &request.payload };
    match request.endpoint {
        "run" => start(shared, &parse(body)?).await,
        "cancel" => cancel(shared, parse(body)?).await,
        _ => stats(shared, parse(body)?).await,
    }
}

fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, (usize, String)> {
    serde_json::from_slice(body).map_err(|e| (400, format!("the request cannot be read: {e}")))
}

fn write(answer: &impl Serialize) -> Answered {
    serde_json::to_vec(answer).map_err(failed)
}

fn failed(e: impl std::fmt::Display) -> (usize, String) {
    (500, e.to_string())
}

async fn start(shared: &Shared, request: &RunRequest) -> Answered {
    let job = choose(shared, request.job.as_deref())?;
    let options = options(job, request)?;
    let submitted = start_run(&shared.env, &options).await.map_err(|e| {
        let code = if e.refused() { 409 } else { 500 };
        (code, e.to_string())
    })?;
    let left = matches!(submitted, crate::submit::Submitted::Left(_));
    write(&RunAnswer { run_id: submitted.run(), left })
}

fn choose<'a>(shared: &'a Shared, name: Option<&str>) -> Result<&'a Job, (usize, String)> {
    let names = || shared.jobs.iter().map(|job| job.options.job.as_str()).collect::<Vec<_>>().join("`, `");
    match (name, shared.jobs.as_slice()) {
        (Some(name), _) => shared
            .job(name)
            .ok_or_else(|| (404, format!("there is no job `{name}`; there are `{}`", names()))),
        (None, [only]) => Ok(only),
        (None, _) => Err((400, format!("name one of the jobs: `{}`", names()))),
    }
}

/// The job's options with what the request changes.
fn options(job: &Job, request: &RunRequest) -> Result<Options, (usize, String)> {
    let mut options = job.options.clone();
    if let Some(aggressive) = request.aggressive_cleanup {
        options.aggressive = aggressive;
    }
    if let (Some(days), Some(order)) = (request.inactivity_threshold_days, &options.inactive) {
        options.inactive = Some(order.clone().after_days(days).map_err(|e| (400, e.to_string()))?);
    }
    if options.aggressive && options.inactive.is_none() {
        let why = "the job cannot find inactive users; set its `activity` and `identity`, or leave \
                   `aggressiveCleanup` out";
        return Err((400, why.to_owned()));
    }
    if let Some(keys) = request.scan_batch_size {
        if !(1..=10_000).contains(&keys) {
            return Err((
                400,
                format!("`scanBatchSize` is `{keys}`; it takes a whole number from 1 to 10000"),
            ));
        }
        options.rules.scan_batch_keys = keys;
    }
    if request.dry_run == Some(true) {
        options.dry_run = true;
        options.rules.action = shared::messages::Action::Report;
    }
    options.attempt = Attempt { number: 1, of: job.attempts, previous: None };
    options.started_by = request.started_by.clone().unwrap_or_else(|| "a program".to_owned());
    Ok(options)
}

async fn cancel(shared: &Shared, request: CancelRequest) -> Answered {
    let records = shared.env.records(request.run_id);
    if records.spec().await.map_err(failed)?.is_none() {
        return Err((404, format!("there is no run `{}`", request.run_id)));
    }
    let cause = request.cause.unwrap_or_else(|| "asked to by a program".to_owned());
    let ended = records.result().await.map_err(failed)?.is_some();
    let first =
        !ended && records.create_cancel(&Cancel { kind: CancelKind::Asked, cause }).await.map_err(failed)?;
    write(&json!({ "runId": request.run_id, "cancelled": first, "ended": ended }))
}

async fn stats(shared: &Shared, request: StatsRequest) -> Answered {
    let job = request.job.as_deref();
    let redis = match (&request.redis, job) {
        (Some(redis), _) => redis.clone(),
        (None, Some(name)) => choose(shared, Some(name))?.options.alias.clone(),
        (None, None) => match shared.jobs.first() {
            Some(job) => job.options.alias.clone(),
            None => return Err((404, "no job is served".to_owned())),
        },
    };
    write(&cleanup_statistics(&shared.env, &redis, job).await.map_err(failed)?)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use shared::config::{Environment, FlagLayer, resolve};

    use super::*;
    use crate::schedule::Schedule;

    fn job(flags: &[(&'static str, &str)]) -> Job {
        let mut layer = FlagLayer::default();
        for (flag, value) in flags {
            layer.value(flag, Some(value));
        }
        let settings = resolve(&layer, &Environment::default(), None).expect("good settings");
        Job {
            options: Options::from_settings(&settings).expect("good options"),
            schedule: Schedule::parse("* * * * *", "UTC").expect("a good schedule"),
            attempts: 1,
            backoff: Duration::ZERO,
            catch_up: false,
        }
    }

    #[test]
    fn a_request_may_turn_the_removal_of_inactive_users_caches_on_and_off() {
        let set_up = [("--activity", "zset:a"), ("--identity", "{user}:*")];
        let check = |flags: &[(&'static str, &str)], request: &str, expected: Result<Option<u64>, &str>| {
            let given = options(&job(flags), &serde_json::from_str(request).expect("JSON"));
            let days =
                |options: Options| options.looks_for_inactive().map(|order| order.threshold_ms / 86_400_000);
            match (given.map(days), expected) {
                (Err((400, why)), Err(word)) => assert!(why.contains(word), "{why}"),
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
    }
}
