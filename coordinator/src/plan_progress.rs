//! What a survey is doing, for people who wait for it.

use tokio::sync::watch;

/// A step of a survey.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanStep {
    /// It connects.
    Connecting,
    /// It asks servers how they are, and what they allow.
    Checking {
        /// Primaries.
        servers: usize,
    },
    /// It reads who is active.
    ReadingActivity,
    /// It counts keys and looks at a sample of them.
    Looking {
        /// Primaries that are done.
        done: usize,
        /// All of them.
        of: usize,
        /// Whether keys are counted slot by slot first.
        slots: bool,
    },
}

/// Where a survey says what it does.
#[derive(Debug, Default)]
pub struct PlanProgress(Option<watch::Sender<PlanStep>>);

impl PlanProgress {
    /// With somebody who shows it.
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

    /// A primary was looked at.
    pub(crate) fn node_done(&self) {
        if let Some(sender) = &self.0 {
            sender.send_modify(|step| {
                if let PlanStep::Looking { done, .. } = step {
                    *done += 1;
                }
            });
        }
    }
}

impl PlanStep {
    /// What is shown of it.
    #[must_use]
    pub fn text(self) -> String {
        match self {
            Self::Connecting => "Connecting".to_owned(),
            Self::Checking { servers } => format!("Checking {}", counted(servers)),
            Self::ReadingActivity => "Reading who is active".to_owned(),
            Self::Looking { done, of, slots } => {
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
    fn steps_are_said_in_a_line() {
        let (planning, steps) = PlanProgress::shown();
        assert_eq!(steps.borrow().text(), "Connecting");
        planning.at(PlanStep::Looking { done: 0, of: 3, slots: true });
        planning.node_done();
        assert_eq!(steps.borrow().text(), "Counting slots and sampling keys: 1 of 3 servers");
        planning.at(PlanStep::Checking { servers: 1 });
        planning.node_done();
        assert_eq!(steps.borrow().text(), "Checking 1 server");
    }
}
