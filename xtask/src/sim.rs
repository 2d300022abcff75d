//! `cargo xtask sim`: many simulated worlds (`docs/design/simulation.md`).

use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::cargo::{build, exit_code, status};

/// Builds the simulation optimized and runs it with `args`.
pub(crate) fn run(args: &[String]) -> Result<ExitCode> {
    let [sim] = build(["keysweep-sim"], &["--release"], &[])?;
    Ok(exit_code(status(Command::new(sim).args(args))?))
}
