//! `cargo xtask fuzz`: runs every decoder and parser on hostile bytes for a given time. Each target prints what it
//! tried; the first failure prints its bytes.

use std::process::ExitCode;

use anyhow::Result;

use crate::cargo::{cargo, exit_code, status};

/// Runs each target for `seconds`.
pub(crate) fn run(seconds: u64) -> Result<ExitCode> {
    // Not in release mode, so that integer overflows are errors.
    let mut command =
        cargo(&["test", "--workspace", "--locked", "--lib", "--test", "fuzz", "--test", "results"]);
    command.args(["fuzz", "--", "--nocapture"]);
    Ok(exit_code(status(command.env("KEYSWEEP_FUZZ_SECONDS", seconds.to_string()))?))
}
