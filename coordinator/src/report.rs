//! The report of a run that ended here. It never decides how a run ended: where it cannot be written, the log says
//! so, with the path.

use std::path::PathBuf;

use keysweep_model::result::CleanupResult;
use reporter::report_file;

use crate::options::Options;
use crate::run_log;

/// Writes the report, if one is wanted, and says where it is.
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
            tracing::warn!(error = %e, "the report was not written");
            None
        }
    }
}
