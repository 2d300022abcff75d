//! `keysweep run --via URL`: a service carries out the run. This command starts it there over HTTP, follows it here, and
//! stops it there at a signal.

use std::cell::Cell;
use std::time::Duration;

use coordinator::drive::Progress;
use coordinator::exit;
use coordinator::options::Options;
use coordinator::process_id::myself;
use coordinator::runs::ProgressView;
use keysweep_config::{
    self as config, Environment, FlagLayer, Given, Group, Origin, SecretSource, Section, SettingDef,
    SettingKind, Settings,
};
use keysweep_http::{ApiReply, ServiceApi, WebError};
use keysweep_model::ids::RunId;
use keysweep_model::messages::{Attempt, Cancel, CancelKind};
use keysweep_model::printable::one_line;
use keysweep_model::result::{CleanupResult, Status};
use keysweep_state::RunningService;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use super::error::CommandError;
use super::followed::{FollowState, follow};
use super::health::reachable;
use super::progress;
use super::remote::shown;
use super::run::{OutputMode, asked};
use super::signals::Signals;

/// How long a service may be away, such as while it is restarted, before its run is given up.
const SERVICE_GONE_AFTER: Duration = Duration::from_secs(60);

/// Settings of this machine, which mean nothing to a service.
const OF_THIS_MACHINE: [&str; 4] = ["name", "state_dir", "report_dir", "metrics_file"];

/// A run that a service is asked for.
pub struct ViaRequest<'a> {
    /// The URL of the service.
    pub url: &'a str,
    /// The body of the request.
    pub body: Value,
    /// Whether it is confirmed in advance.
    pub yes: bool,
    /// Whether the command only starts the run.
    pub detach: bool,
}

/// The body of the request: the job, and what flags and environment say about the run.
///
/// # Errors
/// For a setting that no request can change: ignoring it could delete what it protects.
pub fn request_body(
    flags: &FlagLayer,
    environment: &Environment,
    settings: &Settings,
) -> Result<Value, CommandError> {
    let mut body = json!({ "startedBy": myself() });
    if settings.job.origin != Origin::Default {
        body["job"] = settings.job.value.clone().into();
    }
    for Given { row, origin, texts } in config::given(flags, environment) {
        match row.json {
            Some(field) => body[field.name] = value(row.kind, &texts),
            None if is_of_this_machine(row, &origin) => {}
            None => {
                return Err(CommandError::Usage(format!(
                    "{origin} cannot be sent with `--via`: the service runs a job as its own job file says; set it there, or \
                     leave it out"
                )));
            }
        }
    }
    Ok(body)
}

fn value(kind: SettingKind, texts: &[String]) -> Value {
    let text = texts.join(",");
    match kind {
        SettingKind::Switch => text.parse::<bool>().map_or(Value::String(text), Value::from),
        SettingKind::Whole { .. } => text.parse::<u64>().map_or(Value::String(text), Value::from),
        _ => Value::String(text),
    }
}

/// Whether a service does not need to know the setting. A flag is always meant for this run; of the variables, which may be
/// there for other commands, those that say what is deleted, and how fast.
fn is_of_this_machine(row: &SettingDef, origin: &Origin) -> bool {
    let about_the_run = matches!(
        row.group,
        Group::Selection | Group::InactiveUsers | Group::Action | Group::Safety | Group::Pace
    );
    OF_THIS_MACHINE.contains(&row.name)
        || row.section == Section::Serve
        || matches!(origin, Origin::Env(_)) && !about_the_run
}

/// Starts the run, and follows it unless it is detached.
///
/// # Errors
/// When the service refuses the run or cannot be reached, or the run has no result.
pub async fn run(
    settings: &Settings,
    request: &ViaRequest<'_>,
    show: OutputMode,
) -> Result<u8, CommandError> {
    let token = settings.api_token.value.as_ref().map(SecretSource::read).transpose()?;
    let (service, mut signals) = (ServiceApi::new(request.url, token)?, Signals::catch()?);
    if !request.yes && request.body["dryRun"] != true {
        let what = request.body["job"].as_str().map_or("its job".to_owned(), |job| format!("job `{job}`"));
        let page = format!("The service at {} plans the run, as its own job file says.", service.shown());
        asked(page, format!("Run {what} there?"), &mut signals).await?;
    }
    // A signal does not end this request: the run may have begun.
    let started = answer(&service, service.post(&["runs"], &request.body).await?)?;
    let run: Option<RunId> = started["runId"].as_str().and_then(|id| id.parse().ok());
    let run = run.ok_or_else(|| unexpected(&service, "it names no run"))?;
    if request.detach {
        show.print(&json!({ "runId": run }), || format!("{run}\n"))?;
        return Ok(exit::DONE);
    }
    let remote = RemoteRun { service: &service, run, away: Cell::default(), kind: Cell::default() };
    remote.watched(settings, signals, show).await
}

/// A run at a service.
struct RemoteRun<'a> {
    service: &'a ServiceApi,
    run: RunId,
    /// Since when the service cannot be reached.
    away: Cell<Option<Instant>>,
    /// Why the run was cancelled.
    kind: Cell<Option<CancelKind>>,
}

impl RemoteRun<'_> {
    /// Follows the run to its result and prints that. The first signal cancels the run.
    async fn watched(
        &self,
        settings: &Settings,
        signals: Signals,
        show: OutputMode,
    ) -> Result<u8, CommandError> {
        let (sender, receiver) = watch::channel(Progress::start(0));
        let (seen, signal) = watch::channel(None);
        let following = async {
            let result = follow(self.run, &sender, async || self.look().await).await;
            drop(sender);
            result
        };
        let done = async { tokio::join!(following, progress::show(receiver, None, show.quiet)).0 };
        let result = tokio::select! {
            result = done => result?,
            left = signals.stop_by(async |cancel| self.stop(cancel).await, seen) => {
                return Err(CommandError::DetachedStopping(left, self.run));
            }
        };
        shown(&result, &options(settings, &result)?, show)?;
        if result.status == Status::Failed && result.attempt.number < result.attempt.of {
            tracing::info!("the service tries again: `keysweep runs list` there shows the next attempt");
        }
        let stopped = signal.borrow().map(|(code, _)| code);
        let code = exit::of_result(&result, self.kind.get());
        Ok(stopped.filter(|_| result.status == Status::Cancelled).unwrap_or(code))
    }

    /// What the service knows of the run.
    async fn look(&self) -> Result<FollowState, CommandError> {
        let found = match self.service.get(&["runs", &self.run.to_string()]).await {
            Ok(reply) if reply.status < 500 => answer(self.service, reply)?,
            other => return self.not_answered(other),
        };
        self.away.set(None);
        self.kind.set(found["cancel"]["kind"].as_str().and_then(|kind| kind.parse().ok()));
        if !found["result"].is_null() {
            let result = serde_json::from_value::<CleanupResult>(found["result"].clone());
            let result = result.map_err(|e| unexpected(self.service, &e.to_string()))?;
            return Ok(FollowState::Result(Box::new(result)));
        }
        match found["run"]["status"].is_null() {
            true => Ok(FollowState::Running(so_far(&found["progress"]).map(Box::new))),
            false => Ok(FollowState::Ended(found["run"]["cause"].as_str().map(one_line))),
        }
    }

    /// The run goes on while its service is away, for a while.
    fn not_answered(&self, other: Result<ApiReply, WebError>) -> Result<FollowState, CommandError> {
        let since = self.away.get().unwrap_or_else(Instant::now);
        if since.elapsed() >= SERVICE_GONE_AFTER {
            return Err(match other {
                Ok(reply) => answer(self.service, reply).err().unwrap_or(CommandError::NoReport(self.run)),
                Err(e) => e.into(),
            });
        }
        if self.away.replace(Some(since)).is_none() {
            let why = other.err().map_or("it is not ready".to_owned(), |e| e.to_string());
            tracing::warn!("the service does not answer, will retry: {why}");
        }
        Ok(FollowState::Running(None))
    }

    async fn stop(&self, cancel: Cancel) -> Result<(), CommandError> {
        let path = ["runs", &self.run.to_string(), "cancel"];
        let cause = json!({ "cause": format!("{}, by {}", cancel.cause, myself()) });
        answer(self.service, self.service.post(&path, &cause).await?).map(drop)
    }
}

/// The document of a reply that is none of an error.
fn answer(service: &ServiceApi, reply: ApiReply) -> Result<Value, CommandError> {
    let ApiReply { status, body } = reply;
    if (200..300).contains(&status) {
        return Ok(body);
    }
    let why = body["error"].as_str().map_or("it gives no reason".to_owned(), one_line);
    Err(CommandError::Service { address: service.shown().to_owned(), status, why })
}

/// The error of a reply that no service of keysweep gives.
fn unexpected(service: &ServiceApi, why: &str) -> CommandError {
    let why = format!("the reply is not one of this version of keysweep: {}", one_line(why));
    CommandError::Service { address: service.shown().to_owned(), status: 200, why }
}

/// The progress in a reply; `None` if it has none that this version knows.
fn so_far(seen: &Value) -> Option<Progress> {
    ProgressView::deserialize(seen).ok().map(Progress::from)
}

/// The options that the display of the result needs. The service makes further attempts, not this command.
fn options(settings: &Settings, result: &CleanupResult) -> Result<Options, CommandError> {
    let options = Options::from_settings(settings)?;
    let display_name = match options.job == result.job {
        true => options.display_name.clone(),
        false => result.job.clone(),
    };
    Ok(Options { job: result.job.clone(), display_name, attempt: Attempt::default(), ..options })
}

/// Says that a service on this machine has the job, and how to start the run there.
pub(super) async fn mention_service(options: &Options) {
    let Some(folder) = options.state.dir.clone() else { return };
    let Some(RunningService { process, notice }) = RunningService::find(folder).await else { return };
    if !notice.jobs.contains(&options.job) {
        return;
    }
    let job = &options.job;
    let url = match notice.address.map(reachable) {
        // Its certificate names the host.
        Some(address) if notice.tls => format!("https://HOST:{}", address.port()),
        Some(address) => format!("http://{address}"),
        None => {
            tracing::info!("{process} serves job `{job}` on this machine, without `--admin-addr`");
            return;
        }
    };
    tracing::info!(
        "{process} serves job `{job}` on this machine: `--via {url}` starts the run there, and follows it here"
    );
}

#[cfg(test)]
mod tests {
    use keysweep_config::resolve;

    use super::*;

    fn given(flags: &[(&'static str, &str)]) -> Result<Value, String> {
        let mut layer = FlagLayer::default();
        for (flag, value) in flags {
            layer.value(flag, Some(value));
        }
        let environment = Environment::default();
        let settings = resolve(&layer, &environment, None).expect("good settings");
        request_body(&layer, &environment, &settings).map_err(|e| e.to_string())
    }

    #[test]
    fn a_request_has_what_the_flags_say_and_nothing_is_left_out_silently() {
        let check = |flags: &[(&'static str, &str)], mut expected: Value| {
            expected["startedBy"] = myself().into();
            assert_eq!(given(flags), Ok(expected), "{flags:?}");
        };
        check(&[], json!({}));
        check(&[("--job", "nightly"), ("--state-dir", "/x")], json!({ "job": "nightly" }));
        check(
            &[("--dry-run", "true"), ("--rate-limit", "7"), ("--latency-budget", "2ms")],
            json!({ "dryRun": true, "rateLimit": 7, "latencyBudget": "2ms" }),
        );
        for flags in [("--protect", "a:*"), ("--redis", "redis://h"), ("--grace", "5s")] {
            let refused = given(&[flags]).expect_err("it cannot be sent");
            assert!(refused.contains(flags.0) && refused.contains("`--via`"), "{refused}");
        }
    }
}
