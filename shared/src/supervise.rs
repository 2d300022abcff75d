//! Named tasks that are always joined, panics included. The only place that spawns.

use std::fmt;

use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;

/// How a task ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It returned.
    Done,
    /// It returned an error.
    Failed(String),
    /// It panicked: a bug of ours.
    Panicked(String),
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("done"),
            Self::Failed(why) => write!(f, "failed: {why}"),
            Self::Panicked(what) => write!(f, "panicked: {what}"),
        }
    }
}

/// The tasks of one process or run. Dropping it aborts them.
#[derive(Default)]
pub struct Crew {
    tasks: JoinSet<(String, Exit)>,
}

impl Crew {
    /// Starts `work` under `name`.
    pub fn start<E: fmt::Display>(
        &mut self,
        name: impl Into<String>,
        work: impl Future<Output = Result<(), E>> + Send + 'static,
    ) {
        let name = name.into();
        self.tasks.spawn(async move {
            match work.await {
                Ok(()) => (name, Exit::Done),
                Err(e) => (name, Exit::Failed(e.to_string())),
            }
        });
    }

    /// The next task that ends, with its name; `None` when there is none left.
    pub async fn next(&mut self) -> Option<(String, Exit)> {
        match self.tasks.join_next().await? {
            Ok(ended) => Some(ended),
            Err(e) if e.is_panic() => {
                let panic = e.into_panic();
                let text = panic.downcast_ref::<String>().cloned();
                let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
                Some(("a task".to_owned(), Exit::Panicked(text.unwrap_or_default())))
            }
            Err(e) => Some(("a task".to_owned(), Exit::Failed(e.to_string()))),
        }
    }

    /// Waits for all tasks; returns those that did not end well.
    pub async fn join(mut self) -> Vec<(String, Exit)> {
        let mut bad = Vec::new();
        while let Some((name, exit)) = self.next().await {
            if exit != Exit::Done {
                bad.push((name, exit));
            }
        }
        bad
    }
}

/// Starts `work`, whose end `tracker` waits for and whose outcome nobody needs.
pub fn detach(tracker: &TaskTracker, work: impl Future<Output = ()> + Send + 'static) {
    tracker.spawn(work);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_exit_is_told() {
        let mut crew = Crew::default();
        crew.start("good", async { Ok::<(), String>(()) });
        crew.start("bad", async { Err("no luck") });
        crew.start("ugly", async {
            assert_eq!(1, 2, "a bug");
            Ok::<(), String>(())
        });
        let mut bad = crew.join().await;
        bad.sort_by_key(|(name, _)| name.clone());
        assert_eq!(bad.len(), 2);
        assert!(matches!(&bad[0].1, Exit::Panicked(what) if what.contains("a bug")));
        assert_eq!(bad[1], ("bad".to_owned(), Exit::Failed("no luck".to_owned())));
    }
}
