//! Backups in a directory: a folder per run, a file per name. A file with keys is renamed to its final name when all
//! of it is on disk, so a file without an end was damaged later. Blocks the thread.
//!
//! Files contain cached data, so only their owner may read them.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use keysweep_files::{Folder, UNFINISHED};
use keysweep_model::ids::unique;

use super::error::BackupError;
use super::name::FileName;
use super::target::BackupListing;
use crate::limits::BACKUP_READ_MAX;

/// See the module.
#[derive(Debug)]
pub(super) struct Directory {
    pub(super) path: PathBuf,
}

impl Directory {
    /// Creates the directory if it is missing, and checks that files can be created in it.
    pub(super) fn check(&self) -> Result<(), BackupError> {
        let folder = Folder::any(&self.path)?;
        let probe = format!("probe-{}.{UNFINISHED}", unique());
        let tried = folder.child(&probe).and_then(|place| {
            place.put("probe", &[0; 4096], true)?;
            place.remove("probe")
        });
        // If it stays, it is reported as unfinished.
        let _ = folder.remove_child(&probe);
        Ok(tried?)
    }

    /// Stores a file. If `durable`, returns when it is on disk, otherwise when the system has it.
    pub(super) fn put(&self, name: &FileName, bytes: &[u8], durable: bool) -> Result<(), BackupError> {
        let (folder, text) = (Folder::any(&self.path)?, name.to_string());
        let file = text.rsplit('/').next().unwrap_or(&text);
        folder.child(&name.run.to_string())?.put(file, bytes, durable)?;
        // The process that created the run's folder may have stopped before it synced the parent.
        if durable { Ok(folder.sync()?) } else { Ok(()) }
    }

    pub(super) fn list(&self) -> Result<BackupListing, BackupError> {
        let mut listed = BackupListing::default();
        for run in entries(&self.path)? {
            if run.is_dir() {
                for file in entries(&run)? {
                    self.sort_in(&file, &mut listed);
                }
            } else {
                self.sort_in(&run, &mut listed);
            }
        }
        Ok(listed)
    }

    fn sort_in(&self, file: &Path, listed: &mut BackupListing) {
        let name = file.strip_prefix(&self.path).unwrap_or(file).to_string_lossy();
        match name.parse() {
            Ok(name) => listed.files.push(name),
            Err(_) if name.ends_with(&format!(".{UNFINISHED}")) => listed.unfinished += 1,
            Err(_) => listed.foreign.push(name.into_owned()),
        }
    }

    pub(super) fn get(&self, name: &FileName) -> Result<Vec<u8>, BackupError> {
        let path = self.path.join(name.to_string());
        let read = |e| failed("read", &path, e);
        // Opening a pipe would block until it has a writer.
        if !fs::metadata(&path).map_err(read)?.is_file() {
            return Err(read(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file")));
        }
        let file = File::open(&path).map_err(read)?;
        let bytes = file.metadata().map_err(read)?.len();
        if bytes > BACKUP_READ_MAX {
            return Err(BackupError::TooLarge { path: path.display().to_string(), bytes });
        }
        let mut content = Vec::new();
        file.take(BACKUP_READ_MAX).read_to_end(&mut content).map_err(read)?;
        Ok(content)
    }
}

fn entries(path: &Path) -> Result<Vec<PathBuf>, BackupError> {
    let entries = fs::read_dir(path).map_err(|e| failed("list", path, e))?;
    entries.map(|entry| Ok(entry.map_err(|e| failed("list", path, e))?.path())).collect()
}

fn failed(what: &'static str, path: &Path, source: io::Error) -> BackupError {
    BackupError::File { what, path: path.display().to_string(), source }
}
