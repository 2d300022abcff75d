//! Restores deleted keys from backups: the newest files first; existing keys are replaced only on request. Restored
//! keys exist, so an interrupted restoration is resumed by running it again.

mod owner;
mod select;
mod summary;
mod writer;

use keysweep_backup::{BackupError, BackupTarget, Decoded, FileKind, FileName, decode};
use keysweep_model::ids::{Alias, RunId};
use keysweep_model::time::now_ms;
use keysweep_redis::{ConnectOptions, RedisError, RedisErrorKind};
use thiserror::Error;
use tokio_util::sync::CancellationToken;

pub use owner::owners;
pub use select::RestoreFilter;
pub use summary::{FileDamage, RestoreSummary};

use select::{EntryDecision, EntrySelector, RecordedOutcomes};
use writer::RestoreTarget;

/// No run deletes such keys, so no run has saved them: another program created the file.
const OWN_KEYS: &str = "keys of keysweep itself (locks, ledgers) are never restored, and no run saves them; do not trust this backup";

/// What to restore, and where.
#[derive(Clone, Debug)]
pub struct RestoreRequest {
    /// The backup target.
    pub place: BackupTarget,
    /// The run that deleted the keys; `None`: all runs.
    pub run: Option<RunId>,
    /// The filter on keys.
    pub wanted: RestoreFilter,
    /// The deployment to restore into.
    pub alias: Alias,
    /// How to connect to it.
    pub access: ConnectOptions,
    /// Whether existing keys are replaced.
    pub replace: bool,
    /// Whether the files are only read and checked.
    pub dry_run: bool,
}

/// Why nothing could be restored.
#[derive(Debug, Error)]
pub enum RestoreError {
    /// The files cannot be read.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// There are none.
    #[error("`{place}` contains no backup{of}; `--backup` of `keysweep run` sets where backups are saved")]
    Empty {
        /// The backup target.
        place: String,
        /// The suffix that names the run.
        of: String,
    },
    /// Redis cannot be used.
    #[error("{}", with_remedy(.0))]
    Redis(#[from] RedisError),
}

/// An error, with its remedy.
fn with_remedy(fault: &RedisError) -> String {
    match (fault.kind, fault.rule()) {
        (RedisErrorKind::PermissionDenied, Some(rule)) => {
            format!("{fault}; allow it with the ACL rule `{rule}`")
        }
        (RedisErrorKind::Unreachable | RedisErrorKind::ConnectionLost, _) => {
            format!("{fault}; check `--redis` or `REDIS_URL`, and that the server is running")
        }
        _ => fault.to_string(),
    }
}

/// The files that a request selects.
#[derive(Debug)]
pub struct FoundFiles {
    /// Files with keys, newest first.
    saves: Vec<FileName>,
    /// Files with the outcomes of those keys.
    notes: Vec<FileName>,
    /// Number of runs that they belong to.
    pub runs: usize,
    account: RestoreSummary,
}

impl FoundFiles {
    /// Number of files with keys.
    #[must_use]
    pub fn files(&self) -> usize {
        self.saves.len()
    }
}

/// Lists the files for `order`, without reading them.
///
/// # Errors
/// When they cannot be listed, or there are none.
pub async fn find(order: &RestoreRequest) -> Result<FoundFiles, RestoreError> {
    let listed = order.place.list().await?;
    let ours = listed.files.into_iter().filter(|name| order.run.is_none_or(|run| run == name.run));
    let (mut saves, notes): (Vec<FileName>, Vec<FileName>) =
        ours.partition(|name| matches!(name.kind, FileKind::Save(_)));
    if saves.is_empty() {
        return Err(empty(&order.place, order.run));
    }
    saves.sort_unstable_by(|a, b| b.cmp(a));
    let mut runs: Vec<RunId> = saves.iter().map(|name| name.run).collect();
    runs.sort_unstable();
    runs.dedup();
    let account = RestoreSummary {
        unfinished_files: listed.unfinished,
        foreign_files: listed.foreign,
        dry_run: order.dry_run,
        ..RestoreSummary::default()
    };
    Ok(FoundFiles { saves, notes, runs: runs.len(), account })
}

fn empty(place: &BackupTarget, run: Option<RunId>) -> RestoreError {
    let of = run.map(|run| format!(" of run `{run}`")).unwrap_or_default();
    RestoreError::Empty { place: place.to_string(), of }
}

/// Restores what was `found`. At `stop`, the work in progress is finished.
///
/// # Errors
/// When Redis cannot be used at all. Keys that cannot be read or restored are counted in the summary.
pub async fn restore(
    order: &RestoreRequest,
    found: FoundFiles,
    stop: &CancellationToken,
) -> Result<RestoreSummary, RestoreError> {
    let mut target = if order.dry_run { None } else { Some(RestoreTarget::connect(order).await?) };
    let FoundFiles { saves, notes, mut account, .. } = found;
    let mut outcomes = RecordedOutcomes::default();
    for name in notes {
        if stop.is_cancelled() {
            return Ok(stopped(account));
        }
        let decoded = read(order, name, &mut account).await;
        outcomes.add(name.batch, decoded.recorded);
    }
    let mut judge = EntrySelector::new(order.wanted.clone(), outcomes);
    for name in saves {
        if stop.is_cancelled() {
            return Ok(stopped(account));
        }
        let decoded = read(order, name, &mut account).await;
        account.files += 1;
        if let Err(fault) =
            restore_file(order, (name, decoded), &mut judge, target.as_mut(), &mut account).await
        {
            account.stopped = Some(format!("{fault}; restored keys stay, and the same command continues"));
            break;
        }
    }
    Ok(account.balance())
}

fn stopped(mut account: RestoreSummary) -> RestoreSummary {
    account.stopped = Some("it was stopped by a signal; the same command continues".to_owned());
    account.balance()
}

/// Reads a file; damage is recorded in the summary.
async fn read(order: &RestoreRequest, name: FileName, account: &mut RestoreSummary) -> Decoded {
    let decoded = match order.place.get(name).await {
        Ok(bytes) => decode(&bytes),
        Err(e) => Decoded::unreadable(e.to_string()),
    };
    if matches!(name.kind, FileKind::Save(_)) {
        account.lost = account.lost.saturating_add(decoded.lost.unwrap_or(0));
    }
    account.damage(&name, &decoded.damages, decoded.damaged);
    decoded
}

/// Restores the keys of one file.
///
/// # Errors
/// When the server is unreachable.
async fn restore_file(
    order: &RestoreRequest,
    (name, decoded): (FileName, Decoded),
    judge: &mut EntrySelector,
    target: Option<&mut RestoreTarget>,
    account: &mut RestoreSummary,
) -> Result<(), RedisError> {
    let keys = decoded.entries.len() as u64;
    account.read += keys;
    let Some(header) = decoded.header else {
        if keys > 0 {
            account.fail("a file does not name its deployment".to_owned(), keys);
        }
        return Ok(());
    };
    if header.alias != order.alias {
        account.elsewhere += keys;
        return Ok(());
    }
    let now_ms = match &target {
        Some(target) => target.now_ms(),
        None => now_ms(),
    };
    let mut back = Vec::new();
    for entry in decoded.entries {
        match judge.decide((name.batch, header.db), &entry, now_ms) {
            EntryDecision::Filtered => account.filtered += 1,
            EntryDecision::Own => account.fail(OWN_KEYS.to_owned(), 1),
            EntryDecision::Kept => account.kept += 1,
            EntryDecision::Older => account.older += 1,
            EntryDecision::Expired => account.expired += 1,
            EntryDecision::Back { confirmed } if target.is_none() => {
                account.restorable += 1;
                account.unconfirmed += u64::from(!confirmed);
            }
            EntryDecision::Back { confirmed } => back.push((entry, confirmed)),
        }
    }
    match target {
        Some(target) => target.put(header.db, back, account).await,
        None => Ok(()),
    }
}
