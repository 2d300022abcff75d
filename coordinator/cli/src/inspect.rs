//! `keysweep inspect`: reads all keys, and prints the namespaces that they are in. It changes nothing, and keeps nothing.

use std::io;

use coordinator::inspect::databases;
use coordinator::options::Options;
use coordinator::run_time::RunTime;
use coordinator::{embedded, exit};
use keysweep_files as files;
use keysweep_model::ids::RunId;
use keysweep_model::result::Status;
use keysweep_model::time::now_ms;
use reporter::printer::{html, terminal};

use super::args::{InspectArgs, MemoryMode};
use super::error::CommandError;
use super::inspect_page::view::{Inspected, InspectedDatabase};
use super::inspect_page::{self, csv, json};
use super::run::{OutputMode, preflight_with_terminal, print, run_watched};
use super::signals::Signals;

/// The deployment to look at.
pub struct InspectTarget {
    /// The connection and the pace.
    pub options: Options,
    /// Whether the database was named; if not, all databases with keys are read.
    pub one_database: bool,
    /// Flags that connect to it, quoted for a shell, without secrets.
    pub connection: String,
}

/// `keysweep inspect`.
///
/// # Errors
/// When there is no result, or the page cannot be written.
pub async fn inspect(
    target: InspectTarget,
    args: &InspectArgs,
    show: OutputMode,
) -> Result<u8, CommandError> {
    let InspectTarget { options, one_database, connection } = target;
    let options = options.inspecting(args.memory == MemoryMode::Full)?;
    let numbers = if one_database { vec![options.access.db] } else { databases(&options).await };
    let (mut found, mut code) = (Vec::new(), exit::DONE);
    for db in numbers {
        let (database, ended) = Box::pin(one(options.clone().of_database(db), show)).await?;
        found.push(database);
        // The worst is that of the whole.
        code = code.max(ended.code);
        if ended.stopped {
            break;
        }
    }
    let (found, selection) = (Inspected { databases: found, connection }, args.selection());
    let blocks = inspect_page::blocks(&found, selection);
    if let Some(path) = &args.html {
        let page = html::document(
            "Namespaces",
            &found.connection,
            &inspect_page::with_chart(&found, blocks.clone()),
        );
        files::replace(path, page.as_bytes()).map_err(io::Error::from)?;
        tracing::info!("page: {}", path.display());
    }
    if args.csv {
        print(&csv::csv(&found, selection).map_err(io::Error::other)?)?;
    } else {
        show.print(&json::json(&found, selection), || terminal::blocks(&blocks))?;
    }
    Ok(code)
}

/// How reading a database ended.
struct Ended {
    /// The exit code.
    code: u8,
    /// Whether a signal stopped it.
    stopped: bool,
}

async fn one(options: Options, show: OutputMode) -> Result<(InspectedDatabase, Ended), CommandError> {
    let options = &options;
    let (time, mut signals, run) =
        (RunTime::begin(now_ms(), options.max_runtime), Signals::catch()?, RunId::new());
    let plan = signals.or_stop(preflight_with_terminal(options, run, time, show)).await??;
    let context = embedded::context(options);
    let (result, signal) = run_watched(&context, options, &plan, signals, show).await?;
    let records = context.records(run);
    let namespaces = reporter::namespaces(&records, &plan.spec, &result.metrics.redis_health).await?;
    let code = exit::of_result(&result, records.cancel().await?.map(|cancel| cancel.kind));
    let code = signal.filter(|_| result.status == Status::Cancelled).unwrap_or(code);
    let database = InspectedDatabase { db: options.access.db, namespaces, coverage: result.coverage };
    Ok((database, Ended { code, stopped: signal.is_some() }))
}
