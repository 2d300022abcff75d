//! The measured binaries. They are built in release mode, because other profiles are not worth measuring, and in one
//! step for the whole workspace, so that each library is built once.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::cargo;

/// The paths of our binaries.
pub(crate) struct Programs {
    /// The binary with the bench's clients.
    pub(crate) xtask: PathBuf,
    /// Whether packages for other contenders may be installed below `target/`.
    pub(crate) installs: bool,
    keysweep: Option<PathBuf>,
}

impl Programs {
    /// Builds both in release mode.
    ///
    /// # Errors
    /// If they do not build.
    pub(crate) fn build() -> Result<Self> {
        let [keysweep, xtask] = cargo::build(["keysweep", "xtask"], &["--release"], &[])?;
        Ok(Self { xtask, installs: true, keysweep: Some(keysweep) })
    }

    /// Uses the binaries in `dir`, of any profile, and installs nothing.
    pub(crate) fn in_directory(dir: &Path) -> Self {
        let keysweep = dir.join("keysweep");
        Self { xtask: dir.join("xtask"), installs: false, keysweep: keysweep.is_file().then_some(keysweep) }
    }

    /// The binary of keysweep.
    ///
    /// # Errors
    /// If it has not been built.
    pub(crate) fn keysweep(&self) -> Result<PathBuf> {
        self.keysweep.clone().context("`keysweep` has not been built: `cargo build --bin keysweep`")
    }
}
