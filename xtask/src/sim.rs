//! `cargo xtask sim`: many simulated worlds (`docs/design/simulation.md`).

use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::cargo::{build, exit_code, status};
use crate::mutations;

/// The argument that asks for deliberate bugs.
const MUTATIONS: &str = "--mutations";

/// Builds the simulation optimized and runs it with `args`; with `--mutations` before them, once for each deliberate bug.
pub(crate) fn run(args: &[String]) -> Result<ExitCode> {
    if let Some((_, args)) = args.split_first().filter(|(first, _)| *first == MUTATIONS) {
        return mutations::run(args);
    }
    let [sim] = build(["keysweep-sim"], &["--profile", "sim"], &[])?;
    Ok(exit_code(status(Command::new(sim).args(args))?))
}
