//! `keysweep restore`: from flags to the printed summary.

use coordinator::exit;
use coordinator::options;
use coordinator::restore::{self, RestoreFilter, RestoreRequest, RestoreSummary};
use keysweep_backup::BackupTarget;
use keysweep_config::{Destinations, NatsSettings, RedisSettings};
use keysweep_model::glob::Pattern;
use keysweep_model::ids::Alias;
use keysweep_model::words::quoted;
use keysweep_nats::{Nats, NatsOptions};
use reporter::printer::terminal;
use reporter::view::{Block, Figure};
use reporter::{grouped, wrap};
use tokio_util::sync::CancellationToken;

use super::args::RestoreArgs;
use super::connections::PATIENCE;
use super::error::CommandError;
use super::run::{OutputMode, ask};
use super::signals::Signals;

/// The error when there is no terminal to confirm on.
const NO_TERMINAL: &str =
    "this restores keys, and there is no terminal to confirm on: check it with `--dry-run`, then add `--yes`";

/// Damaged places that the page lists.
const DAMAGES_SHOWN: usize = 20;

/// `keysweep restore`.
///
/// # Errors
/// When nothing can be restored.
pub async fn restore(to: &Destinations, args: &RestoreArgs, show: OutputMode) -> Result<u8, CommandError> {
    let place = place(to.nats.as_ref(), &args.from).await?;
    let (alias, deployment) = choose(to, &place, args).await?;
    let order = order((alias, deployment), place, args)?;
    let mut signals = Signals::catch()?;
    let found = restore::find(&order).await?;
    if !args.dry_run && !args.yes {
        let page = plan(&order, found.files(), found.runs, deployment);
        let asking = tokio::task::spawn_blocking(move || ask(&page, "Restore them?", NO_TERMINAL));
        signals.or_stop(asking).await?.map_err(std::io::Error::other)??;
    }
    let stop = CancellationToken::new();
    let mut restoring = Box::pin(restore::restore(&order, found, &stop));
    let (account, signal) = tokio::select! {
        account = &mut restoring => (account?, None),
        (code, name) = signals.next() => {
            tracing::warn!("{name}: stopping at a safe point; repeat the signal to exit at once");
            stop.cancel();
            tokio::select! {
                account = &mut restoring => (account?, Some(code)),
                (code, _) = signals.next() => return Err(CommandError::LeftRestoring(code)),
            }
        }
    };
    show.print(&account, || page(&account, &order))?;
    Ok(match signal {
        Some(code) if account.stopped.is_some() => code,
        _ if account.is_whole() => exit::DONE,
        _ => exit::PARTIAL,
    })
}

/// The deployment to restore into: the only one, or the only one that the backup has keys of.
async fn choose<'a>(
    to: &'a Destinations,
    place: &BackupTarget,
    args: &RestoreArgs,
) -> Result<(&'a Alias, &'a RedisSettings), CommandError> {
    let known = &to.deployments;
    let all = || quoted(known.keys());
    let mut candidates = known.iter();
    if let (Some(only), None) = (candidates.next(), candidates.next()) {
        return Ok(only);
    }
    let found = restore::owners(place, args.run, known).await?;
    let fitting: Vec<_> = known.iter().filter(|(alias, _)| found.contains(alias)).collect();
    let problem = match fitting.as_slice() {
        [only] => return Ok(*only),
        [] if found.is_empty() => "has no file that names its deployment".to_owned(),
        [] => {
            let found = quoted(&found);
            format!("has keys of {found}, and the job file has only {}", all())
        }
        several => {
            let several = quoted(several.iter().map(|(alias, _)| *alias));
            format!("has keys of several deployments: {several}")
        }
    };
    Err(CommandError::Usage(format!(
        "`{place}` {problem}; name a job with `--job`, or set KEYSWEEP_REDIS_ALIAS"
    )))
}

fn order(
    (alias, deployment): (&Alias, &RedisSettings),
    place: BackupTarget,
    args: &RestoreArgs,
) -> Result<RestoreRequest, CommandError> {
    let pattern = |text: &String| {
        let bad = |e| CommandError::Usage(format!("`--match {text}`: pattern `{text}` {e}"));
        Pattern::new(text.as_bytes()).map_err(bad)
    };
    let patterns = args.matching.iter().map(pattern).collect::<Result<_, _>>()?;
    Ok(RestoreRequest {
        place,
        run: args.run,
        wanted: RestoreFilter { patterns, reason: args.reason },
        alias: alias.clone(),
        access: options::access(deployment, 0)?,
        replace: args.replace,
        dry_run: args.dry_run,
    })
}

async fn place(nats: Option<&NatsSettings>, from: &str) -> Result<BackupTarget, CommandError> {
    let Some(bucket) = from.strip_prefix("nats://") else { return Ok(BackupTarget::directory(from)) };
    let no_nats =
        || CommandError::Usage(format!("`{from}`: set the address of NATS with `--nats URL` or `NATS_URL`"));
    let nats = nats.ok_or_else(no_nats)?;
    let access = NatsOptions::from_settings(nats);
    let nats = Nats::connect(&access.of_worker(), "keysweep-restore", Some(PATIENCE)).await?;
    Ok(BackupTarget::bucket(&nats, bucket))
}

fn plan(order: &RestoreRequest, files: usize, runs: usize, deployment: &RedisSettings) -> String {
    let urls: Vec<String> = deployment.urls.value.iter().map(ToString::to_string).collect();
    let existing = if order.replace { "are REPLACED" } else { "are left alone" };
    let page = format!(
        "{} files with keys that {runs} runs deleted, to restore into {}; keys that exist {existing}",
        grouped(files as u64),
        urls.join(", ")
    );
    format!("{}\n", wrap(&page, 0))
}

/// The summary as text.
fn page(account: &RestoreSummary, order: &RestoreRequest) -> String {
    let head = match (&account.stopped, account.dry_run) {
        (Some(_), _) => "INCOMPLETE",
        (None, true) => "read, as a dry run: nothing was changed",
        (None, false) => "restored",
    };
    let files = format!("keys in {} files", grouped(account.files));
    let mut counts = vec![Figure::number("read", grouped(account.read), files)];
    let rows = account.rows().into_iter();
    let rows = rows.filter(|(name, keys, _)| *keys > 0 || *name == "restored" && !account.dry_run);
    counts.extend(rows.map(|(name, keys, note)| Figure::number(name, grouped(keys), note)));
    let head = wrap(&format!("Backup {} {head}", order.place), 0);
    let [counts, notes] =
        [counts, notes(account, order)].map(|figures| terminal::blocks(&[Block::Figures(figures)]));
    format!("{head}\n\n{counts}\n{notes}")
}

/// Whether the numbers add up, and what was not restored.
fn notes(account: &RestoreSummary, order: &RestoreRequest) -> Vec<Figure> {
    let balance = if account.balanced { "every key is accounted for" } else { "DOES NOT BALANCE: a bug" };
    let mut notes = vec![("Balance", balance.to_owned())];
    if account.unconfirmed > 0 {
        let keys = grouped(account.unconfirmed);
        notes.push((
            "Unconfirmed",
            format!("for {keys} of these keys it is unknown whether keysweep deleted them"),
        ));
    }
    if account.unfinished_files > 0 {
        let files = grouped(account.unfinished_files);
        notes.push(("Unfinished", format!("{files} files of batches that deleted nothing")));
    }
    if !account.foreign_files.is_empty() {
        notes.push(("Foreign", format!("{} files that are not backups", account.foreign_files.len())));
    }
    let failed = account.causes.iter().map(|(cause, keys)| format!("{} keys: {cause}", grouped(*keys)));
    notes.extend(failed.map(|text| ("Failed", text)));
    if account.damaged > 0 || account.lost > 0 {
        let (places, keys) = (grouped(account.damaged), grouped(account.lost));
        notes.push(("DAMAGED", format!("{places} places; {keys} keys or more are lost")));
    }
    let damages = account.damages.iter().take(DAMAGES_SHOWN);
    notes.extend(damages.map(|at| ("", format!("`{}` at byte {}: {}", at.file, at.offset, at.what))));
    if account.elsewhere > 0 {
        let alias = &order.alias;
        let hint =
            format!("other deployments than `{alias}`: name theirs with `--job` or KEYSWEEP_REDIS_ALIAS");
        notes.push(("Elsewhere", hint));
    }
    notes.extend(account.stopped.clone().map(|why| ("Ended", why)));
    notes.into_iter().map(|(label, text)| Figure::text(label, text)).collect()
}
