//! `cargo xtask examples`: installs the example programs in Node and Python from the registries of npm and PyPI (some 30 MB,
//! below the target folder), checks their types, and runs them against real servers. It fails where it cannot install them.

use std::process::ExitCode;

use anyhow::Result;

use crate::cargo::{cargo, exit_code, status};
use crate::install::{self, NODE, NPM, PYTHON};

/// Runs the tests of the programs.
pub(crate) fn run() -> Result<ExitCode> {
    install::ensure(&[NODE, NPM, PYTHON])?;
    install::ensure(&install::FOR_TESTS)?;
    let mut tests = cargo(&["test", "--workspace", "--locked", "--test", "commands", "examples_in_"]);
    tests.args(["--", "--ignored"]);
    Ok(exit_code(status(&mut tests)?))
}
