//! Putting back what runs deleted, from where they saved it: the newest files first, never over a key that exists unless
//! told to. Whatever was put back before exists, so a restoration that was cut off is simply begun again.

mod owner;
mod select;
mod summary;
mod writer;

use shared::backup::{BackupError, BackupTarget, Decoded, FileKind, FileName, decode};
use shared::cluster::{ConnectOptions, RedisError, RedisErrorKind};
use shared::ids::{Alias, RunId};
use shared::time::now_ms;
use thiserror::Error;
use tokio_util::sync::CancellationToken;

pub use owner::whose;
pub use select::RestoreFilter;
pub use summary::{FileDamage, RestoreSummary};

use select::{EntryDecision, EntrySelector, RecordedOutcomes};
use writer::RestoreTarget;

/// No run deletes such keys, so no run has saved them: somebody made the file.
const OWN_KEYS: &str = "keys of keysweep itself (locks, ledgers) are never put back, and no run saves them; do not trust this backup";

/// What is to be put back, and where.
#[derive(Clone, Debug)]
pub struct RestoreRequest {
    /// Where it was saved.
    pub place: BackupTarget,
    /// The run that deleted it; all, if there is none.
    pub run: Option<RunId>,
    /// Which of its keys.
    pub wanted: RestoreFilter,
    /// The deployment that it is put back into.
    pub alias: Alias,
    /// The way to it.
    pub access: ConnectOptions,
    /// Whether keys that exist are replaced.
    pub replace: bool,
    /// Whether the files are only read and checked.
    pub dry_run: bool,
}

/// Why nothing could be put back.
#[derive(Debug, Error)]
pub enum RestoreError {
    /// The files cannot be read.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// There are none.
    #[error("`{place}` holds no backup{of}; `--backup` of `keysweep run` says where it saves")]
    Empty {
        /// The place.
        place: String,
        /// Of which run.
        of: String,
    },
    /// Redis cannot be used.
    #[error("{}", with_way_out(.0))]
    Redis(#[from] RedisError),
}

/// A fault, and what somebody can do about it.
fn with_way_out(fault: &RedisError) -> String {
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

/// What lies at the place of an order.
#[derive(Debug)]
pub struct FoundFiles {
    /// Files with keys, the newest first.
    saves: Vec<FileName>,
    /// Files that say what became of them.
    notes: Vec<FileName>,
    /// Runs that they are of.
    pub runs: usize,
    account: RestoreSummary,
}

impl FoundFiles {
    /// Files with keys.
    #[must_use]
    pub fn files(&self) -> usize {
        self.saves.len()
    }
}

/// Looks what there is for `order`, without reading it.
///
/// # Errors
/// When that cannot be listed, or is nothing.
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

/// Puts back what was `found`. At `stop`, what is in hand is finished.
///
/// # Errors
/// When Redis cannot be used at all. What cannot be read or put back is in the account.
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
        if let Err(fault) = put_back(order, (name, decoded), &mut judge, target.as_mut(), &mut account).await
        {
            account.stopped = Some(format!("{fault}; what is back stays, and the same command goes on"));
            break;
        }
    }
    Ok(account.balance())
}

fn stopped(mut account: RestoreSummary) -> RestoreSummary {
    account.stopped = Some("it was asked to stop; the same command goes on".to_owned());
    account.balance()
}

/// Reads a file; what is wrong with it goes into the account.
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

/// Deals with the keys of one file.
///
/// # Errors
/// When the server is gone.
async fn put_back(
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
            account.fail("a file does not say which deployment it is of".to_owned(), keys);
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
