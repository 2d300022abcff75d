//! `cargo xtask upgrade`: a rolling upgrade from an earlier commit, under kills. Every second process is of that commit,
//! and each process that is killed comes back as the other version. `KEYSWEEP_SOAK_SEEDS` is the number of runs (10).

use std::fs;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::cargo::{cargo, done, exit_code, output, root, status};
use crate::install;

/// Where the earlier version is built, below the workspace's root.
const FOLDER: &str = "target/previous";

/// Builds the version `from` and runs the test with it.
#[expect(clippy::disallowed_methods, reason = "a developer's own work tree")]
pub(crate) fn run(from: &str) -> Result<ExitCode> {
    install::ensure(&install::FOR_TESTS)?;
    let commit = output("git", &["rev-parse", "--verify", &format!("{from}^{{commit}}")])?;
    let (source, target) = (root().join(FOLDER).join("source"), root().join(FOLDER).join("build"));
    if source.exists() {
        fs::remove_dir_all(&source).context("failed to remove the sources of an earlier test")?;
    }
    fs::create_dir_all(&source)?;
    let mut unpack = Command::new("sh");
    unpack.args(["-c", "git archive \"$0\" | tar -x -C \"$1\"", &commit]).arg(&source);
    done(&mut unpack, "unpack the earlier version")?;
    eprintln!("xtask: building {commit}");
    let mut build = cargo(&["build", "--locked", "--bin", "keysweep"]);
    build.current_dir(&source).env("CARGO_TARGET_DIR", &target);
    let built = status(&mut build)?;
    if !built.success() {
        return Ok(exit_code(built));
    }
    let mut test = cargo(&["test", "--workspace", "--locked", "--test", "processes", "--"]);
    test.args(["--ignored", "--nocapture", "mixed_versions"]);
    Ok(exit_code(status(test.env("KEYSWEEP_OTHER_BINARY", target.join("debug/keysweep")))?))
}
