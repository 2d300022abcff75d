//! `keysweep demo`: a throwaway cluster with sample data, one run, its result, and the expected numbers next to it.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use coordinator::exit;
use coordinator::options::Options;
use coordinator::process_id::myself;
use keysweep_files::Folder;
use keysweep_model::ids::Alias;
use keysweep_model::messages::Rules;
use keysweep_redis::ConnectOptions;
use keysweep_servers::{ClusterServers, Dataset, ExpectedCounts, Seeder, ServersError, demo_mixture};
use reporter::grouped;

use super::args::DemoArgs;
use super::error::CommandError;
use super::run::{OutputMode, RunStart, run};
use super::signals::Signals;

/// The seed of the sample data: every demo has the same keys.
const SEED: u64 = 1;

/// Runs the demo.
///
/// # Errors
/// When servers, seeding or the run fail.
pub async fn demo(args: &DemoArgs, show: OutputMode) -> Result<u8, CommandError> {
    tracing::info!("Starting a throwaway cluster of three primaries...");
    let servers = ClusterServers::start(3, 0).await?;
    let mixture = demo_mixture(args.keys, args.stale_percent, SEED);
    let truth = mixture.truth();
    tracing::info!("Filling it with {} keys...", grouped(truth.total()));
    seed(&servers, mixture).await?;
    let code = run(
        &options(servers.urls())?,
        Duration::ZERO,
        &RunStart { yes: true, detach: false, workers: None },
        show,
    )
    .await?;
    if !show.json {
        let left = Seeder::connect(&servers.urls()).await?.keys().await?;
        io::stdout().write_all(checked(&truth, left).as_bytes())?;
    }
    if args.keep && ![exit::INTERRUPTED, exit::TERMINATED].contains(&code) {
        tracing::info!("The servers stay until Ctrl-C: {}", servers.urls().join(" "));
        Signals::catch()?.next().await;
    }
    Ok(code)
}

async fn seed(servers: &ClusterServers, mixture: Dataset) -> Result<(), ServersError> {
    let mut seeder = Seeder::connect(&servers.urls()).await?;
    for entry in mixture {
        seeder.entry(&entry).await?;
    }
    seeder.finish().await
}

fn options(urls: Vec<String>) -> Result<Options, CommandError> {
    let rules = Rules::deleting(&["permissions:*"], &["permissions:system:*"])
        .map_err(|e| CommandError::Usage(e.to_string()))?;
    Ok(Options {
        job: "demo".to_owned(),
        display_name: "Demo".to_owned(),
        alias: Alias::new("demo"),
        started_by: myself(),
        report_dir: report_dir(),
        ..Options::plain(ConnectOptions::open(urls), Rules { grace_ms: 1_000, ..rules })
    })
}

/// Creates a folder for the report in the system's temporary directory; it is not removed.
fn report_dir() -> Option<PathBuf> {
    match Folder::temporary("keysweep-demo") {
        Ok(folder) => Some(folder.path().to_owned()),
        Err(e) => {
            tracing::warn!("there is no report: {e}");
            None
        }
    }
}

/// The counts known from seeding, to compare with the result above them.
fn checked(truth: &ExpectedCounts, left: u64) -> String {
    let expected = truth.total() - truth.stale;
    format!(
        "\nWhat was put in: {} matching keys, {} of them stale,\n\
         {} of those protected; and {} others.\n\
         Counted by the servers now: {} keys, {} expected.\n",
        grouped(truth.matching),
        grouped(truth.stale + truth.protected),
        grouped(truth.protected),
        grouped(truth.other),
        grouped(left),
        grouped(expected),
    )
}
