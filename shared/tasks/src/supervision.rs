//! Named tasks that are always joined, panics included. The only module that spawns tasks.

use std::any::Any;
use std::fmt;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;

/// How a task ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It returned.
    Done,
    /// It returned an error.
    Failed(String),
    /// It panicked: a bug.
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
pub struct TaskGroup {
    tasks: JoinSet<(String, Exit)>,
}

impl TaskGroup {
    /// Starts `work` under `name`.
    pub fn start<E: fmt::Display>(
        &mut self,
        name: impl Into<String>,
        work: impl Future<Output = Result<(), E>> + Send + 'static,
    ) {
        let name = name.into();
        self.tasks.spawn(async move {
            match caught(work).await {
                Ok(Ok(())) => (name, Exit::Done),
                Ok(Err(e)) => (name, Exit::Failed(e.to_string())),
                Err(exit) => (name, exit),
            }
        });
    }

    /// Removes the tasks that have ended. Those that failed or panicked are logged.
    pub fn remove_ended(&mut self) {
        while let Some(ended) = self.tasks.try_join_next() {
            match ended {
                Ok((_, Exit::Done)) => {}
                Ok((name, exit @ Exit::Panicked(_))) => {
                    tracing::error!("{name} {exit}; this is a bug, please report it");
                }
                Ok((name, exit)) => tracing::warn!("{name} {exit}"),
                Err(e) => tracing::warn!("a task failed: {e}"),
            }
        }
    }

    /// The number of tasks, including ended ones that were not returned yet.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Whether there are no tasks.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// The next task that ends, with its name; `None` when there is none left.
    pub async fn next(&mut self) -> Option<(String, Exit)> {
        match self.tasks.join_next().await? {
            Ok(ended) => Some(ended),
            Err(e) => Some(("a task".to_owned(), Exit::Failed(e.to_string()))),
        }
    }

    /// Waits for all tasks; returns those that failed or panicked.
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

/// A runtime with one thread, for tasks that must not be delayed by others. Their failures are ignored; dropping it
/// aborts them.
pub struct DedicatedRuntime(Option<Runtime>);

impl DedicatedRuntime {
    /// A runtime whose thread is called `name`. If the thread cannot be created, its tasks never run.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let built = Builder::new_multi_thread().worker_threads(1).thread_name(name).enable_all().build();
        if let Err(e) = &built {
            tracing::warn!(name, error = %e, "failed to create a thread");
        }
        Self(built.ok())
    }

    /// Starts `work` on it.
    pub fn start(&self, work: impl Future<Output = ()> + Send + 'static) {
        if let Some(runtime) = &self.0 {
            drop(runtime.spawn(work));
        }
    }
}

impl Drop for DedicatedRuntime {
    fn drop(&mut self) {
        // A blocking shutdown is not allowed within another runtime.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// The output of `work`, or [`Exit::Panicked`].
///
/// # Errors
/// If it panicked: a bug, after which its caller still has to clean up.
pub async fn caught<T>(work: impl Future<Output = T>) -> Result<T, Exit> {
    AssertUnwindSafe(work).catch_unwind().await.map_err(|panic| Exit::Panicked(text(&*panic)))
}

/// The message of a panic.
fn text(panic: &(dyn Any + Send)) -> String {
    let owned = panic.downcast_ref::<String>().cloned();
    owned.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned())).unwrap_or_default()
}

/// Starts `work`, whose outcome is ignored. `tracker` waits for its end.
pub fn detach(tracker: &TaskTracker, work: impl Future<Output = ()> + Send + 'static) {
    tracker.spawn(work);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_exit_is_reported() {
        let mut group = TaskGroup::default();
        group.start("good", async { Ok::<(), String>(()) });
        group.start("bad", async { Err("no luck") });
        group.start("ugly", async {
            assert_eq!(1, 2, "a bug");
            Ok::<(), String>(())
        });
        let mut bad = group.join().await;
        bad.sort_by_key(|(name, _)| name.clone());
        assert_eq!(bad.len(), 2);
        assert_eq!(bad[0], ("bad".to_owned(), Exit::Failed("no luck".to_owned())));
        assert!(matches!(&bad[1], (name, Exit::Panicked(what)) if name == "ugly" && what.contains("a bug")));
    }
}
