//! Stores reports as `<directory>/<job>/<run id>.html` and `.md`. Files are written atomically, and only the newest
//! reports of a job are kept. Other files in the directory are not touched.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use keysweep_files::{FileError, Folder, UNFINISHED};
use keysweep_model::ids::RunId;
use keysweep_model::result::CleanupResult;
use thiserror::Error;

use crate::limits::REPORTS_KEPT;
use crate::printer::{html, markdown};

/// The kinds of pages, by file extension.
const KINDS: [&str; 2] = ["html", "md"];

/// A report that could not be stored.
#[derive(Debug, Error)]
#[error("the report was not written: {0}")]
pub struct ReportFileError(#[from] FileError);

/// Writes both pages of `result` below `directory`, creating it if needed, and removes the job's oldest pages beyond
/// the limit. Returns the path of the HTML page.
///
/// # Errors
/// When a file cannot be written. Failing to remove an old page is no error: the next report retries it.
pub fn write(
    directory: &Path,
    result: &CleanupResult,
    display_name: &str,
) -> Result<PathBuf, ReportFileError> {
    let folder = Folder::any(directory)?.child(&folder_name(&result.job))?;
    folder.put(format!("{}.md", result.run_id), markdown::page(result, display_name).as_bytes(), true)?;
    let name = format!("{}.html", result.run_id);
    folder.put(&name, html::page(result, display_name).as_bytes(), true)?;
    prune(&folder, REPORTS_KEPT);
    Ok(folder.path().join(name))
}

/// The name of the job's folder. Job names are arbitrary, so unusual characters are replaced.
fn folder_name(job: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
    let name: String = job.chars().map(|letter| if plain(letter) { letter } else { '_' }).take(100).collect();
    if name.is_empty() { "_".to_owned() } else { name }
}

/// Keeps the pages of the newest `kept` runs in `folder`. Run ids are ordered by time.
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
            tracing::debug!(error = %e, "failed to remove an old report");
        }
    }
}

/// The run whose page has this name; `None` for other files.
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
    fn any_job_name_maps_to_one_folder() {
        let check = |job: &str, folder: &str| assert_eq!(folder_name(job), folder);
        check("permission-cache-cleanup", "permission-cache-cleanup");
        check("../../etc", "______etc");
        check("", "_");
        check("a b/ü", "a_b__");
    }

    #[test]
    fn only_pages_of_runs_are_recognized() {
        let run = "019a2f5d-ac96-774b-bcce-b302099a8057";
        for ours in ["html", "md", "html.4711.tmp"] {
            assert!(run_of(&format!("{run}.{ours}")).is_some(), "{ours}");
        }
        for other in ["notes.md", "index.html", "019a2f5d-ac96-774b-bcce-b302099a8057.txt", "x"] {
            assert!(run_of(other).is_none(), "{other}");
        }
    }
}
