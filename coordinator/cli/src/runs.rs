//! `keysweep runs`: the remembered runs, on workers or of this machine.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use coordinator::exit;
use coordinator::options::Options;
use coordinator::process_id::myself;
use coordinator::runs::{ProgressView, so_far};
use jiff::Timestamp;
use keysweep_config::Settings;
use keysweep_model::ids::{NodeId, RunId};
use keysweep_model::key::Key;
use keysweep_model::messages::{Reason, RunSpec};
use keysweep_model::outcome::Outcome;
use keysweep_model::printable;
use keysweep_model::time::rfc3339;
use keysweep_runtime::context::Context;
use keysweep_storage::audit::{self, AuditEntry};
use keysweep_storage::history;
use reporter::grouped;
use scanner::limits::KEPT_NAMES_BYTES_MAX;
use serde_json::{Value, json};

use super::args::RunsCommand;
use super::connections::{Connections, NatsConnection, PATIENCE};
use super::error::CommandError;
use super::remote::{self, DriverSpawner};
use super::report;
use super::run::{OutputMode, print};
use super::run_ref::RunRef;
use super::runs_list::{list, listed};
use super::signals::Signals;

/// `keysweep runs …` over NATS.
///
/// # Errors
/// When NATS cannot be used, or there is no such run.
pub async fn runs(
    connections: &Connections,
    command: &RunsCommand,
    starter: &DriverSpawner,
    show: OutputMode,
) -> Result<u8, CommandError> {
    let net = connections.connect("cli", Some(PATIENCE)).await?;
    let found = async |run: &RunRef| run.find(&net.context).await;
    let done = async {
        match command {
            RunsCommand::Attach(args) => {
                attach(connections, &net, found(&args.run).await?, starter, show).await
            }
            RunsCommand::Cancel(args) => cancel(&net.context, found(&args.run).await?, show).await,
            reads => remembered(&net.context, &connections.jobs, reads, show).await,
        }
    };
    let done = done.await;
    net.nats.close().await;
    done
}

/// The commands that only read what is remembered, over NATS or in the state file of this machine.
pub(super) async fn remembered(
    context: &Context,
    jobs: &[Settings],
    command: &RunsCommand,
    show: OutputMode,
) -> Result<u8, CommandError> {
    let found = async |run: &RunRef| run.find(context).await;
    match command {
        RunsCommand::List(args) => list(context, args, show).await,
        RunsCommand::Show(args) => show_one(context, jobs, found(&args.run).await?, show).await,
        RunsCommand::Report(args) => report::report(context, found(&args.run.run).await?, args, show).await,
        RunsCommand::Audit { run, all } => print_audit(context, found(&run.run).await?, *all).await,
        // The callers carry these out.
        RunsCommand::Attach(_) | RunsCommand::Cancel(_) => Ok(exit::DONE),
    }
}

async fn show_one(
    context: &Context,
    jobs: &[Settings],
    run: RunId,
    show: OutputMode,
) -> Result<u8, CommandError> {
    let records = context.records(run);
    if let (Some(result), Some(spec)) = (records.result().await?, records.spec().await?) {
        return remote::printed(&records, &result, &options(jobs, &spec)?, show).await;
    }
    let line = history::of(&*context.history_store, run).await?.ok_or(CommandError::NoRun(run))?;
    let progress = so_far(context, run).await?;
    let document = json!({ "run": line, "progress": progress.map(ProgressView::from) });
    show.print(&document, || {
        let at = progress.filter(|_| line.status.is_none()).map(|progress| {
            let (totals, read) = (progress.totals, progress.read);
            format!(
                "  {}: {} of about {} keys listed, {} stale, {} deleted\n",
                progress.phase,
                grouped(read.listed),
                grouped(progress.keys),
                grouped(read.stale),
                grouped(totals.accounting.deleted)
            )
        });
        listed(&[line], Timestamp::now()) + &at.unwrap_or_default()
    })?;
    Ok(exit::DONE)
}

async fn attach(
    connections: &Connections,
    net: &NatsConnection,
    run: RunId,
    starter: &DriverSpawner,
    show: OutputMode,
) -> Result<u8, CommandError> {
    let spec = net.context.records(run).spec().await?.ok_or(CommandError::NoRun(run))?;
    let options = options(&connections.jobs, &spec)?;
    let mut signals = Signals::catch()?;
    let watched = Box::pin(remote::watched(net, &options, run, starter, None, show));
    tokio::select! {
        code = watched => code,
        (code, _) = signals.next() => Err(CommandError::Detached(code, run)),
    }
}

/// The options that a run was started with, as far as its display needs them.
pub(super) fn options(jobs: &[Settings], spec: &RunSpec) -> Result<Options, CommandError> {
    let any = jobs.first().ok_or_else(|| CommandError::Usage("there is no job".to_owned()))?;
    Ok(Options {
        job: spec.job.clone(),
        display_name: spec.display_name.clone(),
        rules: spec.rules.clone(),
        ..Options::from_settings(any)?
    })
}

/// `keysweep runs cancel`, by the records in `context`.
pub(super) async fn cancel(context: &Context, run: RunId, show: OutputMode) -> Result<u8, CommandError> {
    let cancelled = coordinator::runs::cancel(context, run, format!("requested by {}", myself())).await?;
    let cancelled = cancelled.ok_or(CommandError::NoRun(run))?;
    let text = match (cancelled.ended, cancelled.cancelled) {
        (true, _) => format!("run {run} has ended already\n"),
        (false, true) => {
            format!("run {run} stops at a safe point; `keysweep runs attach {run}` shows its result\n")
        }
        (false, false) => format!("run {run} was cancelled before\n"),
    };
    show.print(&json!(cancelled), || text)?;
    Ok(exit::DONE)
}

async fn print_audit(context: &Context, run: RunId, all: bool) -> Result<u8, CommandError> {
    let (mut revision, mut entries, mut doubtful) = (0, 0_u64, 0_u64);
    while let Some(audit) = &context.audit
        && let Some((at, entry)) = audit.next(run, revision).await?
    {
        (revision, entries) = (at, entries + 1);
        let outcomes = entry.groups.iter().flat_map(|group| &group.keys);
        doubtful += outcomes.filter(|(_, outcome)| *outcome == Outcome::Unconfirmed).count() as u64;
        if !print(&lines(&entry, all))? {
            return Ok(exit::DONE);
        }
    }
    if all {
        entries += print_kept(context, run).await?;
    } else if doubtful > 0 {
        tracing::warn!(
            "{} more keys may have been deleted, which nothing confirms: `--all` names them as unconfirmed",
            grouped(doubtful)
        );
    }
    let known = entries > 0 || context.records(run).spec().await?.is_some();
    if known { Ok(exit::DONE) } else { Err(CommandError::NoRun(run)) }
}

/// Prints the candidates that were kept; returns how many audit entries contain them.
async fn print_kept(context: &Context, run: RunId) -> Result<u64, CommandError> {
    let (mut revision, mut entries, mut unnamed) = (0, 0_u64, 0_u64);
    while let Some((at, entry)) = audit::next_kept(&*context.history_store, run, revision).await? {
        (revision, entries, unnamed) = (at, entries + 1, unnamed.saturating_add(entry.unnamed));
        let mut text = String::new();
        for group in &entry.groups {
            let shared = shared(group.reason, &entry.node, group.slot, entry.at_ms);
            group.keys.iter().for_each(|key| text.push_str(&line(key, &shared, group.why.as_str())));
        }
        print(&text)?;
    }
    if unnamed > 0 {
        tracing::warn!(
            "{} more keys that are protected or only reported are in no audit entry: a scan task lists up to {} KiB of them",
            grouped(unnamed),
            KEPT_NAMES_BYTES_MAX >> 10
        );
    }
    Ok(entries)
}

/// Why, where and when the keys of a group were candidates.
fn shared(reason: Reason, node: &NodeId, slot: u16, at_ms: u64) -> Value {
    json!({ "reason": <&str>::from(reason), "node": node, "slot": slot, "time": rfc3339(at_ms) })
}

/// The line of a key, with what it shares with its group.
fn line(key: &Key, shared: &Value, outcome: &str) -> String {
    // As `keyBase64` if it is not UTF-8, so that it is exact in both cases.
    let (name, value) = match str::from_utf8(key.as_bytes()) {
        Ok(text) => ("key", text.to_owned()),
        Err(_) => ("keyBase64", STANDARD.encode(key.as_bytes())),
    };
    let mut line = shared.clone();
    (line["outcome"], line[name]) = (outcome.into(), value.into());
    printable::json(&line.to_string()) + "\n"
}

/// One JSON document per key and line.
fn lines(entry: &AuditEntry, all: bool) -> String {
    let mut text = String::new();
    for group in &entry.groups {
        let shared = shared(group.reason, &entry.node, group.slot, entry.at_ms);
        for (key, outcome) in group.keys.iter().filter(|(_, outcome)| all || outcome.is_changed()) {
            text.push_str(&line(key, &shared, outcome.into()));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use keysweep_model::ids::BatchId;
    use keysweep_storage::audit::AuditGroup;

    use super::*;

    #[test]
    fn an_audit_line_has_the_exact_key_for_any_bytes() {
        let keys = vec![
            (Key::new(*b"permissions:1"), Outcome::Deleted),
            (Key::new(*b"\xff\x00"), Outcome::Expired),
            (Key::new(*b"permissions:2"), Outcome::Spared),
        ];
        let entry = AuditEntry {
            batch: BatchId::new(),
            node: NodeId::new("n"),
            at_ms: 1_000,
            groups: vec![AuditGroup { slot: 7, reason: Reason::Stale, keys }],
        };
        let parsed = |all| {
            let text = lines(&entry, all);
            text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect::<Vec<_>>()
        };
        let changed = parsed(false);
        assert_eq!(
            changed[0],
            json!({ "key": "permissions:1", "reason": "stale", "node": "n", "slot": 7,
                "time": "1970-01-01T00:00:01Z", "outcome": "deleted" })
        );
        assert_eq!((changed[1]["keyBase64"].as_str(), changed.len()), (Some("/wA="), 2));
        assert_eq!(parsed(true)[2]["outcome"], "spared");
    }
}
