//! `cargo xtask test`: everything that the tests need, then all tests.

use std::process::ExitCode;

use anyhow::Result;

use crate::cargo::{cargo, exit_code, status};
use crate::install;

/// Installs what is missing and runs `cargo test` with `args` added.
pub(crate) fn run(args: &[String]) -> Result<ExitCode> {
    install::ensure(&install::FOR_TESTS)?;
    Ok(exit_code(status(cargo(&["test", "--workspace", "--locked"]).args(args))?))
}
