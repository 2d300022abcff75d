//! `keysweep schedule`: what was decided about a job with `schedule = "auto"`, and what would be decided on its history.

use coordinator::exit;
use coordinator::options::Options;
use coordinator::schedule::JobSchedule;
use coordinator::schedule::auto::compare::{Comparison, compare};
use coordinator::schedule::auto::{BoundedJob, explain::describe, past};
use jiff::Timestamp;
use keysweep_config::Settings;
use keysweep_model::words::quoted;
use keysweep_runtime::context::Context;
use keysweep_storage::decisions::{self, DecisionRecord};
use keysweep_storage::{counter_snapshot, history};
use reporter::{grouped, span, wrap};
use serde_json::{Value, json};

use super::args::ScheduleCommand;
use super::connections::{Connections, PATIENCE};
use super::error::CommandError;
use super::run::OutputMode;

/// `keysweep schedule …` over NATS.
///
/// # Errors
/// When NATS cannot be used, or the job is not known.
pub async fn schedule(
    connections: &Connections,
    command: &ScheduleCommand,
    show: OutputMode,
) -> Result<u8, CommandError> {
    let net = connections.connect("cli", Some(PATIENCE)).await?;
    let done = answered(&net.context, &connections.jobs, command, show).await;
    net.nats.close().await;
    done
}

/// The same by the store in `context`.
pub(super) async fn answered(
    context: &Context,
    jobs: &[Settings],
    command: &ScheduleCommand,
    show: OutputMode,
) -> Result<u8, CommandError> {
    match command {
        ScheduleCommand::Explain(args) => {
            let name = match &args.job {
                Some(name) => name.as_str(),
                None => &only(jobs, None)?.job.value,
            };
            explained(context, name, show).await
        }
        ScheduleCommand::Simulate(args) => simulated(context, only(jobs, args.job.as_deref())?, show).await,
    }
}

/// The job that is named, or the only one.
fn only<'a>(jobs: &'a [Settings], name: Option<&str>) -> Result<&'a Settings, CommandError> {
    let names = || quoted(jobs.iter().map(|job| &job.job.value));
    match (name, jobs) {
        (None, [job]) => Ok(job),
        (None, _) => Err(CommandError::Usage(format!("name one of the jobs of the job file: {}", names()))),
        (Some(name), jobs) => jobs.iter().find(|job| job.job.value == name).ok_or_else(|| {
            CommandError::Usage(format!(
                "the job file has no job `{name}`, whose patterns and bounds are needed; its jobs are {}",
                names()
            ))
        }),
    }
}

async fn explained(context: &Context, job: &str, show: OutputMode) -> Result<u8, CommandError> {
    let mut kept = decisions::of(&*context.history_store, job).await?;
    // The newest is what people look for.
    kept.reverse();
    show.print(&json!({ "job": job, "decisions": kept }), || match kept.as_slice() {
        [] => wrap(
            &format!(
                "no decisions about job `{job}` are kept: no `keysweep serve` has served it with `schedule = \"auto\"`"
            ),
            0,
        ) + "\n",
        kept => kept.iter().map(decision).collect(),
    })?;
    Ok(exit::DONE)
}

/// A decision as text: when it was made and what it says.
fn decision(record: &DecisionRecord) -> String {
    let time = |text: &str| text.get(..19).unwrap_or(text).replace('T', " ");
    let (decided, next) = (time(&record.decided_at), time(&record.next));
    format!("{decided}  next {next}  {}\n    {}\n", record.law, wrap(&record.sentence, 4))
}

async fn simulated(context: &Context, job: &Settings, show: OutputMode) -> Result<u8, CommandError> {
    let (options, bounds) = (Options::from_settings(job)?, JobSchedule::bounds(job)?);
    let mut lines = history::read(&*context.history_store).await?;
    lines.retain(|line| line.job == options.job);
    let mut snapshots = counter_snapshot::of(&*context.history_store, &options.alias).await?;
    snapshots.retain(|snapshot| snapshot.job == options.job);
    let runs = past::runs(&lines, &snapshots, &options.selection());
    let compared = compare(BoundedJob { name: &options.job, bounds: &bounds }, &runs, &snapshots);
    let document = json!({
        "job": options.job, "schedule": describe(&bounds), "comparison": compared.as_ref().map(as_json),
    });
    show.print(&document, || match &compared {
        Some(compared) => page(&options.job, &describe(&bounds), compared),
        None => wrap(
            &format!(
                "the history of job `{}` has no two complete runs that changed keys and looked for the same keys as it does \
                 now, so it says nothing of its schedule",
                options.job
            ),
            0,
        ) + "\n",
    })?;
    Ok(exit::DONE)
}

fn as_json(of: &Comparison) -> Value {
    json!({
        "from": of.from.to_string(),
        "to": of.to.to_string(),
        "staleKeys": of.stale,
        "was": { "runs": of.was.runs, "mostStale": of.was.most_stale },
        "auto": {
            "runs": of.auto.runs.len(), "mostStale": of.auto.most_stale, "bySurplus": of.auto.by_surplus,
            "surplusUsed": of.counted,
        },
        "fixed": of.fixed.map(|fixed| json!({
            "everySeconds": fixed.every.as_secs(), "runs": fixed.runs, "mostStale": fixed.most_stale,
        })),
    })
}

fn page(job: &str, schedule: &str, of: &Comparison) -> String {
    let day = |time: Timestamp| time.to_string().get(..16).unwrap_or_default().replace('T', " ");
    let head = format!(
        "Job `{job}` from {} to {}: {} stale keys arrived. With `auto`: {schedule}.",
        day(of.from),
        day(of.to),
        grouped(of.stale)
    );
    let row = |what: &str, runs: u64, most: u64| {
        format!("{what:<40}  {:>9}  {:>17}\n", grouped(runs), grouped(most))
    };
    let count = |runs: usize| u64::try_from(runs).unwrap_or(u64::MAX);
    let mut page = format!("{}\n\n{:<40}  {:>9}  {:>17}\n", wrap(&head, 0), "", "runs", "most stale keys");
    page.push_str(&row("as it was", count(of.was.runs), of.was.most_stale));
    page.push_str(&row("auto", count(of.auto.runs.len()), of.auto.most_stale));
    match of.fixed {
        Some(fixed) => {
            let every = format!("fixed, every {}", span(fixed.every.as_secs_f64()));
            page.push_str(&row(&every, fixed.runs, fixed.most_stale));
        }
        None => page.push_str("no fixed interval from a minute on has as few stale keys at a time\n"),
    }
    let surplus = if of.counted {
        format!(
            "{} of the runs of `auto` were started by the keys without TTL.",
            grouped(count(of.auto.by_surplus))
        )
    } else {
        "The keys without TTL were not what runs found, so `auto` decides by the growth alone.".to_owned()
    };
    let how = "Runs of `auto` and at a fixed interval take no time and find all stale keys. Between two runs, these arrived \
               as the keys without TTL grew, or else evenly.";
    page + "\n" + &wrap(&format!("{surplus} {how}"), 0) + "\n"
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use coordinator::schedule::auto::compare::Was;
    use coordinator::schedule::auto::simulate::{Fixed, Simulated};

    use super::*;

    #[test]
    fn pages_fit_eighty_columns() {
        let record = json!({
            "decidedAt": "2026-11-30T12:00:00.123Z", "next": "2026-11-30T12:57:01Z", "law": "growth", "threshold": 1500,
            "surplus": 600, "held": null, "growth": null, "expected": 1169, "intervalSeconds": 7200,
            "previousIntervalSeconds": null, "limitedBy": null, "movedBy": null, "lastRun": null,
            "sentence": "next run in 57 min: 1,169 stale expected by then (threshold 1,500); growth 10.0/min, between 9.1 and \
                         10.9; the interval stays 2 h, as it would change by less than 20 %",
        });
        let text = decision(&serde_json::from_value(record).unwrap());
        assert!(
            text.starts_with(
                "2026-11-30 12:00:00  next 2026-11-30 12:57:01  growth\n    next run in 57 min: "
            ),
            "{text}"
        );
        let at = |hour: i64| Timestamp::from_second(hour * 3_600).unwrap();
        let compared = Comparison {
            from: at(490_000),
            to: at(490_100),
            stale: 12_345_678,
            was: Was { runs: 34, most_stale: 1_234_567 },
            auto: Simulated { runs: vec![at(1); 12], by_surplus: 3, most_stale: 980 },
            counted: true,
            fixed: Some(Fixed { every: Duration::from_secs(2_520), runs: 143, most_stale: 980 }),
        };
        let page = page("permission-cache-cleanup", "By growth, every 15 min to 1 d", &compared);
        let has =
            |line: &str| page.lines().any(|is| is.split_whitespace().collect::<Vec<_>>().join(" ") == line);
        assert!(
            has("as it was 34 1,234,567") && has("auto 12 980") && has("fixed, every 42 min 143 980"),
            "{page}"
        );
        assert!(text.lines().chain(page.lines()).all(|line| line.chars().count() <= 80), "{text}\n{page}");
    }
}
