//! Where reports are kept: `<directory>/<job>/<run id>.html` and `.md`. A page is there whole or not at all, and the
//! newest ones of a job remain. Nothing else in the directory is touched.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use shared::ids::RunId;
use shared::limits::REPORTS_KEPT;
use shared::result::CleanupResult;
use thiserror::Error;

use crate::page;

/// The kinds of pages, by the ends of their names.
const KINDS: [&str; 2] = ["html", "md"];

/// The end of the name of a page that is being written.
const UNFINISHED: &str = "part";

/// A report that could not be kept.
#[derive(Debug, Error)]
#[error("failed to write the report to `{}`: {source}", path.display())]
pub struct ReportFileError {
    /// The file or directory.
    pub path: PathBuf,
    /// What is wrong with it.
    source: io::Error,
}

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
    let folder = directory.join(folder_name(&result.job));
    fs::create_dir_all(&folder).map_err(|source| ReportFileError { path: folder.clone(), source })?;
    let page = |kind: &str| folder.join(format!("{}.{kind}", result.run_id));
    write_whole(&page("md"), &page::markdown(result, display_name))?;
    let path = page("html");
    write_whole(&path, &page::html(result, display_name))?;
    prune(&folder, REPORTS_KEPT);
    Ok(path)
}

/// The job's name, which programs may choose as they like, as the name of one folder.
fn folder_name(job: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
    let name: String = job.chars().map(|letter| if plain(letter) { letter } else { '_' }).take(100).collect();
    if name.is_empty() { "_".to_owned() } else { name }
}

/// Writes beside the place and moves there, so that a reader finds a whole page or none.
fn write_whole(path: &Path, text: &str) -> Result<(), ReportFileError> {
    let mut name = path.as_os_str().to_owned();
    // Two commands that follow the same run write it at the same time.
    name.push(format!(".{}.{UNFINISHED}", std::process::id()));
    let unfinished = PathBuf::from(name);
    let written = fs::write(&unfinished, text).and_then(|()| fs::rename(&unfinished, path));
    written.map_err(|source| {
        // Whatever there is of it helps nobody.
        let _ = fs::remove_file(&unfinished);
        ReportFileError { path: path.to_owned(), source }
    })
}

/// Leaves the pages of the newest `kept` runs in `folder`. Ids of runs are in the order of time.
fn prune(folder: &Path, kept: usize) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut pages: BTreeMap<RunId, Vec<PathBuf>> = BTreeMap::new();
    for entry in entries.flatten() {
        if let Some(run) = entry.file_name().to_str().and_then(run_of) {
            pages.entry(run).or_default().push(entry.path());
        }
    }
    for path in pages.values().rev().skip(kept).flatten() {
        if let Err(e) = fs::remove_file(path) {
            tracing::debug!(path = %path.display(), error = %e, "an old report stays");
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
        for ours in ["html", "md", "html.4711.part"] {
            assert!(run_of(&format!("{run}.{ours}")).is_some(), "{ours}");
        }
        for other in ["notes.md", "index.html", "019a2f5d-ac96-774b-bcce-b302099a8057.txt", "x"] {
            assert!(run_of(other).is_none(), "{other}");
        }
    }
}
