//! The flags of `keysweep inspect`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::InspectSettings;
use crate::inspect_page::view::{Selection, SortKey};

/// Flags of `inspect`.
#[derive(Args)]
pub struct InspectArgs {
    /// Which Redis, and how fast.
    #[command(flatten)]
    pub settings: InspectSettings,
    /// Read an RDB file, or the `*.rdb` in a directory, instead of servers; - for standard input; repeatable for the nodes of
    /// a cluster
    #[arg(long, value_name = "FILE", help_heading = OUTPUT)]
    pub rdb: Vec<PathBuf>,
    /// Show so many namespaces [default: 30, and all as JSON and CSV]
    #[arg(long, value_name = "N", help_heading = OUTPUT)]
    pub top: Option<usize>,
    /// Count names of more than N parts together with all that begin alike: `a:b:*` with 2
    #[arg(long, value_name = "N", help_heading = OUTPUT)]
    pub depth: Option<NonZeroUsize>,
    /// Sort by keys, no-ttl, memory or idle
    #[arg(long, value_name = "COLUMN", default_value = "keys", hide_possible_values = true, help_heading = OUTPUT)]
    pub sort: SortKey,
    /// Show only namespaces with keys without TTL
    #[arg(long, help_heading = OUTPUT)]
    pub only_no_ttl: bool,
    /// Measure the memory of a sample of the keys, or of all: sample or full
    #[arg(long, value_name = "KEYS", default_value = "sample", hide_possible_values = true, help_heading = OUTPUT)]
    pub memory: MemoryMode,
    /// Print CSV, one line per namespace
    #[arg(long, conflicts_with = "json", help_heading = OUTPUT)]
    pub csv: bool,
    /// Also write a page to a file
    #[arg(long, value_name = "FILE", help_heading = OUTPUT)]
    pub html: Option<PathBuf>,
    /// Also write a job file with a rule for each namespace, to complete by hand
    #[arg(long, value_name = "FILE", help_heading = OUTPUT)]
    pub write_policy: Option<PathBuf>,
}

const OUTPUT: &str = "Namespaces";

/// Whose memory is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum MemoryMode {
    /// A sample of each namespace
    Sample,
    /// Every key
    Full,
}

impl InspectArgs {
    /// Which namespaces are shown.
    #[must_use]
    pub fn selection(&self) -> Selection {
        Selection { top: self.top, sort: self.sort, only_no_ttl: self.only_no_ttl }
    }
}
