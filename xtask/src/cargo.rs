//! Runs cargo in the workspace's root, with its output shown.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus, Stdio};

use anyhow::{Context, Result, bail, ensure};

/// The root of the workspace.
pub(crate) fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

/// Variables that `cargo run` sets for this package. Build scripts that read variables of their own package (ring's
/// does) would be rerun, with all dependents, if the variables differed between xtask and a manual call of cargo.
const ABOUT_THIS_PACKAGE: [&str; 7] = [
    "CARGO_MANIFEST_DIR",
    "CARGO_PKG_NAME",
    "CARGO_PKG_VERSION_MAJOR",
    "CARGO_PKG_VERSION_MINOR",
    "CARGO_PKG_VERSION_PATCH",
    "CARGO_PKG_VERSION_PRE",
    "CARGO_MANIFEST_LINKS",
];

/// The cargo that runs xtask, in the workspace's root.
pub(crate) fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(program());
    ABOUT_THIS_PACKAGE.iter().for_each(|name| {
        command.env_remove(name);
    });
    command.args(args).current_dir(root());
    command
}

#[expect(clippy::disallowed_methods, reason = "cargo sets this variable to its own path")]
fn program() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned())
}

/// Runs `command` with the terminal's streams and returns its exit status.
pub(crate) fn status(command: &mut Command) -> Result<ExitStatus> {
    command.status().with_context(|| format!("failed to start `{}`", command.get_program().display()))
}

/// Runs `command` in the workspace's root, and fails if it does; `what` says what it is for.
pub(crate) fn done(command: &mut Command, what: &str) -> Result<()> {
    if !status(command.current_dir(root()))?.success() {
        bail!("failed to {what} (see above)");
    }
    Ok(())
}

/// What a program prints, run in the workspace's root, without the spaces around it.
pub(crate) fn output(program: &str, args: &[&str]) -> Result<String> {
    let output = Command::new(program).args(args).current_dir(root()).output();
    let output = output.with_context(|| format!("failed to start `{program}`"))?;
    ensure!(output.status.success(), "`{program}` failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The exit code for the status of a child: its own code, or failure if a signal ended it.
pub(crate) fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    code.map_or(ExitCode::FAILURE, ExitCode::from)
}

/// Builds the binary `keysweep` in the dev profile and returns its path. With `--package`, its libraries would have other
/// features than xtask and the tests have, and be built once more.
pub(crate) fn build_keysweep() -> Result<PathBuf> {
    let [keysweep] = build(["keysweep"], &[], &[])?;
    Ok(keysweep)
}

/// Builds the binaries `names` of the workspace, with more arguments and variables for `cargo build`, and returns their
/// paths.
pub(crate) fn build<const N: usize>(
    names: [&str; N],
    args: &[&str],
    env: &[(&str, String)],
) -> Result<[PathBuf; N]> {
    let mut command = cargo(&["build", "--locked", "--message-format=json-render-diagnostics"]);
    command.envs(env.iter().cloned());
    command.args(names.iter().flat_map(|name| ["--bin", name])).args(args);
    let output = command.stderr(Stdio::inherit()).output().context("failed to start `cargo build`")?;
    if !output.status.success() {
        bail!("failed to build {}: see the compiler's messages above", names.join(" and "));
    }
    let mut paths = names.map(|_| PathBuf::new());
    for (path, name) in paths.iter_mut().zip(names) {
        *path = executable(&output.stdout, name)
            .with_context(|| format!("cargo built no binary named `{name}` in this workspace"))?;
    }
    Ok(paths)
}

/// The path of the binary `name` in cargo's messages, one JSON document per line.
fn executable(messages: &[u8], name: &str) -> Option<PathBuf> {
    let lines = messages.split(|byte| *byte == b'\n');
    let documents = lines.filter_map(|line| serde_json::from_slice::<serde_json::Value>(line).ok());
    let built = documents.filter(|document| document["target"]["name"] == name);
    built.filter_map(|document| document["executable"].as_str().map(PathBuf::from)).next_back()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_binary_is_found_among_cargo_messages() {
        let messages = br#"{"reason":"compiler-artifact","target":{"name":"coordinator"},"executable":null}
not json
{"reason":"compiler-artifact","target":{"name":"keysweep"},"executable":"/t/debug/keysweep"}
{"reason":"build-finished","success":true}"#;
        assert_eq!(executable(messages, "keysweep"), Some(PathBuf::from("/t/debug/keysweep")));
        assert_eq!(executable(b"{}", "keysweep"), None);
    }

    #[test]
    fn the_root_contains_the_workspace() {
        assert!(root().join("Cargo.lock").is_file());
    }
}
