//! Where reports are kept: `<directory>/<job>/<run id>.html` and `.md`. A page is there whole or not at all, and the
//! newest ones of a job remain. Nothing else in the directory is touched.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use shared::files::{FileError, Folder, UNFINISHED};
use shared::ids::RunId;
use shared::limits::REPORTS_KEPT;
use shared::result::CleanupResult;
use thiserror::Error;

use crate::page;

/// The kinds of pages, by the ends of their names.
const KINDS: [&str; 2] = ["html", "md"];

/// A report that could not be kept.
#[derive(Debug, Error)]
#[error("the report was not written: {0}")]
pub struct ReportFileError(#[from] FileError);

/// Writes both pages of `result` below `directory`, which is made if it is missing, and removes the job's oldest
/// ones if there are too many. The path of the HTML page.
///
/// # Errors
/// When a file cannot be written. That an old one cannot be removed is no error: the next report tries again.
pub fn write(
    directory: &Path,
    result: &CleanupResult,
    display_name: &str,
) -> Result<PathBuf, ReportFileError> {
    let folder = Folder::any(directory)?.child(&folder_name(&result.job))?;
    folder.put(format!("{}.md", result.run_id), page::markdown(result, display_name).as_bytes(), true)?;
    let name = format!("{}.html", result.run_id);
    folder.put(&name, page::html(result, display_name).as_bytes(), true)?;
    prune(&folder, REPORTS_KEPT);
    Ok(folder.path().join(name))
}

/// The job's name, which programs may choose as they like, as the name of one folder.
fn folder_name(job: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
    let name: String = job.chars().map(|letter| if plain(letter) { letter } else { '_' }).take(100).collect();
    if name.is_empty() { "_".to_owned() } else { name }
}

/// Leaves the pages of the newest `kept` runs in `folder`. Ids of runs are in the order of time.
fn prune(folder: &Folder, kept: usize) {
    let Ok(names) = folder.names() else { return };
    let mut pages: BTreeMap<RunId, Vec<OsString>> = BTreeMap::new();
    for name in names {
        if let Some(run) = name.to_str().and_then(run_of) {
            pages.entry(run).or_default().push(name);
        }
    }
    for name in pages.values().rev().skip(kept).flatten() {
        if let Err(e) = folder.remove(name) {
            tracing::debug!(error = %e, "an old report stays");
        }
    }
}

/// The run whose page has this name; `None` if it is none of ours.
fn run_of(name: &str) -> Option<RunId> {
    let (run, kind) = name.split_once('.')?;
    let kind = match kind.strip_suffix(UNFINISHED) {
        Some(unfinished) => unfinished.split('.').next()?,
        None => kind,
    };
    KINDS.contains(&kind).then(|| run.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_one_folder_whatever_its_name() {
        let check = |job: &str, folder: &str| assert_eq!(folder_name(job), folder);
        check("permission-cache-cleanup", "permission-cache-cleanup");
        check("../../etc", "______etc");
        check("", "_");
        check("a b/ü", "a_b__");
    }

    #[test]
    fn only_pages_of_runs_are_ours() {
        let run = "019a2f5d-ac96-774b-bcce-b302099a8057";
        for ours in ["html", "md", "html.4711.tmp"] {
            assert!(run_of(&format!("{run}.{ours}")).is_some(), "{ours}");
        }
        for other in ["notes.md", "index.html", "019a2f5d-ac96-774b-bcce-b302099a8057.txt", "x"] {
            assert!(run_of(other).is_none(), "{other}");
        }
    }
}
