//! Writes the report of an embedded run. An error never changes the outcome of the run: it is logged, with the path.

use std::path::PathBuf;

use keysweep_model::result::CleanupResult;
use reporter::report_file;

use crate::options::Options;
use crate::run_log;

/// Writes the report, if one is required, and logs its path.
pub async fn write(result: &CleanupResult, options: &Options) -> Option<PathBuf> {
    let directory = options.report_dir.clone()?;
    let (kept, name) = (result, options.display_name.clone());
    let result = result.clone();
    let writing = tokio::task::spawn_blocking(move || report_file::write(&directory, &result, &name));
    let name = &options.display_name;
    match writing.await {
        Ok(Ok(path)) => {
            run_log::report(kept, name, &path);
            Some(path)
        }
        Ok(Err(e)) => {
            tracing::warn!("{e}");
            None
        }
        Err(e) => {
            tracing::warn!(error = %e, "failed to write the report");
            None
        }
    }
}
