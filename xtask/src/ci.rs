//! `cargo xtask ci`: the steps of `.ci/run`. It stops at the first step that fails.

use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Result, bail};

use crate::cargo::{cargo, exit_code, status};
use crate::install;

/// Runs every step.
pub(crate) fn run() -> Result<ExitCode> {
    for component in ["fmt", "clippy"] {
        let found = cargo(&[component, "--version"]).output();
        if !found.is_ok_and(|output| output.status.success()) {
            bail!("`cargo {component}` is missing: install it with `rustup component add rustfmt clippy`");
        }
    }
    install::ensure(&install::FOR_TESTS)?;
    install::offer_browser();
    let lint = ["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"];
    let doc = ["doc", "--workspace", "--no-deps", "--locked"];
    let mut docs = cargo(&doc);
    docs.env("RUSTDOCFLAGS", "-D warnings");
    let mut tests = cargo(&["xtask", "test"]);
    tests.env("INSTA_UPDATE", "no");
    let steps = [
        ("format", cargo(&["fmt", "--all", "--check"])),
        ("spelling", cargo(&["xtask", "typos"])),
        ("supply chain", cargo(&["xtask", "deny"])),
        ("sbom", cargo(&["xtask", "sbom"])),
        ("lints", cargo(&lint)),
        // The command that the README documents.
        ("tests", tests),
        ("deployment", cargo(&[&["xtask", "deploy-check"], &QUICK[..]].concat())),
        ("docs", docs),
    ];
    all(steps)
}

/// The checks of `deploy/` that take seconds. The others build packages, start each container's command, or let each
/// alert fire.
const QUICK: [&str; 5] = ["test_alerts", "test_chart", "test_container", "test_dashboard", "test_systemd"];

/// The same, and what takes minutes, larger downloads or the rights of root: all checks of `deploy/`, the examples, the
/// package on a bare Debian, the tours of the page, and whether the crates could be published.
pub(crate) fn run_full() -> Result<ExitCode> {
    install::ensure(&[install::DEBOOTSTRAP])?;
    let steps = [
        ("ci", cargo(&["xtask", "ci"])),
        ("deployment", cargo(&["xtask", "deploy-check"])),
        ("examples", cargo(&["xtask", "examples"])),
        ("bare Debian", cargo(&["xtask", "deploy-check", "discover", "-p", "full_*.py"])),
        ("browser", cargo(&["xtask", "browser"])),
        ("crates", cargo(&["publish", "--workspace", "--locked", "--dry-run"])),
    ];
    all(steps)
}

/// Carries out the steps, up to the first that fails.
fn all(steps: impl IntoIterator<Item = (&'static str, Command)>) -> Result<ExitCode> {
    for (name, mut command) in steps {
        if let Some(failed) = step(name, &mut command)? {
            return Ok(failed);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn step(name: &str, command: &mut Command) -> Result<Option<ExitCode>> {
    eprintln!("== {name}");
    let begin = Instant::now();
    let status = status(command)?;
    let outcome = if status.success() { "ok" } else { "FAILED" };
    eprintln!("== {name}: {outcome} after {:.1} s", begin.elapsed().as_secs_f64());
    Ok((!status.success()).then(|| exit_code(status)))
}
