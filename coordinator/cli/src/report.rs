//! `keysweep runs report`: the page of a run that has ended, rendered from its stored result.

use std::io;

use coordinator::{exit, run_log};
use keysweep_files as files;
use keysweep_model::ids::RunId;
use keysweep_runtime::context::Context;
use keysweep_storage::history;
use reporter::printer::{html, markdown};

use super::args::ReportArgs;
use super::error::CommandError;
use super::run::{OutputMode, print};

/// Prints the page, or writes it to the file from the flags.
///
/// # Errors
/// When there is no such run, or it has not ended; when the store fails, or the file cannot be written.
pub(super) async fn report(
    context: &Context,
    run: RunId,
    args: &ReportArgs,
    show: OutputMode,
) -> Result<u8, CommandError> {
    if show.json {
        return Err(CommandError::Usage(
            "a report is Markdown or HTML; `keysweep runs show --json` prints the result as JSON".to_owned(),
        ));
    }
    let records = context.records(run);
    let (result, spec) = (records.result().await?, records.spec().await?);
    let Some(result) = result else {
        let known = spec.is_some() || history::of(&*context.history_store, run).await?.is_some();
        return Err(if known { CommandError::NoReport(run) } else { CommandError::NoRun(run) });
    };
    let name = spec.map_or_else(|| result.job.clone(), |spec| spec.display_name);
    let page = if args.html { html::page(&result, &name) } else { markdown::page(&result, &name) };
    match &args.output {
        Some(path) => {
            files::replace(path, page.as_bytes()).map_err(io::Error::from)?;
            run_log::report(&result, &name, path);
        }
        None => {
            print(&page)?;
        }
    }
    Ok(exit::DONE)
}
