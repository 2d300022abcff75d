//! `cargo xtask browser`: the tours of the service's page in Chromium. The tests install two packages from the npm registry
//! below the target folder; nothing else goes over the network.

use std::process::ExitCode;

use anyhow::Result;

use crate::cargo::{cargo, exit_code, status};
use crate::install::{self, CHROMIUM, NODE, NPM};

/// Installs what is missing and takes the tours.
pub(crate) fn run() -> Result<ExitCode> {
    install::ensure(&[CHROMIUM, NODE, NPM])?;
    install::ensure(&install::FOR_TESTS)?;
    let mut tests =
        cargo(&["test", "--package", "keysweep", "--locked", "--test", "commands", "page_browser"]);
    // One after the other: each has a browser and a service.
    tests.args(["--", "--ignored", "--nocapture", "--test-threads=1"]);
    let done = status(&mut tests)?;
    println!("the pictures are in `page` below the temporary folder of the tests, usually `target/tmp/page`");
    Ok(exit_code(done))
}
