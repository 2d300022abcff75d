//! The progress of a preflight, for display.

use tokio::sync::watch;

/// A step of the preflight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanStep {
    /// Connecting.
    Connecting,
    /// Checking servers and permissions.
    Checking {
        /// Primaries.
        servers: usize,
    },
    /// Reading the active users.
    ReadingActivity,
    /// Counting keys and sampling them.
    Sampling {
        /// Primaries that are done.
        done: usize,
        /// All of them.
        of: usize,
        /// Whether keys are counted by slot first.
        slots: bool,
    },
}

/// Receives the progress of a preflight.
#[derive(Debug, Default)]
pub struct PlanProgress(Option<watch::Sender<PlanStep>>);

impl PlanProgress {
    /// Progress that is displayed, through the returned receiver.
    #[must_use]
    pub fn shown() -> (Self, watch::Receiver<PlanStep>) {
        let (sender, receiver) = watch::channel(PlanStep::Connecting);
        (Self(Some(sender)), receiver)
    }

    /// A step begins.
    pub(crate) fn at(&self, step: PlanStep) {
        if let Some(sender) = &self.0 {
            sender.send_replace(step);
        }
    }

    /// A primary is done.
    pub(crate) fn node_done(&self) {
        if let Some(sender) = &self.0 {
            sender.send_modify(|step| {
                if let PlanStep::Sampling { done, .. } = step {
                    *done += 1;
                }
            });
        }
    }
}

impl PlanStep {
    /// The text to display.
    #[must_use]
    pub fn text(self) -> String {
        match self {
            Self::Connecting => "Connecting".to_owned(),
            Self::Checking { servers } => format!("Checking {}", counted(servers)),
            Self::ReadingActivity => "Reading the active users".to_owned(),
            Self::Sampling { done, of, slots } => {
                let what = if slots { "Counting slots and sampling keys" } else { "Sampling keys" };
                format!("{what}: {done} of {}", counted(of))
            }
        }
    }
}

fn counted(servers: usize) -> String {
    if servers == 1 { "1 server".to_owned() } else { format!("{servers} servers") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_shown_in_a_line() {
        let (planning, steps) = PlanProgress::shown();
        assert_eq!(steps.borrow().text(), "Connecting");
        planning.at(PlanStep::Sampling { done: 0, of: 3, slots: true });
        planning.node_done();
        assert_eq!(steps.borrow().text(), "Counting slots and sampling keys: 1 of 3 servers");
        planning.at(PlanStep::Checking { servers: 1 });
        planning.node_done();
        assert_eq!(steps.borrow().text(), "Checking 1 server");
    }
}
