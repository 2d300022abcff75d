//! `cargo xtask deploy-check`: checks what `deploy/` gives to users, with the tests in `deploy/tests/`. Those are in
//! Python, as their tools are: Helm, the schemas of Kubernetes and of Compose.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};

use crate::cargo::{build_keysweep, exit_code, root, status};
use crate::install;

/// Where the tools are installed, below the workspace's root.
const FOLDER: &str = "target/tools/deploy";

/// The tools, with their hashes.
const REQUIREMENTS: &str = ".ci/deploy.txt";

/// Installs what is missing, builds the binary and runs the tests, or those that `args` name.
pub(crate) fn run(args: &[String]) -> Result<ExitCode> {
    install::ensure(&install::FOR_TESTS)?;
    install::ensure(&install::FOR_DEPLOYMENT)?;
    let tools = tools()?;
    let keysweep = build_keysweep()?;
    let mut tests = Command::new("python3");
    tests.args(["-m", "unittest"]).args(args).current_dir(root().join("deploy/tests"));
    tests.env("CHECKED_XTASK", env::current_exe()?);
    tests.env("CHECKED_BINARY", keysweep).env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONPATH", &tools);
    let path = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths([tools.join("bin")].into_iter().chain(env::split_paths(&path)))?;
    Ok(exit_code(status(tests.env("PATH", path))?))
}

/// The folder with the tools, which are installed if they are missing or others are wanted now.
#[expect(clippy::disallowed_methods, reason = "a developer's own work tree")]
pub(crate) fn tools() -> Result<PathBuf> {
    let folder = root().join(FOLDER);
    let wanted = fs::read_to_string(root().join(REQUIREMENTS))?;
    let installed = folder.join("installed.txt");
    if fs::read_to_string(&installed).is_ok_and(|text| text == wanted) {
        return Ok(folder);
    }
    eprintln!("xtask: installing the tools of `{REQUIREMENTS}` below `{FOLDER}`: 120 MB");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:"]);
    pip.args(["--require-hashes", "--requirement", REQUIREMENTS, "--target", FOLDER]);
    if !status(pip.current_dir(root()).stdin(Stdio::null()))?.success() {
        bail!("pip did not install the tools of `{REQUIREMENTS}` (see above)");
    }
    fs::write(&installed, wanted).with_context(|| format!("failed to write `{}`", installed.display()))?;
    Ok(folder)
}
