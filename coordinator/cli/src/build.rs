//! What this binary was built from.

use keysweep_telemetry::BuildInfo;

/// `cargo xtask package` and the `Containerfile` set `BUILD_REVISION`; other builds do not know their commit.
pub(super) const BUILD: BuildInfo = BuildInfo {
    version: env!("CARGO_PKG_VERSION"),
    revision: match option_env!("BUILD_REVISION") {
        Some(revision) => revision,
        None => "",
    },
    rustc: env!("BUILD_RUSTC"),
};
