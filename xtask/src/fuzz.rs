//! `cargo xtask fuzz`: every decoder and parser, given hostile bytes for as long as wanted. What each target tried is
//! printed; the first that fails shows the bytes.

use std::process::ExitCode;

use anyhow::Result;

use crate::cargo::{cargo, exit_code, status};

/// Tries each target for `seconds`.
pub(crate) fn run(seconds: u64) -> Result<ExitCode> {
    // Not in release mode: numbers that overflow are errors here.
    let mut command = cargo(&["test", "--workspace", "--locked", "--lib", "--test", "hostile_records"]);
    command.args(["fuzz", "--", "--nocapture"]);
    Ok(exit_code(status(command.env("KEYSWEEP_FUZZ_SECONDS", seconds.to_string()))?))
}
