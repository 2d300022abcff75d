//! Developer commands: `cargo xtask <command>`. Each is one file; they share `cargo.rs` (running cargo) and
//! `install.rs` (missing programs).
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool talks to its terminal")]

mod bench;
mod browser;
mod cargo;
mod ci;
mod demo;
mod deny;
mod deploy_check;
mod docs;
mod examples;
mod fuzz;
mod install;
mod limits_page;
mod matrix;
mod mutations;
mod package;
mod pinned;
mod release;
mod sbom;
mod sim;
mod soak;
mod test;
mod typos;
mod upgrade;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Developer commands of keysweep.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Demonstrate keysweep: a temporary cluster, sample data, one run, its result.
    Demo {
        /// Passed to `keysweep demo`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Install what the tests need, if it is missing, and run all tests.
    Test {
        /// Passed to `cargo test`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Run the checks of the continuous integration: format, crates, lints, tests, docs.
    Ci,
    /// Run these checks, and those with larger downloads or the rights of root.
    CiFull,
    /// Check what `deploy/` gives to users: units, images, the chart, packages, alert rules.
    DeployCheck {
        /// Passed to `python3 -m unittest`, such as `test_chart`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Check the licenses, sources and duplicates of all crates and, if the database can be fetched, known advisories.
    Deny,
    /// Check the spelling of code and documents.
    Typos,
    /// Build the pages in `docs/` as a book: `target/book/index.html`.
    Docs {
        /// Write the tables of `docs/configuration.md` from the settings instead.
        #[arg(long)]
        configuration: bool,
        /// Write `docs/limits.md` from the `limits.rs` files instead.
        #[arg(long, conflicts_with = "configuration")]
        limits: bool,
        /// Write `docs/schemas/` and `docs/openapi.json` from the types instead.
        #[arg(long, conflicts_with_all = ["configuration", "limits"])]
        schemas: bool,
        /// Write the table of `docs/metrics.md` from the code instead.
        #[arg(long, conflicts_with_all = ["configuration", "limits", "schemas"])]
        metrics: bool,
    },
    /// Write the binary's components as CycloneDX: `target/keysweep.cdx.json`.
    Sbom {
        /// The platform of the binary.
        #[arg(long, default_value = "x86_64-unknown-linux-gnu")]
        target: String,
    },
    /// Compare keysweep with other cleanup methods, on temporary servers.
    Bench(bench::Options),
    /// Let runs happen in simulated worlds: `--seeds N`, `--seed S`, `--seconds N`, `--profile NAME`, `--keys N`,
    /// `--replay`; with `--mutations` instead, with deliberate bugs.
    Sim {
        /// Passed to the simulation.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Make the packages of a release, in `target/package`: a tar file, and a package for Debian.
    Package {
        /// Take this binary, instead of building one with the profile `dist` (which takes ten minutes).
        #[arg(long)]
        binary: Option<PathBuf>,
    },
    /// Make the commit and the tag of a release.
    Release(release::ReleaseOptions),
    /// Run the end-to-end suite on other versions of Redis, Valkey and nats-server (takes about half an hour).
    Matrix(matrix::MatrixOptions),
    /// Run the tests with large counts (in release mode; takes minutes).
    Soak {
        /// The number of keys.
        #[arg(long, default_value_t = 1_000_000)]
        keys: u64,
    },
    /// Test a rolling upgrade: processes of this version and of an earlier one share runs, while they are killed.
    Upgrade {
        /// The earlier version: a commit, a tag.
        #[arg(long, default_value = "HEAD^")]
        from: String,
    },
    /// Test the service's page: its functions in Node, and its tours in Chromium; needs the npm registry.
    Browser,
    /// Install the example programs in Node and Python, check their types, and run them; needs the registries of npm and PyPI.
    Examples,
    /// Run every decoder and parser on hostile bytes.
    Fuzz {
        /// The time for each target.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
    },
    /// Clean a cluster with the least possible work; a contender of the bench.
    #[command(hide = true)]
    Floor {
        /// The addresses of the nodes.
        urls: Vec<String>,
    },
    /// Clean servers with one cursor, one node after another; a contender of the bench.
    #[command(hide = true)]
    SingleCursor {
        /// The addresses of the nodes.
        urls: Vec<String>,
    },
    /// Simulate the application whose latency must not suffer, until stdin is closed.
    #[command(hide = true)]
    Foreground {
        /// The addresses of the nodes.
        urls: Vec<String>,
    },
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Demo { args } => demo::run(&args),
        Command::Test { args } => test::run(&args),
        Command::Ci => ci::run(),
        Command::CiFull => ci::run_full(),
        Command::DeployCheck { args } => deploy_check::run(&args),
        Command::Deny => deny::run(),
        Command::Typos => typos::run(),
        Command::Docs { configuration: true, .. } => docs::configuration(),
        Command::Docs { limits: true, .. } => limits_page::run(),
        Command::Docs { schemas: true, .. } => docs::schemas(),
        Command::Docs { metrics: true, .. } => docs::metrics(),
        Command::Docs { .. } => docs::run(),
        Command::Sbom { target } => sbom::run(&target),
        Command::Bench(options) => bench::run(&options),
        Command::Sim { args } => sim::run(&args),
        Command::Package { binary } => package::run(binary),
        Command::Release(options) => release::run(&options),
        Command::Matrix(options) => matrix::run(&options),
        Command::Soak { keys } => soak::run(keys),
        Command::Upgrade { from } => upgrade::run(&from),
        Command::Browser => browser::run(),
        Command::Examples => examples::run(),
        Command::Fuzz { seconds } => fuzz::run(seconds),
        Command::Floor { urls } => bench::clients::floor::run(&urls).map(|()| ExitCode::SUCCESS),
        Command::SingleCursor { urls } => {
            bench::clients::single_cursor::run(&urls).map(|()| ExitCode::SUCCESS)
        }
        Command::Foreground { urls } => bench::clients::foreground::run(&urls).map(|()| ExitCode::SUCCESS),
    };
    done.unwrap_or_else(|error| {
        eprintln!("xtask: {error:#}");
        ExitCode::FAILURE
    })
}
