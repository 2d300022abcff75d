//! `keysweep inspect`: reads all keys, and prints the namespaces that they are in. It changes nothing, and keeps nothing.

use coordinator::options::Options;
use coordinator::run_time::RunTime;
use coordinator::{embedded, exit};
use keysweep_model::ids::RunId;
use keysweep_model::result::Status;
use keysweep_model::time::now_ms;

use super::error::CommandError;
use super::inspect_page;
use super::run::{OutputMode, preflight_with_terminal, run_watched};
use super::signals::Signals;

/// `keysweep inspect`, with the connection and the pace of `options`.
///
/// # Errors
/// When there is no result.
pub async fn inspect(options: Options, show: OutputMode) -> Result<u8, CommandError> {
    let options = &options.inspecting()?;
    let (time, mut signals, run) =
        (RunTime::begin(now_ms(), options.max_runtime), Signals::catch()?, RunId::new());
    let plan = signals.or_stop(preflight_with_terminal(options, run, time, show)).await??;
    let context = embedded::context(options);
    let (result, signal) = run_watched(&context, options, &plan, signals, show).await?;
    let records = context.records(run);
    let found = reporter::namespaces(&records).await?;
    let coverage = &result.coverage;
    show.print(&inspect_page::json(&found, coverage), || inspect_page::text(&found, coverage))?;
    let code = exit::of_result(&result, records.cancel().await?.map(|cancel| cancel.kind));
    Ok(signal.filter(|_| result.status == Status::Cancelled).unwrap_or(code))
}
