//! Which keys are measured, over all namespaces of a task.

use keysweep_model::memory::{SampleKind, SampleRate, is_drawn};

use crate::counts::Counts;
use crate::limits::{
    DETAILS_OF_NAMESPACE, DETAILS_ONE_IN, MEASURED_OF_NAMESPACE, MEASURED_ONE_IN, MEASURED_OUTRIGHT,
    MEASURED_OUTRIGHT_ONE_IN,
};

/// How many keys are measured.
#[derive(Clone, Copy, Debug)]
pub struct Sampling {
    rate: SampleRate,
    /// Keys that may still be measured outright.
    left: u64,
}

/// A key to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// Why it is measured.
    pub kind: SampleKind,
    /// Whether its type and its idle time are looked up, too.
    pub details: bool,
}

impl Sampling {
    /// For a task of about `keys` keys: some of each namespace.
    #[must_use]
    pub fn of(keys: u64) -> Self {
        Self::at(MEASURED_OF_NAMESPACE, MEASURED_OUTRIGHT.max(keys / MEASURED_OUTRIGHT_ONE_IN))
    }

    /// All keys.
    #[must_use]
    pub fn whole() -> Self {
        Self::at(u64::MAX, u64::MAX)
    }

    fn at(per_group: u64, outright: u64) -> Self {
        Self { rate: SampleRate { outright, per_group, one_in: MEASURED_ONE_IN }, left: outright }
    }

    /// The same for a task that restarts.
    #[must_use]
    pub fn fresh(&self) -> Self {
        Self { left: self.rate.outright, ..*self }
    }

    /// Whether to measure a key that `counts` have just counted.
    #[inline]
    pub(crate) fn choose(&mut self, key: &[u8], counts: &mut Counts) -> Option<Chosen> {
        let kind = counts.memory.take(key, self.rate, &mut self.left)?;
        let details =
            kind == SampleKind::Drawn || counts.keys <= DETAILS_OF_NAMESPACE || is_drawn(key, DETAILS_ONE_IN);
        Some(Chosen { kind, details })
    }
}
