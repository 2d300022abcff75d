//! `keysweep ttl experiment`: plan, start, look at and stop an experiment with another TTL.

use std::time::Duration;

use coordinator::exit;
use coordinator::options::Options;
use coordinator::ttl_experiment::{
    Experiment, ExperimentPlan, ExperimentRequest, ExperimentStatus, RelativeMisses, UserKeys, Verdict,
};
use keysweep_config::{Origin, Settings};
use keysweep_model::duration;
use keysweep_model::key_template::KeyTemplate;
use reporter::grouped;
use tokio::time::sleep;

use super::args::{ExperimentCommand, ExperimentNameArgs, ExperimentQuestionArgs};
use super::error::CommandError;
use super::run::OutputMode;
use super::signals::Signals;

/// `keysweep ttl experiment`.
///
/// # Errors
/// When there is no answer.
pub async fn experiment(
    settings: &Settings,
    command: &ExperimentCommand,
    show: OutputMode,
) -> Result<u8, CommandError> {
    let status = match command {
        ExperimentCommand::Plan(args) => {
            let plan = opened(settings, &args.named).await?.plan(&request(settings, args)?).await?;
            show.print(&plan, || plan_page(&plan))?;
            return Ok(exit::DONE);
        }
        ExperimentCommand::Start(args) => {
            let request = request(settings, args)?;
            Box::pin(opened(settings, &args.named).await?.start(&request)).await?
        }
        ExperimentCommand::Status(args) if args.watch => {
            return watch(&opened(settings, &args.named).await?, show).await;
        }
        ExperimentCommand::Status(args) => Box::pin(opened(settings, &args.named).await?.look()).await?,
        ExperimentCommand::Stop(args) => opened(settings, args).await?.stop().await?,
    };
    show.print(&status, || status_page(&status))?;
    Ok(exit::of_experiment(&status))
}

/// Looks until the experiment has ended. A look that fails is repeated: what it missed is known.
async fn watch(experiment: &Experiment, show: OutputMode) -> Result<u8, CommandError> {
    let mut signals = Signals::catch()?;
    loop {
        let every = match signals.or_stop(Box::pin(experiment.look())).await? {
            Ok(status) => {
                show.print(&status, || status_page(&status))?;
                if !status.running {
                    return Ok(exit::of_experiment(&status));
                }
                Duration::from_secs_f64(status.look_every_seconds)
            }
            Err(e) if e.is_transient() => {
                tracing::warn!("this look failed, and will be repeated: {e}");
                AFTER_FAILURE
            }
            Err(e) => return Err(e.into()),
        };
        signals.or_stop(sleep(every)).await?;
    }
}

/// The pause after a look that failed.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

async fn opened(settings: &Settings, args: &ExperimentNameArgs) -> Result<Experiment, CommandError> {
    let options = Options::from_settings(settings)?;
    let Some(identity) = &settings.identity.value else {
        let message = "an experiment needs to know which user a key belongs to: set `identity` (`--identity`), such as \
                       `permissions:{user}:*`";
        return Err(CommandError::Usage(message.to_owned()));
    };
    let identity = KeyTemplate::parse(identity)
        .map_err(|e| CommandError::Usage(format!("`identity`: `{identity}` {e}")))?;
    let patterns = options.rules.patterns.clone();
    if patterns.is_empty() {
        return Err(CommandError::Usage("an experiment is about the keys of a job without rules".to_owned()));
    }
    let name = args.name.clone().unwrap_or_else(|| options.job.clone());
    Ok(Experiment::open(&options, &name, UserKeys { patterns, identity }).await?)
}

fn request(settings: &Settings, args: &ExperimentQuestionArgs) -> Result<ExperimentRequest, CommandError> {
    let control = &settings.configured_ttl;
    if control.origin == Origin::Default {
        let message = "say which TTL the application sets today: `configured_ttl` in the job file, or \
                       KEYSWEEP_CONFIGURED_TTL";
        return Err(CommandError::Usage(message.to_owned()));
    }
    Ok(ExperimentRequest {
        job: settings.job.value.clone(),
        control_ttl_ms: duration::millis(control.value),
        ttl_ms: duration::millis(args.other_ttl),
        buckets: args.buckets,
        period_ms: args.period.map(duration::millis),
        effect: args.effect / 100.0,
        margin: args.margin / 100.0,
        alpha: args.alpha / 100.0,
        power: args.power / 100.0,
        overdispersion: args.overdispersion,
        fills_per_s: args.fills_per_second,
    })
}

fn span(seconds: f64) -> String {
    duration::show(Duration::from_secs_f64(seconds))
}

/// A plan as text.
fn plan_page(plan: &ExperimentPlan) -> String {
    let source = if plan.fills_measured { "measured now" } else { "given" };
    let overdispersion = match plan.overdispersion_measured {
        Some(measured) => {
            format!("{:.1} ({measured:.1} measured within half of the TTL)", plan.overdispersion)
        }
        None => format!("{:.1}", plan.overdispersion),
    };
    let equivalence = match plan.equivalence_periods {
        Some(periods) => {
            format!("{periods} periods to show that there is none beyond {:.1} %", plan.margin * 100.0)
        }
        None => "cannot be shown without `--margin`".to_owned(),
    };
    let rows = [
        ("TTLs", format!("{} now, {} instead", span(plan.control_ttl_seconds), span(plan.ttl_seconds))),
        (
            "Question",
            format!(
                "{:.1} % more or fewer misses, found in {:.0} %, wrong verdicts in at most {:.1} %",
                plan.effect * 100.0,
                plan.power * 100.0,
                plan.alpha * 100.0
            ),
        ),
        ("Fills", format!("{:.2} per second ({source})", plan.fills_per_second)),
        ("Overdispersion", overdispersion),
        (
            "Needed",
            format!(
                "{} fills per arm ({} for one look at the end)",
                grouped(plan.fills_per_arm),
                grouped(plan.fills_per_arm_once)
            ),
        ),
        (
            "Time",
            format!(
                "{}: {} periods of {}, of which {} are measured",
                span(plan.duration_seconds),
                plan.periods,
                span(plan.period_seconds),
                span(plan.measured_seconds)
            ),
        ),
        ("No difference", equivalence),
        (
            "Looks",
            format!(
                "`keysweep ttl experiment status` every {}; fills are missed beyond {}",
                span(plan.look_every_seconds),
                span(plan.look_back_seconds)
            ),
        ),
    ];
    lines(&rows)
}

/// The state of an experiment as text.
fn status_page(status: &ExperimentStatus) -> String {
    let interval = |misses: &RelativeMisses| {
        let change = |ratio: f64| format!("{:+.1} %", (ratio - 1.0) * 100.0);
        format!(
            "{} ({} to {}), from {} buckets",
            change(misses.estimate),
            change(misses.low),
            change(misses.high),
            misses.buckets
        )
    };
    let covered: Vec<String> = status.covered.iter().map(|share| format!("{:.0} %", share * 100.0)).collect();
    let mut rows = vec![
        (
            "Experiment",
            format!(
                "{} ({} now, {} instead)",
                status.name,
                span(status.control_ttl_seconds),
                span(status.ttl_seconds)
            ),
        ),
        ("Verdict", format!("{}: {}", status.verdict, status.sentence)),
        ("Began", status.started_at.clone()),
    ];
    match (&status.ended_at, status.period) {
        (Some(at), _) => rows.push(("Ended", format!("{at}; all users have the TTL of the control"))),
        (None, Some(period)) => {
            rows.push(("Period", format!("{period} of {}, until {}", status.periods, status.until)));
        }
        (None, None) => rows.push(("Period", format!("over since {}", status.until))),
    }
    let missing = match status.pairs_missing {
        0 => String::new(),
        pairs => format!("; {pairs} not used, because looks are missing"),
    };
    rows.push(("Pairs", format!("{} of {}{missing}", status.pairs, status.periods / 2)));
    if !covered.is_empty() {
        rows.push((
            "Looked at",
            format!("{} of the measured parts ({} looks)", covered.join(", "), status.looks),
        ));
    }
    rows.extend(status.misses.as_ref().map(|misses| ("Misses", interval(misses))));
    if let (Verdict::GoOn, Some(misses)) = (status.verdict, &status.current_misses) {
        rows.push(("This period", interval(misses)));
    }
    if let Some(next) = &status.next_look {
        rows.push(("Next look", format!("until {next}")));
    }
    lines(&rows)
}

fn lines(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    rows.iter().map(|(name, value)| format!("{name:width$}  {value}\n")).collect()
}
