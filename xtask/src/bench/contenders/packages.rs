//! Packages of other languages that two contenders need. What is missing is installed below `target/`, where it
//! disturbs nobody and goes away with `cargo clean`; where that fails, or is not wanted, the way to have it is named.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use shared::servers::find_program;

use crate::cargo::root;

/// What is asked of a Python to know whether it will do; it prints the package's version.
const IMPORT: &str = "import redis; print(redis.__version__)";

/// The other Python that may have Debian's package, if PATH leads to one of somebody's own.
const SYSTEM_PYTHON: &str = "/usr/bin/python3";

/// A Python that has the package `redis`; with `install`, one is made if there is none.
///
/// # Errors
/// If there is none; the text says what to install.
pub(crate) fn python(install: bool) -> Result<PathBuf> {
    let own = root().join("target/bench-python");
    let made = own.join("bin/python3");
    let candidates = [find_program("python3"), Some(SYSTEM_PYTHON.into()), Some(made.clone())];
    if let Some(python) = candidates.into_iter().flatten().find(|python| python_version(python).is_some()) {
        return Ok(python);
    }
    let way_out =
        "Python has no package `redis`: `apt-get install python3-redis`, or `python3 -m pip install redis`";
    let python = find_program("python3").context("`python3` is missing: `apt-get install python3-redis`")?;
    if !install {
        bail!(way_out);
    }
    eprintln!("xtask: installing redis-py below `target/`");
    // Without the interpreter's own pip a venv cannot be made; Debian has it in a package of its own.
    quietly(Command::new(python).args(["-m", "venv"]).arg(&own)).context(way_out)?;
    quietly(Command::new(&made).args(["-m", "pip", "install", "--quiet", "redis"])).context(way_out)?;
    Ok(made)
}

/// The version of redis-py that this Python has.
pub(crate) fn python_version(python: &Path) -> Option<String> {
    printed(Command::new(python).args(["-c", IMPORT]))
}

/// Node.js, and the directory of modules that has ioredis; with `install`, that is put there if it is missing.
///
/// # Errors
/// If either is missing; the text says what to install.
#[expect(clippy::disallowed_methods, reason = "a developer's own work tree")]
pub(crate) fn node(install: bool) -> Result<(PathBuf, PathBuf)> {
    let node = find_program("node").context("`node` is missing: `apt-get install nodejs npm`")?;
    let own = root().join("target/bench-node");
    let modules = own.join("node_modules");
    if ioredis_version(&modules).is_none() {
        let way_out = "ioredis is missing: `npm install --prefix target/bench-node ioredis`";
        if !install {
            bail!(way_out);
        }
        let npm = find_program("npm").context("`npm` is missing: `apt-get install npm`")?;
        eprintln!("xtask: installing ioredis below `target/`");
        std::fs::create_dir_all(&own).with_context(|| format!("failed to make `{}`", own.display()))?;
        let mut command = Command::new(npm);
        command.args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"]).arg(&own);
        quietly(command.arg("ioredis").current_dir(&own)).context(way_out)?;
    }
    Ok((node, modules))
}

/// The version of ioredis among these modules.
pub(crate) fn ioredis_version(modules: &Path) -> Option<String> {
    let manifest = std::fs::read(modules.join("ioredis/package.json")).ok()?;
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).ok()?;
    manifest["version"].as_str().map(str::to_owned)
}

/// The first line that a program prints, if it ends well.
pub(crate) fn printed(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.lines().next().unwrap_or_default().trim().to_owned())
}

fn quietly(command: &mut Command) -> Result<()> {
    let program = command.get_program().display().to_string();
    let output =
        command.stdin(Stdio::null()).output().with_context(|| format!("failed to start `{program}`"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("`{program}` said: {}", said.trim().lines().last().unwrap_or("nothing"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_prints_counts_only_if_it_ends_well() {
        let sh = |script: &str| printed(Command::new("sh").args(["-c", script]));
        assert_eq!(sh("echo one; echo two").as_deref(), Some("one"));
        assert_eq!(sh("echo one; exit 1"), None);
    }

    #[test]
    fn a_failed_installation_says_why() {
        let error = quietly(Command::new("sh").args(["-c", "echo first >&2; echo no network >&2; exit 1"]));
        assert_eq!(error.unwrap_err().to_string(), "`sh` said: no network");
        assert_eq!(ioredis_version(Path::new("/nonexistent")), None);
    }
}
