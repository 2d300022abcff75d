//! `keysweep runs report`: the page of a run that has ended, made from its stored result.

use std::io;

use reporter::page;
use shared::files;
use shared::history;
use shared::ids::RunId;

use super::args::ReportArgs;
use super::error::CommandError;
use super::run::{Show, print};
use super::site::Net;
use crate::{exit, lines};

/// Prints the page, or writes it where the flags say.
///
/// # Errors
/// When there is no such run, or it has not ended; when NATS cannot be used, or the file not be written.
pub(super) async fn report(net: &Net, run: RunId, args: &ReportArgs, show: Show) -> Result<u8, CommandError> {
    if show.json {
        return Err(CommandError::Usage(
            "a report is Markdown or HTML; `keysweep runs show --json` prints the result as JSON".to_owned(),
        ));
    }
    let records = net.env.records(run);
    let (result, spec) = (records.result().await?, records.spec().await?);
    let Some(result) = result else {
        let known =
            spec.is_some() || history::read(&*net.env.store).await?.iter().any(|line| line.run_id == run);
        return Err(if known { CommandError::NoReport(run) } else { CommandError::NoRun(run) });
    };
    let name = spec.map_or_else(|| result.job.clone(), |spec| spec.display_name);
    let page = if args.html { page::html(&result, &name) } else { page::markdown(&result, &name) };
    match &args.output {
        Some(path) => {
            files::replace(path, page.as_bytes()).map_err(io::Error::from)?;
            lines::report(&result, &name, path);
        }
        None => print(&page)?,
    }
    Ok(exit::DONE)
}
