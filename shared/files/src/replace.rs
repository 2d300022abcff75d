//! Writes a file at a path that the user specified: it may replace a file of that user.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, PROC_SUPER_MAGIC, fstat, fstatfs, openat, unlinkat};
use rustix::io::Errno;

use super::folder::{FILE, Folder, PUBLIC};
use super::walk::{followed, walk};
use super::{FileError, user};

/// The maximum number of symbolic links between two names.
const LINKS_MAX: u32 = 40;

/// Writes `bytes` to `path`, whose folder must exist: to a new file, in place of a regular file of this user, or to a
/// device, a pipe or an open file of this process (`/dev/stdout`). Links are followed like those of folders.
///
/// # Errors
/// If it cannot be written, or the path is another user's file or link.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    replace_with(path, bytes, FILE)
}

/// [`replace`] with a file that other users may read, as far as the umask of the process allows it.
///
/// # Errors
/// As for [`replace`].
pub fn publish(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    replace_with(path, bytes, PUBLIC)
}

fn replace_with(path: &Path, bytes: &[u8], mode: Mode) -> Result<(), FileError> {
    let mut path = path.to_owned();
    for _ in 0..LINKS_MAX {
        let Some(name) = path.file_name() else { return Err(FileError::Kind { path }) };
        let parent = walk(&path.parent().map(Path::to_owned).unwrap_or_default(), false)?;
        let look = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let there = match openat(&parent, name, look, Mode::empty()) {
            Err(Errno::NOENT) => return put(&parent, &path, name, bytes, mode),
            there => there.map_err(FileError::system("open", &path))?,
        };
        let stat = fstat(&there).map_err(FileError::system("look at", &path))?;
        match FileType::from_raw_mode(stat.st_mode) {
            // An open file of this process is a link that only the system can follow.
            FileType::Symlink if is_proc(&parent) => {
                return write(&parent, &path, name, OFlags::empty(), bytes);
            }
            FileType::Symlink => {
                let target = followed(&there, &stat, &path)?;
                path = path.parent().map(Path::to_owned).unwrap_or_default().join(target);
            }
            FileType::Directory => return Err(FileError::Kind { path }),
            FileType::RegularFile if stat.st_uid == user() => return put(&parent, &path, name, bytes, mode),
            kind if kind != FileType::RegularFile && [0, user()].contains(&stat.st_uid) => {
                return write(&parent, &path, name, OFlags::NOFOLLOW, bytes);
            }
            _ => return Err(FileError::Foreign { path, owner: stat.st_uid, user: user() }),
        }
    }
    Err(FileError::system("follow", path)(Errno::LOOP))
}

/// Writes `bytes` to a new file at `path`, whose folder must exist. Links are followed like those of folders, but not
/// at the end of the path.
///
/// # Errors
/// When anything exists at `path`, or the file cannot be written; then nothing is left of it.
pub fn create(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let Some(name) = path.file_name() else { return Err(FileError::Kind { path: path.to_owned() }) };
    let parent = walk(&path.parent().map(Path::to_owned).unwrap_or_default(), false)?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(&parent, name, flags, FILE).map_err(FileError::system("create", path))?;
    let mut file = File::from(file);
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if written.is_err() {
        let _ = unlinkat(&parent, name, AtFlags::empty());
    }
    written.map_err(FileError::io("write", path))
}

fn put(parent: &OwnedFd, path: &Path, name: &OsStr, bytes: &[u8], mode: Mode) -> Result<(), FileError> {
    let folder = Folder::opened(parent, &path.parent().map(PathBuf::from).unwrap_or_default())?;
    folder.put_with(name, bytes, true, mode)
}

fn write(parent: &OwnedFd, path: &Path, name: &OsStr, flags: OFlags, bytes: &[u8]) -> Result<(), FileError> {
    let file = openat(parent, name, OFlags::WRONLY | OFlags::CLOEXEC | flags, Mode::empty());
    let mut file = File::from(file.map_err(FileError::system("open", path))?);
    file.write_all(bytes).map_err(FileError::io("write", path))
}

fn is_proc(folder: &OwnedFd) -> bool {
    fstatfs(folder).is_ok_and(|about| about.f_type == PROC_SUPER_MAGIC)
}
