//! `cargo xtask bench`: compares keysweep with other cleanup methods and with the least possible work, on temporary
//! servers, with the same keys for all, in one session. `measure.rs` and `growth.rs` measure, `report/` shows the
//! results.

mod case;
pub(crate) mod clients;
mod contenders;
mod data;
mod deployment;
mod figures;
mod growth;
mod latency;
mod machine;
mod measure;
mod proc;
mod programs;
pub(crate) mod report;
mod spread;
mod targets;
mod verdict;
mod watched;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};

use self::contenders::Contender;
use self::figures::{Comparison, Measure};
use self::measure::{Bench, MeasureRequest};
use self::programs::Programs;
use self::report::{json, page, plot, tables};
use crate::cargo::root;
use crate::install;

/// The default list of `--stale`: the shares that have targets.
const SHARES: [u8; 3] = [1, 10, 50];

/// The default list of `--growth`.
const SIZES: &str = "1000000,3000000,10000000";

/// The arguments of the command.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The number of keys; a tenth of them have no TTL, unless `--stale` says otherwise.
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1000..))]
    keys: u64,
    /// The number of turns, each with one run of every contender; six or more are needed to be sure of a target
    /// [default: 3, and 1 with --growth].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    repeats: Option<u16>,
    /// The shares of stale keys, in percent, with which keysweep and the floor are compared; all others get a tenth.
    /// With other shares than the default, `BENCHMARKS.md` is not changed.
    #[arg(long, value_name = "PERCENTS", value_delimiter = ',', default_values_t = SHARES,
        value_parser = clap::value_parser!(u8).range(1..=100), conflicts_with = "growth")]
    stale: Vec<u8>,
    /// Print one JSON document instead of tables.
    #[arg(long)]
    json: bool,
    /// Measure keysweep and the floor with these numbers of keys instead.
    #[arg(long, value_name = "LIST", num_args = 0..=1, default_missing_value = SIZES)]
    growth: Option<String>,
    /// Compare only these; `BENCHMARKS.md` is not changed.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', conflicts_with = "growth")]
    only: Vec<Contender>,
    /// Measure no latencies; `BENCHMARKS.md` is not changed.
    #[arg(long)]
    no_latency: bool,
    /// Use `keysweep` and `xtask` in this directory; build and install nothing.
    #[arg(long, value_name = "DIR")]
    binaries: Option<PathBuf>,
    /// More arguments for `keysweep run`; `BENCHMARKS.md` is not changed.
    #[arg(last = true)]
    args: Vec<String>,
}

impl Options {
    /// Whether this measures everything that the page shows, without changes.
    fn is_whole(&self) -> bool {
        self.only.is_empty() && !self.no_latency && self.args.is_empty() && self.stale == SHARES
    }

    /// The equivalent command, for the page.
    fn command(&self, repeats: usize) -> String {
        let what = match &self.growth {
            Some(list) => format!("--growth {list}"),
            None => format!("--keys {}", self.keys),
        };
        let built = self.binaries.as_ref().map(|dir| format!(" --binaries {}", dir.display()));
        format!("cargo xtask bench {what} --repeats {repeats}{}", built.unwrap_or_default())
    }
}

/// Builds, measures, prints, and writes the page.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let sizes = options.growth.as_deref().map(growth::sizes).transpose()?;
    install::ensure(&[install::REDIS, install::NATS])?;
    let programs = match &options.binaries {
        Some(dir) => Programs::in_directory(dir),
        None => Programs::build()?,
    };
    let runtime = tokio::runtime::Runtime::new().context("failed to start the runtime")?;
    runtime.block_on(async {
        let bench = Bench::start(programs).await?;
        match sizes {
            Some(sizes) => grow(options, &bench, &sizes).await,
            None => compare(options, &bench).await,
        }
    })
}

async fn compare(options: &Options, bench: &Bench) -> Result<ExitCode> {
    let contenders = if options.only.is_empty() { &Contender::ALL[..] } else { &options.only };
    let request = MeasureRequest {
        cases: case::cases(contenders, &options.stale, options.keys),
        repeats: usize::from(options.repeats.unwrap_or(3)),
        latency: !options.no_latency,
        args: options.args.clone(),
    };
    let comparison = bench.compare(&request).await?;
    let targets = targets::comparison(&comparison);
    if options.json {
        println!("{}", json::comparison(&comparison, &targets));
    } else {
        print!("{}", tables::text(&comparison, &targets));
    }
    if options.is_whole() && !comparison.failed() {
        let block = page::comparison(&comparison, &targets, &options.command(request.repeats));
        write_page("comparison", &block)?;
        write(page::RATES_PLOT, &rates_plot(&comparison))?;
    }
    Ok(if comparison.failed() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

async fn grow(options: &Options, bench: &Bench, sizes: &[u64]) -> Result<ExitCode> {
    let request = MeasureRequest {
        cases: growth::cases(sizes),
        repeats: usize::from(options.repeats.unwrap_or(1)),
        latency: false,
        args: options.args.clone(),
    };
    let measured = bench.compare(&request).await?;
    let sizes = growth::by_size(&measured)?;
    let targets = targets::growth(&sizes);
    if options.json {
        println!("{}", json::growth(&sizes, &targets, &measured.machine));
    } else {
        println!("{}", report::growth::text(&sizes, &targets));
    }
    if options.is_whole() {
        let head = page::head(&options.command(request.repeats), &measured.machine);
        write_page("growth", &page::growth(&sizes, &targets, &head, request.repeats))?;
        write(page::GROWTH_PLOT, &report::growth::plot(&sizes))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The contenders that clean a whole cluster or node, in the order of the table.
fn rates_plot(comparison: &Comparison) -> String {
    let whole = comparison.measured().filter(|(case, _)| case.contender.disturbs());
    let bars: Vec<(String, f64)> = whole
        .filter_map(|(case, figures)| Some((case.label(), figures.spread(Measure::KeysPerS)?.median)))
        .collect();
    plot::bars("keys per second (logarithmic)", &bars)
}

fn write_page(name: &str, block: &str) -> Result<()> {
    let present =
        std::fs::read_to_string(root().join(page::PAGE)).unwrap_or_else(|_| "# Benchmarks\n".to_owned());
    write(page::PAGE, &page::with_block(&present, name, block))
}

#[expect(clippy::disallowed_methods, reason = "a developer's own work tree")]
fn write(path: &str, text: &str) -> Result<()> {
    std::fs::write(root().join(path), text).with_context(|| format!("failed to write `{path}`"))?;
    eprintln!("xtask: wrote {path}");
    Ok(())
}
