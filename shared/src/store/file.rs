//! A store in one file, for what outlives a run where there is no NATS: one JSON document per line, appended.
//! Several processes may share the file; each operation holds its lock and reads first what others have added.
//! Values are text. A line that was cut off by a crash is dropped by the next writer. A file that cannot be used any
//! more (a full disk) is no reason to stop anybody: from then on, what is written is kept in memory alone.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use super::table::Table;
use super::{Created, Entry, Store, StoreError, Watch};
use crate::limits::{FILE_ENTRIES_MAX, FILE_LINES_SPARE, HISTORY_FILE_BYTES_MAX};

/// How often a watch looks at the file.
const POLL: Duration = Duration::from_millis(200);

/// Entries in a file.
pub struct FileStore {
    path: PathBuf,
    known: Mutex<Known>,
    /// Whether the file was given up.
    lost: AtomicBool,
}

/// What has been read of the file.
#[derive(Default)]
struct Known {
    /// Bytes of the file that are in the table.
    bytes: u64,
    lines: u64,
    /// Names the file: a shorter or another one is read anew.
    generation: u64,
    table: Table,
}

/// A line of the file. The first line has no key, and its revision names the file.
#[derive(Serialize, Deserialize)]
struct Line {
    key: String,
    revision: u64,
    value: String,
}

impl FileStore {
    /// The store in the file at `path`, which is made if it is missing.
    ///
    /// # Errors
    /// When the file cannot be made, read or written.
    pub fn open(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let store = Self { path: path.to_owned(), known: Mutex::default(), lost: AtomicBool::new(false) };
        store.locked(&mut Known::default(), |_, _| Ok(()))?;
        Ok(store)
    }

    /// Does `what` with the content of the file known, and with the file, unless that is lost.
    fn with<T>(&self, what: impl Fn(Option<&mut File>, &mut Known) -> io::Result<T>) -> io::Result<T> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.lost.load(Ordering::Relaxed) {
            match self.locked(&mut known, |file, known| what(Some(file), known)) {
                Ok(done) => return Ok(done),
                Err(e) => {
                    let path = self.path.display();
                    tracing::warn!("{path}: {e}; what is learned from here on is not kept");
                    self.lost.store(true, Ordering::Relaxed);
                }
            }
        }
        what(None, &mut known)
    }

    /// Does `what` with the file locked and its content known.
    fn locked<T>(
        &self,
        known: &mut Known,
        what: impl FnOnce(&mut File, &mut Known) -> io::Result<T>,
    ) -> io::Result<T> {
        // A lock beside the file: the file itself is replaced now and then.
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(self.beside("lock"))?;
        lock.lock()?;
        let mut file =
            OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&self.path)?;
        known.catch_up(&mut file)?;
        let done = what(&mut file, known)?;
        if known.lines > 2 * known.table.len() as u64 + FILE_LINES_SPARE
            || known.table.len() > 2 * FILE_ENTRIES_MAX
        {
            known.rewrite(&self.path, &self.beside("new"))?;
        }
        Ok(done)
    }

    fn beside(&self, ending: &str) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(".");
        path.push(ending);
        path.into()
    }

    fn write(
        &self,
        key: &str,
        value: Vec<u8>,
        expected: Option<u64>,
    ) -> io::Result<Result<u64, Option<Entry>>> {
        let text = String::from_utf8(value).map_err(io::Error::other)?;
        self.with(|file, known| {
            if let (Some(file), true) = (file, known.table.is_at(key, expected)) {
                let (key, revision) = (key.to_owned(), known.table.latest() + 1);
                // In the file first: what is not there is not in the store.
                known.append(file, &Line { key, revision, value: text.clone() })?;
            }
            Ok(known.table.write(key, text.clone().into_bytes(), expected))
        })
    }

    fn failed(&self, e: &io::Error) -> StoreError {
        StoreError(format!("{}: {e}", self.path.display()))
    }

    fn next_entry(&self, prefix: &str, revision: u64) -> Result<Option<Entry>, StoreError> {
        self.with(|_, known| Ok(known.table.first_after(revision, prefix))).map_err(|e| self.failed(&e))
    }
}

impl Known {
    /// Reads what was added since, or all of it if it is another file.
    fn catch_up(&mut self, file: &mut File) -> io::Result<()> {
        let length = file.metadata()?.len();
        if length == 0 {
            *self = Self { generation: fastrand::u64(..), ..Self::default() };
            let first = Line { key: String::new(), revision: self.generation, value: String::new() };
            return self.append(file, &first);
        }
        let mut text = Vec::new();
        if self.generation == 0 || length < self.bytes || generation(file)? != Some(self.generation) {
            *self = Self::default();
        }
        file.seek(SeekFrom::Start(self.bytes))?;
        if length - self.bytes > HISTORY_FILE_BYTES_MAX {
            return Err(io::Error::other(format!("the file is longer than {HISTORY_FILE_BYTES_MAX} bytes")));
        }
        file.take(length - self.bytes).read_to_end(&mut text)?;
        let whole = text.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        for line in text[..whole].split_inclusive(|b| *b == b'\n') {
            self.lines += 1;
            // A line of another make is no reason to lose the others.
            let Ok(line) = serde_json::from_slice::<Line>(line) else { continue };
            if line.key.is_empty() {
                self.generation = line.revision;
            } else {
                self.table.put(&line.key, line.value.into_bytes(), line.revision);
            }
        }
        self.bytes += whole as u64;
        if whole < text.len() {
            file.set_len(self.bytes)?;
        }
        Ok(())
    }

    fn append(&mut self, file: &mut File, line: &Line) -> io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        file.seek(SeekFrom::Start(self.bytes))?;
        file.write_all(&text)?;
        file.sync_data()?;
        self.bytes += text.len() as u64;
        self.lines += 1;
        Ok(())
    }

    /// Writes a new file with the latest entries alone. Others notice by its name in the first line.
    fn rewrite(&mut self, path: &Path, beside: &Path) -> io::Result<()> {
        self.table.keep_newest(FILE_ENTRIES_MAX);
        let mut file = File::create(beside)?;
        let mut new = Self { generation: fastrand::u64(..), ..Self::default() };
        let first = Line { key: String::new(), revision: new.generation, value: String::new() };
        let entries = self.table.entries().map(|entry| Line {
            key: entry.key,
            revision: entry.revision,
            value: String::from_utf8_lossy(&entry.value).into_owned(),
        });
        let mut text = Vec::new();
        for line in std::iter::once(first).chain(entries) {
            serde_json::to_writer(&mut text, &line)?;
            text.push(b'\n');
            new.lines += 1;
        }
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(beside, path)?;
        new.bytes = text.len() as u64;
        new.table = std::mem::take(&mut self.table);
        *self = new;
        Ok(())
    }
}

/// The name that the file's first line gives it.
fn generation(file: &mut File) -> io::Result<Option<u64>> {
    let mut start = [0; 128];
    file.seek(SeekFrom::Start(0))?;
    let read = file.read(&mut start)?;
    let line = start[..read].split(|b| *b == b'\n').next().unwrap_or_default();
    Ok(serde_json::from_slice::<Line>(line).ok().map(|line| line.revision))
}

impl Store for FileStore {
    fn create(&self, key: &str, value: Vec<u8>) -> BoxFuture<'_, Result<Created, StoreError>> {
        let created = match self.write(key, value, None) {
            Ok(Ok(revision)) => Ok(Created::Now(revision)),
            Ok(Err(Some(entry))) => Ok(Created::Before(entry)),
            Ok(Err(None)) => Err(StoreError(format!("`{key}` is neither there nor absent"))),
            Err(e) => Err(self.failed(&e)),
        };
        async move { created }.boxed()
    }

    fn get(&self, key: &str) -> BoxFuture<'_, Result<Option<Entry>, StoreError>> {
        let entry = self.with(|_, known| Ok(known.table.entry(key))).map_err(|e| self.failed(&e));
        async move { entry }.boxed()
    }

    fn update(
        &self,
        key: &str,
        value: Vec<u8>,
        revision: u64,
    ) -> BoxFuture<'_, Result<Option<u64>, StoreError>> {
        let updated = self.write(key, value, Some(revision)).map(Result::ok).map_err(|e| self.failed(&e));
        async move { updated }.boxed()
    }

    fn next_after(&self, prefix: &str, revision: u64) -> BoxFuture<'_, Result<Option<Entry>, StoreError>> {
        let entry = self.next_entry(prefix, revision);
        async move { entry }.boxed()
    }

    fn watch(&self, prefix: &str) -> BoxFuture<'_, Result<Box<dyn Watch>, StoreError>> {
        let again = Self { path: self.path.clone(), known: Mutex::default(), lost: AtomicBool::new(false) };
        let watch = FileWatch { store: again, prefix: prefix.to_owned(), seen: 0 };
        async move { Ok(Box::new(watch) as Box<dyn Watch>) }.boxed()
    }
}

struct FileWatch {
    store: FileStore,
    prefix: String,
    seen: u64,
}

impl Watch for FileWatch {
    fn next(&mut self) -> BoxFuture<'_, Result<Entry, StoreError>> {
        async move {
            loop {
                if let Some(entry) = self.store.next_entry(&self.prefix, self.seen)? {
                    self.seen = entry.revision;
                    return Ok(entry);
                }
                sleep(POLL).await;
            }
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::super::contract;
    use super::*;

    /// A folder that goes with the test.
    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Self {
            Self(std::env::temp_dir().join(format!("keysweep-file-{}", uuid::Uuid::now_v7())))
        }

        fn store(&self, name: &str) -> FileStore {
            FileStore::open(&self.0.join(name)).unwrap()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[tokio::test]
    async fn the_contract_holds() {
        let folder = Folder::new();
        contract::the_first_to_create_wins(&folder.store("1")).await;
        contract::updates_are_fenced_by_revision(&folder.store("2")).await;
        contract::a_watch_shows_what_is_and_what_comes(&folder.store("3")).await;
        contract::a_dropped_wait_loses_nothing(&folder.store("4")).await;
        contract::concurrent_writers_agree(&folder.store("5")).await;
        contract::entries_follow_each_other(&folder.store("6")).await;
    }

    #[tokio::test]
    async fn processes_share_a_file_and_a_torn_line_is_dropped() {
        let folder = Folder::new();
        let (one, two) = (folder.store("s"), folder.store("s"));
        one.create("a/1", b"x".to_vec()).await.unwrap();
        assert_eq!(two.get("a/1").await.unwrap().unwrap().value, b"x");
        let mut file = OpenOptions::new().append(true).open(folder.0.join("s")).unwrap();
        file.write_all(b"{\"key\":\"a/2\",\"revi").unwrap();
        two.create("a/3", b"y".to_vec()).await.unwrap();
        assert_eq!(one.get("a/3").await.unwrap().unwrap().value, b"y");
        let again = folder.store("s");
        assert_eq!(again.next_after("a/", 0).await.unwrap().unwrap().key, "a/1");
        assert_eq!(again.next_after("a/", 1).await.unwrap().unwrap().key, "a/3");
    }

    #[tokio::test]
    async fn a_file_that_is_lost_stops_nobody() {
        let folder = Folder::new();
        let store = folder.store("s");
        store.create("a/1", b"x".to_vec()).await.unwrap();
        fs::remove_file(folder.0.join("s")).unwrap();
        fs::create_dir(folder.0.join("s")).unwrap();
        store.create("a/2", b"y".to_vec()).await.unwrap();
        for (key, value) in [("a/1", b"x"), ("a/2", b"y")] {
            assert_eq!(store.get(key).await.unwrap().unwrap().value, value);
        }
    }

    #[tokio::test]
    async fn the_file_does_not_grow_for_ever() {
        let folder = Folder::new();
        let (one, two) = (folder.store("s"), folder.store("s"));
        let Created::Now(mut revision) = one.create("a/1", b"0".to_vec()).await.unwrap() else {
            unreachable!("the store is empty")
        };
        for n in 0..2 * FILE_LINES_SPARE {
            revision = one.update("a/1", n.to_string().into_bytes(), revision).await.unwrap().unwrap();
        }
        let lines = fs::read_to_string(folder.0.join("s")).unwrap().lines().count() as u64;
        assert!(lines <= FILE_LINES_SPARE + 4, "{lines} lines");
        let last = two.get("a/1").await.unwrap().unwrap();
        assert_eq!(
            (last.value, last.revision),
            ((2 * FILE_LINES_SPARE - 1).to_string().into_bytes(), revision)
        );
    }
}
