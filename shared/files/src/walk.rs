//! Walks from a path to the handle of a folder, step by step, so that the checked folder is the one that is used.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, Stat, fstat, fsync, mkdirat, openat, readlinkat};
use rustix::io::Errno;

use super::{FileError, user};

/// The maximum number of symbolic links in one path, as in Linux.
const LINKS_MAX: u32 = 40;

/// Permissions of new folders: only for the owner.
pub(super) const FOLDER: Mode = Mode::RWXU;

/// A handle for `fstat` and further steps, but not for reading.
const PATH_ONLY: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// The folder at `path`, as a handle for further steps. If `make`, missing folders are created, and their names are
/// durable when this returns.
pub(super) fn walk(path: &Path, make: bool) -> Result<OwnedFd, FileError> {
    let mut at = start(path.is_absolute())?;
    let mut walked = PathBuf::new();
    let (mut rest, mut links) = (steps(path), 0);
    while let Some(step) = rest.pop() {
        if step == "/" {
            (at, walked) = (start(true)?, PathBuf::from("/"));
            continue;
        }
        let here = walked.join(&step);
        let next = match openat(&at, &step, PATH_ONLY, Mode::empty()) {
            Err(Errno::NOENT) if make => made(&at, &step, &here)?,
            opened => opened.map_err(FileError::system("open", path))?,
        };
        let stat = fstat(&next).map_err(FileError::system("look at", &here))?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => (at, walked) = (next, here),
            FileType::Symlink => {
                links += 1;
                if links > LINKS_MAX {
                    return Err(FileError::system("follow", path)(Errno::LOOP));
                }
                // The next steps start at the folder that contains the link.
                rest.extend(steps(&followed(&next, &stat, &here)?));
            }
            _ => return Err(FileError::system("open", path)(Errno::NOTDIR)),
        }
    }
    Ok(at)
}

/// The target of the symbolic link behind the handle `link`, if it may be followed.
pub(super) fn followed(link: &OwnedFd, stat: &Stat, path: &Path) -> Result<PathBuf, FileError> {
    if stat.st_uid != 0 && stat.st_uid != user() {
        return Err(FileError::Link { path: path.to_owned(), owner: stat.st_uid });
    }
    let target = readlinkat(link, "", Vec::new()).map_err(FileError::system("follow", path))?;
    Ok(PathBuf::from(OsStr::from_bytes(target.as_bytes())))
}

/// The components of `path`, the last one first.
fn steps(path: &Path) -> Vec<OsString> {
    let kept = path.components().filter(|component| *component != Component::CurDir);
    let mut steps: Vec<OsString> = kept.map(|component| component.as_os_str().to_owned()).collect();
    steps.reverse();
    steps
}

fn start(absolute: bool) -> Result<OwnedFd, FileError> {
    let path = if absolute { "/" } else { "." };
    openat(CWD, path, PATH_ONLY | OFlags::DIRECTORY, Mode::empty()).map_err(FileError::system("open", path))
}

/// Creates the folder `step` in `at`. Another process may create it first; an existing folder is checked like any
/// other.
fn made(at: &OwnedFd, step: &OsStr, path: &Path) -> Result<OwnedFd, FileError> {
    match mkdirat(at, step, FOLDER) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(e) => return Err(FileError::system("make the folder", path)(e)),
    }
    match openat(at, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) {
        Ok(parent) => fsync(parent).map_err(FileError::system("sync the folder of", path))?,
        // A folder without read permission cannot be synced.
        Err(Errno::ACCESS) => {}
        Err(e) => return Err(FileError::system("open the folder of", path)(e)),
    }
    openat(at, step, PATH_ONLY, Mode::empty()).map_err(FileError::system("open", path))
}
