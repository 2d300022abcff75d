//! The nodes that are down when a run is planned.

use shared::cluster::{Fault, FaultKind, Primary};
use shared::messages::LeftOut;
use shared::slot::SlotSet;

use crate::survey::SurveyError;

/// The nodes that are down. A cluster goes on without them: their slots are missing, and the run says so.
pub(crate) struct Down {
    /// All primaries that there are.
    pub(crate) primaries: usize,
    pub(crate) slots: SlotSet,
    /// One by one.
    pub(crate) left_out: Vec<LeftOut>,
    pub(crate) last: Option<Fault>,
}

impl Down {
    /// None of so many primaries.
    pub(crate) fn of(primaries: usize) -> Self {
        Self { primaries, slots: SlotSet::new(), left_out: Vec::new(), last: None }
    }

    /// What was `seen` of a primary; `None` if it is down.
    pub(crate) fn unless_down<T>(
        &mut self,
        primary: &Primary,
        seen: Result<T, SurveyError>,
    ) -> Result<Option<T>, SurveyError> {
        match seen {
            Ok(seen) => Ok(Some(seen)),
            // A node that takes no more connections may take fewer still once the run is there.
            Err(SurveyError::Redis(fault)) if fault.kind == FaultKind::Full => Err(fault.into()),
            Err(SurveyError::Redis(fault)) if self.primaries > 1 && fault.kind.transient() => {
                tracing::warn!(error = %fault, slots = %primary.slots, "node left out");
                self.slots = self.slots.union(&primary.slots);
                self.left_out.push(LeftOut { cause: fault.to_string(), slots: primary.slots.clone() });
                self.last = Some(fault);
                Ok(None)
            }
            Err(e) => Err(e),
        }
    }
}
