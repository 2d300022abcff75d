//! Ids for new tasks. A source draws its first id at random and counts up from there, so planning is a pure function of
//! the source.

use keysweep_model::ids::TaskId;

/// A source of task ids. A copy returns the same ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskIds {
    next: TaskId,
}

impl TaskIds {
    /// A source that begins at a random id.
    #[must_use]
    pub fn random() -> Self {
        Self::from(TaskId::new())
    }

    /// Takes the next id.
    pub fn take(&mut self) -> TaskId {
        let next = self.next.successor();
        std::mem::replace(&mut self.next, next)
    }
}

impl From<TaskId> for TaskIds {
    fn from(next: TaskId) -> Self {
        Self { next }
    }
}
