//! Backups in a directory: a folder per run, a file per name. A file with keys appears under its name when all of it is on
//! the disk, so one with an end missing was damaged later. Blocks the thread.
//!
//! Files hold what was in the cache, so nobody but their owner may read them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::error::BackupError;
use super::name::FileName;
use super::place::Listed;
use crate::limits::BACKUP_READ_MAX;

/// How the name of a file ends that is not all there.
const UNFINISHED: &str = ".tmp";

/// See the module.
#[derive(Debug)]
pub(super) struct Directory {
    pub(super) path: PathBuf,
}

impl Directory {
    /// Makes the directory if it is missing, and tries whether files can be made there.
    pub(super) fn check(&self) -> Result<(), BackupError> {
        folder(&self.path)?;
        let probe = self.path.join(format!("probe-{}{UNFINISHED}", uuid::Uuid::now_v7()));
        let tried = write(&probe, &[0; 4096], true);
        let _ = fs::remove_file(&probe);
        tried
    }

    /// Stores a file, and returns when it is on the disk; if it need not be `durable`, when the system has it.
    pub(super) fn put(&self, name: &FileName, bytes: &[u8], durable: bool) -> Result<(), BackupError> {
        let path = self.path.join(name.to_string());
        let run = self.path.join(name.run.to_string());
        folder(&run)?;
        let unfinished = PathBuf::from(format!("{}{UNFINISHED}", path.display()));
        let written = write(&unfinished, bytes, durable)
            .and_then(|()| fs::rename(&unfinished, &path).map_err(|e| failed("name", &path, e)));
        if written.is_err() {
            // Room for the next try; if it stays, it is told as unfinished.
            let _ = fs::remove_file(&unfinished);
            return written;
        }
        if !durable {
            return Ok(());
        }
        sync_folder(&run)?;
        // Whoever made the run's folder may not have come as far as this.
        sync_folder(&self.path)
    }

    pub(super) fn list(&self) -> Result<Listed, BackupError> {
        let mut listed = Listed::default();
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

    fn sort_in(&self, file: &Path, listed: &mut Listed) {
        let name = file.strip_prefix(&self.path).unwrap_or(file).to_string_lossy();
        match name.parse() {
            Ok(name) => listed.files.push(name),
            Err(_) if name.ends_with(UNFINISHED) => listed.unfinished += 1,
            Err(_) => listed.foreign.push(name.into_owned()),
        }
    }

    pub(super) fn get(&self, name: &FileName) -> Result<Vec<u8>, BackupError> {
        let path = self.path.join(name.to_string());
        let read = |e| failed("read", &path, e);
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

fn write(path: &Path, bytes: &[u8], durable: bool) -> Result<(), BackupError> {
    let written = || {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        file.write_all(bytes)?;
        if durable { file.sync_all() } else { Ok(()) }
    };
    written().map_err(|e| failed("write", path, e))
}

/// Makes a folder if it is missing, with all above it, and their names durable.
fn folder(path: &Path) -> Result<(), BackupError> {
    let missing: Vec<&Path> = path.ancestors().take_while(|path| !path.is_dir()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|e| failed("make the directory", path, e))?;
    let parents = missing.into_iter().filter_map(Path::parent);
    parents.filter(|parent| !parent.as_os_str().is_empty()).try_for_each(sync_folder)
}

fn sync_folder(path: &Path) -> Result<(), BackupError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(|e| failed("sync", path, e))
}

fn entries(path: &Path) -> Result<Vec<PathBuf>, BackupError> {
    let entries = fs::read_dir(path).map_err(|e| failed("list", path, e))?;
    entries.map(|entry| Ok(entry.map_err(|e| failed("list", path, e))?.path())).collect()
}

fn failed(what: &'static str, path: &Path, source: io::Error) -> BackupError {
    BackupError::File { what, path: path.display().to_string(), source }
}
