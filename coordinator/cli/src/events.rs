//! `keysweep events`: prints the published events on a terminal.

use std::time::Duration;

use coordinator::exit;
use jiff::Timestamp;
use keysweep_model::duration;
use keysweep_model::printable::{self, Printable};
use keysweep_model::wire;
use keysweep_runtime::context::Context;
use keysweep_storage::events::{EVENTS, time_of};
use keysweep_storage::store::Entry;
use reporter::wrap;
use serde_json::Value;

use super::args::EventsArgs;
use super::connections::{Connections, PATIENCE};
use super::error::CommandError;
use super::run::{OutputMode, print};
use super::signals::Signals;

/// `keysweep events` over NATS.
///
/// # Errors
/// When NATS cannot be used.
pub async fn events(
    connections: &Connections,
    args: &EventsArgs,
    show: OutputMode,
) -> Result<u8, CommandError> {
    let net = connections.connect("cli", Some(PATIENCE)).await?;
    let shown = print_events(&net.context, args, show).await;
    net.nats.close().await;
    shown
}

/// Prints the events of `context`: those that are kept, and with `--follow` those that come.
pub(super) async fn print_events(
    context: &Context,
    args: &EventsArgs,
    show: OutputMode,
) -> Result<u8, CommandError> {
    let since = args.since.as_deref().map(oldest).transpose()?;
    let run = match &args.run {
        Some(run) => Some(run.find(context).await?),
        None => None,
    };
    let mut signals = Signals::catch()?;
    let wanted = |event: &Value| {
        since.is_none_or(|since| time_of(event).is_some_and(|time| time >= since))
            && run.is_none_or(|run| event["subject"] == run.to_string())
    };
    let mut watch = context.history_store.watch(EVENTS).await?;
    let mut revision = 0;
    loop {
        let next = async {
            if args.follow {
                watch.next().await.map(Some)
            } else {
                context.history_store.next_after(EVENTS, revision).await
            }
        };
        let entry = tokio::select! {
            entry = next => entry?,
            _ = signals.next() => break,
        };
        let Some(entry) = entry else { break };
        revision = entry.revision;
        if !print_event(&entry, wanted, show)? {
            break;
        }
    }
    Ok(exit::DONE)
}

/// The time that `--since` names.
pub(super) fn oldest(text: &str) -> Result<Timestamp, CommandError> {
    let bad = |e: &dyn std::fmt::Display| CommandError::Usage(format!("`--since` is `{text}`: {e}"));
    let ago: Duration = duration::parse(text).map_err(|e| bad(&e))?;
    Timestamp::now().checked_sub(ago).map_err(|e| bad(&e))
}

/// Prints an event that passes the filter; `false` if stdout is closed.
fn print_event(
    entry: &Entry,
    wanted: impl Fn(&Value) -> bool,
    show: OutputMode,
) -> Result<bool, CommandError> {
    let Ok(event) = wire::from_json::<Value>(&entry.value) else {
        tracing::warn!(key = entry.key, "an event is not JSON");
        return Ok(true);
    };
    if !wanted(&event) {
        return Ok(true);
    }
    let line = if show.json { printable::json(&event.to_string()) } else { sentence(&event) };
    Ok(print(&format!("{line}\n"))?)
}

/// Figures shown for events of runs.
const OF_RUNS: [&str; 9] = [
    "state",
    "listedKeys",
    "scannedKeys",
    "staleTTLKeys",
    "cleanedKeys",
    "keys",
    "coordinator",
    "count",
    "issue",
];

/// Figures shown for a summary.
const OF_SUMMARIES: [&str; 10] = [
    "from",
    "to",
    "runs",
    "completed",
    "failed",
    "cleanedKeys",
    "hitRate",
    "totalKeys",
    "growthPercentMin",
    "growthPercentMax",
];

/// An event as text: time, type and run in one line; the job and the figures below it, wrapped.
fn sentence(event: &Value) -> String {
    let text = |name: &str| event[name].as_str().unwrap_or("?");
    let kind = kind(text("type"));
    let job = text("source").rsplit('/').next().unwrap_or("?");
    let data = &event["data"];
    let said = match kind {
        "alert" => vec![alert(data)],
        "summary" => figures(data, &OF_SUMMARIES),
        "decided" => data["sentence"].as_str().map(str::to_owned).into_iter().collect(),
        "failed" | "cancelled" => {
            let cause = data["issues"][0].as_str().map(|issue| format!("issue {issue}"));
            figures(data, &OF_RUNS).into_iter().chain(cause).collect()
        }
        _ => figures(data, &OF_RUNS),
    };
    let line = std::iter::once(job.to_owned()).chain(said).collect::<Vec<_>>().join(", ");
    let time = text("time").get(..19).unwrap_or(text("time")).replace('T', " ");
    // The texts come from elsewhere: escape control characters, so that they cannot move the cursor.
    let shown = |text: &str| Printable(text.as_bytes()).to_string();
    let head = shown(&format!("{time}  {kind:<9}  {}", text("subject")));
    format!("{head}\n    {}", wrap(&shown(&line), 4))
}

/// The kind in `dev.keysweep.run.<kind>.v1`, `dev.keysweep.schedule.<kind>.v1`, `dev.keysweep.alert.<change>.v1` or `dev.keysweep.summary.v1`.
fn kind(event_type: &str) -> &str {
    let mut words = event_type.split('.').skip(2);
    match (words.next(), words.next()) {
        (Some("run" | "schedule"), Some(kind)) => kind,
        (Some(kind), _) => kind,
        _ => "?",
    }
}

/// The alert and its change of state.
fn alert(data: &Value) -> String {
    let text = |name: &str| data[name].as_str().unwrap_or("?");
    format!("{} {} ({}): {}", text("alert"), text("change"), text("severity"), text("message"))
}

fn figures(data: &Value, names: &[&str]) -> Vec<String> {
    let figure = |name: &&str| match &data[name] {
        Value::Null => None,
        Value::String(text) => Some(format!("{name} {text}")),
        value => Some(format!("{name} {value}")),
    };
    names.iter().filter_map(figure).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_fits_a_terminal() {
        let event = json!({
            "type": "dev.keysweep.run.issue.v1", "source": "/keysweep/jobs/permission-cache-cleanup",
            "subject": "01a20c9a-6dbc-7348-9a95-dba77261579a", "time": "2026-11-24T08:09:38Z",
            "data": { "issue": "word ".repeat(40) },
        });
        let text = sentence(&event);
        let first = "2026-11-24 08:09:38  issue      01a20c9a-6dbc-7348-9a95-dba77261579a\n    permission-cache-cleanup, ";
        assert!(text.starts_with(first), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }

    #[test]
    fn alerts_and_summaries_are_named() {
        let event = |event_type: &str, data: Value| {
            sentence(&json!({
                "type": event_type, "source": "/keysweep/jobs/nightly", "subject": "2026-11-23",
                "time": "2026-11-24T08:09:38Z", "data": data,
            }))
        };
        let alert = json!({
            "alert": "stale-keys", "change": "raised", "severity": "warning",
            "message": "Found 12 keys without TTL\u{1b}[2J", "evidence": { "staleTTLKeys": 12 },
        });
        assert_eq!(
            event("dev.keysweep.alert.raised.v1", alert),
            "2026-11-24 08:09:38  alert      2026-11-23\n    nightly, stale-keys raised (warning): Found 12 keys without TTL\\x1b[2J"
        );
        let summary = json!({ "from": "2026-11-16", "to": "2026-11-23", "runs": 28, "hitRate": 81.5 });
        assert_eq!(
            event("dev.keysweep.summary.v1", summary),
            "2026-11-24 08:09:38  summary    2026-11-23\n    nightly, from 2026-11-16, to 2026-11-23, runs 28, hitRate 81.5"
        );
        let decided = json!({ "law": "growth", "sentence": "next run in 2 h" });
        let text = event("dev.keysweep.schedule.decided.v1", decided);
        assert!(text.contains("  decided    ") && text.ends_with("nightly, next run in 2 h"), "{text}");
        let failed = json!({ "status": "failed", "issues": ["no answer"] });
        assert!(event("dev.keysweep.run.failed.v1", failed).ends_with("nightly, issue no answer"));
    }
}
