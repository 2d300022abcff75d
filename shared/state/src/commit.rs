//! Writes in groups: whatever waits when the connection is free is committed together, so that several batches of keys
//! cost one `fsync`.
//!
//! A write is queued, and then a blocking thread of the runtime takes the connection and commits the queue, or finds
//! that the thread before it has committed everything. There is no writer thread of our own: nothing has to be started,
//! named and joined, the connection is closed with its last user, and a paused clock waits for blocking threads, but not
//! for others.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use rusqlite::{Connection, Result};
use tokio::sync::oneshot;

use crate::error::StateError;
use crate::limits::{GROUP_WRITES_MAX, LOCK_WAIT, LOCK_WAIT_AGAIN};

/// The connection that writes, and what waits for it.
pub(crate) struct Committer {
    writer: Mutex<Writer>,
    waiting: Mutex<VecDeque<Box<dyn Write>>>,
}

struct Writer {
    conn: Connection,
    /// Whether the last transaction waited in vain for another process.
    is_locked_out: bool,
}

/// A write, in a transaction that it may share with others.
trait Write: Send {
    fn run(&mut self, conn: &Connection) -> Result<()>;

    /// Called once the fate of the transaction is known.
    fn done(self: Box<Self>, committed: Result<(), StateError>);
}

struct Pending<T, F> {
    what: Option<F>,
    written: Option<T>,
    reply: oneshot::Sender<Result<T, StateError>>,
}

impl<T: Send, F: FnOnce(&Connection) -> Result<T> + Send> Write for Pending<T, F> {
    fn run(&mut self, conn: &Connection) -> Result<()> {
        self.written = self.what.take().map(|what| what(conn)).transpose()?;
        Ok(())
    }

    fn done(self: Box<Self>, committed: Result<(), StateError>) {
        let Self { written, reply, .. } = *self;
        let result = match (committed, written) {
            (Ok(()), Some(written)) => Ok(written),
            (Err(e), _) => Err(e),
            // Not reached: a write that was not run has an error.
            (Ok(()), None) => return,
        };
        // An error means that the caller gave up waiting.
        let _ = reply.send(result);
    }
}

impl Committer {
    pub(crate) fn new(conn: Connection) -> Self {
        Self { writer: Mutex::new(Writer { conn, is_locked_out: false }), waiting: Mutex::default() }
    }

    /// Queues a write for [`Committer::commit`].
    pub(crate) fn queue<T: Send + 'static>(
        &self,
        what: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> oneshot::Receiver<Result<T, StateError>> {
        let (reply, result) = oneshot::channel();
        let pending = Pending { what: Some(what), written: None, reply };
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push_back(Box::new(pending));
        result
    }

    /// Commits everything that is queued. Blocks.
    pub(crate) fn commit(&self, path: &Path) {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let count = waiting.len().min(GROUP_WRITES_MAX);
            let group: Vec<_> = waiting.drain(..count).collect();
            drop(waiting);
            if group.is_empty() {
                return;
            }
            let locked_out = together(&writer.conn, path, group);
            writer.wait_for_others(!locked_out);
        }
    }
}

impl Writer {
    /// Waits for other processes in vain once, and not for each write.
    fn wait_for_others(&mut self, patient: bool) {
        if self.is_locked_out == patient {
            // If it fails, the former time stays.
            let _ = self.conn.busy_timeout(if patient { LOCK_WAIT } else { LOCK_WAIT_AGAIN });
            self.is_locked_out = !patient;
        }
    }
}

/// Runs the writes of a group in one transaction. One that fails does not affect the others, unless the transaction
/// itself is lost. Whether another process kept the file locked.
fn together(conn: &Connection, path: &Path, mut group: Vec<Box<dyn Write>>) -> bool {
    let mut results = Vec::with_capacity(group.len());
    let all = conn.execute_batch("BEGIN IMMEDIATE").and_then(|()| {
        for write in &mut group {
            conn.execute_batch("SAVEPOINT one")?;
            let ran = write.run(conn);
            // A full disk, for example, ends the whole transaction.
            if ran.is_err() && conn.is_autocommit() {
                return ran;
            }
            conn.execute_batch(if ran.is_ok() { "RELEASE one" } else { "ROLLBACK TO one; RELEASE one" })?;
            results.push(ran.map_err(|e| StateError::of(path, &e)));
        }
        conn.execute_batch("COMMIT")
    });
    if all.is_err() && !conn.is_autocommit() {
        // If this fails, the next transaction fails, too.
        let _ = conn.execute_batch("ROLLBACK");
    }
    let all = all.map_err(|e| StateError::of(path, &e));
    let locked_out = matches!(all, Err(StateError::Locked { .. }));
    let results = results.into_iter().map(Some).chain(std::iter::repeat_with(|| None));
    for (write, own) in group.into_iter().zip(results) {
        write.done(all.clone().and(own.unwrap_or(Ok(()))));
    }
    locked_out
}
