//! The binaries that are measured. They are built in release mode, since nothing else is worth measuring, and
//! in one go for the whole workspace, so that each library is built once.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::cargo;

/// Where our binaries are.
pub(crate) struct Programs {
    /// The one that holds the clients of the bench.
    pub(crate) xtask: PathBuf,
    /// Whether packages that others need may be installed below `target/`.
    pub(crate) installs: bool,
    keysweep: Option<PathBuf>,
}

impl Programs {
    /// Builds both in release mode.
    ///
    /// # Errors
    /// If they do not build.
    pub(crate) fn build() -> Result<Self> {
        let [keysweep, xtask] = cargo::build(["keysweep", "xtask"], &["--release"])?;
        Ok(Self { xtask, installs: true, keysweep: Some(keysweep) })
    }

    /// Takes those in `dir`, whatever their profile, and installs nothing.
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
