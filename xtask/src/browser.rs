//! `cargo xtask browser`: the tests of the service's page: of its functions in Node, and its tours in Chromium. The tours
//! install two packages from the npm registry below the target folder; nothing else goes over the network.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::cargo::{cargo, exit_code, root, status};
use crate::install::{self, CHROMIUM, NODE, NPM};

/// The tests of the page's functions.
const UNIT_TESTS: &str = "coordinator/tests/page";

/// Installs what is missing, tests the functions and takes the tours.
pub(crate) fn run() -> Result<ExitCode> {
    install::ensure(&[CHROMIUM, NODE, NPM])?;
    install::ensure(&install::FOR_TESTS)?;
    let done = status(Command::new("node").arg("--test").args(unit_tests()?))?;
    if !done.success() {
        return Ok(exit_code(done));
    }
    let mut tests = cargo(&["test", "--workspace", "--locked", "--test", "commands", "page_browser"]);
    // One after the other: each has a browser and a service.
    tests.args(["--", "--ignored", "--nocapture", "--test-threads=1"]);
    let done = status(&mut tests)?;
    println!("the pictures are in `page` below the temporary folder of the tests, usually `target/tmp/page`");
    Ok(exit_code(done))
}

fn unit_tests() -> Result<Vec<PathBuf>> {
    let folder = root().join(UNIT_TESTS);
    let entries = fs::read_dir(&folder).with_context(|| format!("failed to read `{}`", folder.display()))?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}
