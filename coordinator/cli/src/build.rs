//! What this binary was built from.

use keysweep_telemetry::BuildInfo;

/// Packages are built with `KEYSWEEP_REVISION`; other builds do not know their commit.
pub(super) const BUILD: BuildInfo = BuildInfo {
    version: env!("CARGO_PKG_VERSION"),
    revision: match option_env!("KEYSWEEP_REVISION") {
        Some(revision) => revision,
        None => "",
    },
    rustc: env!("KEYSWEEP_RUSTC"),
};
