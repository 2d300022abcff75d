//! The invariants of keysweep, numbered. Asserts, tests and `ARCHITECTURE.md` cite them by these names.

use strum::VariantArray;

/// The properties that hold at any time, under any failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, VariantArray)]
pub enum Invariant {
    /// A run with a gap never reports success.
    Coverage = 1,
    /// A message is acknowledged only after all its results are stored.
    Order = 2,
    /// Handling a message is idempotent.
    Twice = 3,
    /// Candidates are the sum of their outcomes.
    Conservation = 4,
    /// In a dry run, and while a run is planned, no write command leaves the process, and no script that could write.
    DryRun = 5,
    /// Nothing is changed without the confirmed plan.
    Consent = 6,
    /// Work in flight at a node never exceeds its named limit.
    Bounds = 7,
}

impl Invariant {
    /// All of them.
    pub const ALL: &'static [Self] = Self::VARIANTS;
}
