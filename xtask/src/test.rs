//! `cargo xtask test`: installs what the tests need, then runs all tests.

use std::env;
use std::num::NonZero;
use std::process::ExitCode;
use std::thread::available_parallelism;

use anyhow::Result;

use crate::cargo::{cargo, exit_code, status};
use crate::install;

/// Installs what is missing and runs `cargo test` with `args` added.
pub(crate) fn run(args: &[String]) -> Result<ExitCode> {
    install::ensure(&install::FOR_TESTS)?;
    let mut tests = cargo(&["test", "--workspace", "--locked"]);
    // Most tests wait for servers and timers most of the time.
    if env::var_os("RUST_TEST_THREADS").is_none() {
        let processors = available_parallelism().map_or(1, NonZero::get);
        tests.env("RUST_TEST_THREADS", (3 * processors).to_string());
    }
    Ok(exit_code(status(tests.args(args))?))
}
