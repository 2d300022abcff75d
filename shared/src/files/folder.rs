//! A folder, held open by a handle: what happens to the path that led to it does not matter any more.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, fchmod, fstat, fsync, mkdirat, openat, renameat, unlinkat,
};
use rustix::io::Errno;

use super::walk::{FOLDER, walk};
use super::{FileError, user};

/// How the name of a file ends that is not all there.
pub const UNFINISHED: &str = "tmp";

/// The permissions of a file.
const FILE: Mode = Mode::RUSR.union(Mode::WUSR);

/// The permissions of users who are not the owner.
const OTHERS: Mode = Mode::RWXG.union(Mode::RWXO);

/// See the module.
#[derive(Debug)]
pub struct Folder {
    handle: OwnedFd,
    path: PathBuf,
}

impl Folder {
    /// The folder at `path`, made if it is missing. Whose it is does not matter: it is for further folders, which are
    /// then [`Folder::child`]ren of it.
    ///
    /// # Errors
    /// When it cannot be opened or made, or another user's link leads there.
    pub fn any(path: &Path) -> Result<Self, FileError> {
        Self::opened(&walk(path, true)?, path)
    }

    /// The folder at `path`, made if it is missing, which belongs to us and to which nobody else may write.
    ///
    /// # Errors
    /// As for [`Folder::any`]; and when it is another user's, or other users may write to it.
    pub fn private(path: &Path) -> Result<Self, FileError> {
        Self::any(path)?.checked()
    }

    /// A new folder with a random name below the system's place for temporary files.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn temporary(name: &str) -> Result<Self, FileError> {
        // Paths of sockets in it may not be long.
        let random = &uuid::Uuid::now_v7().simple().to_string()[20..];
        let path = std::env::temp_dir().join(format!("{name}-{random}"));
        let (parent, name) = (path.parent().unwrap_or(&path), path.file_name().unwrap_or_default());
        mkdirat(walk(parent, false)?, name, FOLDER).map_err(FileError::system("make the folder", &path))?;
        Self::private(&path)
    }

    /// The private folder `name` in this one, made if it is missing.
    ///
    /// # Errors
    /// As for [`Folder::private`].
    pub fn child(&self, name: &str) -> Result<Self, FileError> {
        let path = self.path.join(name);
        match mkdirat(&self.handle, name, FOLDER) {
            Ok(()) => self.sync()?,
            Err(Errno::EXIST) => {}
            Err(e) => return Err(FileError::system("make the folder", path)(e)),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let handle = openat(&self.handle, name, flags, Mode::empty());
        let handle = handle.map_err(FileError::system("open", &path))?;
        Self { handle, path }.checked()
    }

    pub(super) fn opened(handle: impl AsFd, path: &Path) -> Result<Self, FileError> {
        // A handle to walk on from cannot be read or synced.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let handle = openat(handle, ".", flags, Mode::empty()).map_err(FileError::system("open", path))?;
        Ok(Self { handle, path: path.to_owned() })
    }

    fn checked(self) -> Result<Self, FileError> {
        let stat = fstat(&self.handle).map_err(FileError::system("look at", &self.path))?;
        let (user, mode) = (user(), Mode::from_raw_mode(stat.st_mode));
        if stat.st_uid != user {
            return Err(FileError::Foreign { path: self.path, owner: stat.st_uid, user });
        }
        if mode.intersects(Mode::WGRP | Mode::WOTH) {
            return Err(FileError::Writable { path: self.path, mode: mode.as_raw_mode() });
        }
        Ok(self)
    }

    /// Where it was when it was opened.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Stores `bytes` under `name`, in place of what is there: all of it, or nothing. If `durable`, it is on the disk
    /// when this returns.
    ///
    /// # Errors
    /// When it could not be stored.
    pub fn put(&self, name: impl AsRef<OsStr>, bytes: &[u8], durable: bool) -> Result<(), FileError> {
        let (name, mut unfinished) = (name.as_ref(), name.as_ref().to_owned());
        let path = self.path.join(name);
        unfinished.push(format!(".{}.{UNFINISHED}", uuid::Uuid::now_v7().simple()));
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&self.handle, &unfinished, flags, FILE);
        let mut file = File::from(file.map_err(FileError::system("make a file for", &path))?);
        let written = file.write_all(bytes).and_then(|()| if durable { file.sync_all() } else { Ok(()) });
        let stored = written.map_err(FileError::io("write", &path)).and_then(|()| {
            let renamed = renameat(&self.handle, &unfinished, &self.handle, name);
            renamed.map_err(FileError::system("replace", &path))
        });
        if stored.is_err() {
            // Room for the next try. If it stays, its name says that it is not all there.
            let _ = unlinkat(&self.handle, &unfinished, AtFlags::empty());
            return stored;
        }
        if durable { self.sync() } else { Ok(()) }
    }

    /// Opens our own file `name` for reading and writing; made if it is missing. Never waits, and follows no link.
    ///
    /// # Errors
    /// When it cannot be opened, is another user's, or is no plain file.
    pub fn open(&self, name: &str) -> Result<File, FileError> {
        let path = self.path.join(name);
        // Without NONBLOCK, opening a named pipe would wait for its other end.
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = openat(&self.handle, name, flags, FILE).map_err(FileError::system("open", &path))?;
        let stat = fstat(&file).map_err(FileError::system("look at", &path))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(FileError::Kind { path });
        }
        if stat.st_uid != user() {
            return Err(FileError::Foreign { path, owner: stat.st_uid, user: user() });
        }
        if Mode::from_raw_mode(stat.st_mode).intersects(OTHERS) {
            fchmod(&file, FILE).map_err(FileError::system("change the permissions of", &path))?;
        }
        Ok(file.into())
    }

    /// Removes the file `name`.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove(&self, name: impl AsRef<OsStr>) -> Result<(), FileError> {
        let removed = unlinkat(&self.handle, name.as_ref(), AtFlags::empty());
        removed.map_err(FileError::system("remove", self.path.join(name.as_ref())))
    }

    /// Removes the empty folder `name`.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove_child(&self, name: &str) -> Result<(), FileError> {
        let removed = unlinkat(&self.handle, name, AtFlags::REMOVEDIR);
        removed.map_err(FileError::system("remove", self.path.join(name)))
    }

    /// The names of all that is in it, in no order.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn names(&self) -> Result<Vec<OsString>, FileError> {
        let failed = || FileError::system("list", &self.path);
        let entries = Dir::read_from(&self.handle).map_err(failed())?;
        let mut names = Vec::new();
        for entry in entries {
            names.push(OsString::from_vec(entry.map_err(failed())?.file_name().to_bytes().to_vec()));
        }
        names.retain(|name| name != "." && name != "..");
        Ok(names)
    }

    /// Makes the names in it durable.
    ///
    /// # Errors
    /// When the system cannot say that they are.
    pub fn sync(&self) -> Result<(), FileError> {
        fsync(&self.handle).map_err(FileError::system("sync", &self.path))
    }
}
