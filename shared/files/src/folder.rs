//! A folder with an open handle: later changes to the path that led to it have no effect.

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

/// The extension of files that are being written.
pub const UNFINISHED: &str = "tmp";

/// The permissions of a file.
pub(super) const FILE: Mode = Mode::RUSR.union(Mode::WUSR);

/// The permissions of a file that everyone may read.
pub(super) const PUBLIC: Mode = FILE.union(Mode::RGRP).union(Mode::ROTH);

/// The permissions of users who are not the owner.
const OTHERS: Mode = Mode::RWXG.union(Mode::RWXO);

/// See the module.
#[derive(Debug)]
pub struct Folder {
    handle: OwnedFd,
    path: PathBuf,
}

impl Folder {
    /// Opens the folder at `path`, created if it is missing. Its owner is not checked: it is the parent of folders
    /// that are opened with [`Folder::child`].
    ///
    /// # Errors
    /// If it cannot be opened or created, or its path contains another user's link.
    pub fn any(path: &Path) -> Result<Self, FileError> {
        Self::opened(&walk(path, true)?, path)
    }

    /// Opens the folder at `path`, created if it is missing, which must belong to this process' user and be writable
    /// only for it.
    ///
    /// # Errors
    /// As for [`Folder::any`]; and if it is another user's, or other users may write to it.
    pub fn private(path: &Path) -> Result<Self, FileError> {
        Self::any(path)?.checked()
    }

    /// Creates a folder with a random name in the system's temporary directory.
    ///
    /// # Errors
    /// If it cannot be created.
    pub fn temporary(name: &str) -> Result<Self, FileError> {
        // Paths of sockets in it are limited in length.
        let random = &uuid::Uuid::now_v7().simple().to_string()[20..];
        let path = std::env::temp_dir().join(format!("{name}-{random}"));
        let (parent, name) = (path.parent().unwrap_or(&path), path.file_name().unwrap_or_default());
        mkdirat(walk(parent, false)?, name, FOLDER).map_err(FileError::system("make the folder", &path))?;
        Self::private(&path)
    }

    /// Opens the private subfolder `name`, created if it is missing.
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

    /// Its path when it was opened.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Stores `bytes` under `name` atomically, replacing an existing file. If `durable`, they are on disk when this
    /// returns.
    ///
    /// # Errors
    /// If they could not be stored.
    pub fn put(&self, name: impl AsRef<OsStr>, bytes: &[u8], durable: bool) -> Result<(), FileError> {
        self.put_with(name, bytes, durable, FILE)
    }

    /// [`Folder::put`] with the permissions `mode`, apart from those that the umask of the process takes away.
    pub(super) fn put_with(
        &self,
        name: impl AsRef<OsStr>,
        bytes: &[u8],
        durable: bool,
        mode: Mode,
    ) -> Result<(), FileError> {
        let (name, mut unfinished) = (name.as_ref(), name.as_ref().to_owned());
        let path = self.path.join(name);
        unfinished.push(format!(".{}.{UNFINISHED}", uuid::Uuid::now_v7().simple()));
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&self.handle, &unfinished, flags, mode);
        let mut file = File::from(file.map_err(FileError::system("make a file for", &path))?);
        let written = file.write_all(bytes).and_then(|()| if durable { file.sync_all() } else { Ok(()) });
        let stored = written.map_err(FileError::io("write", &path)).and_then(|()| {
            let renamed = renameat(&self.handle, &unfinished, &self.handle, name);
            renamed.map_err(FileError::system("replace", &path))
        });
        if stored.is_err() {
            // Allows the next attempt. If it stays, its name marks it as unfinished.
            let _ = unlinkat(&self.handle, &unfinished, AtFlags::empty());
            return stored;
        }
        if durable { self.sync() } else { Ok(()) }
    }

    /// Opens the file `name` of this process' user for reading and writing; created if it is missing. Never blocks,
    /// and follows no link.
    ///
    /// # Errors
    /// If it cannot be opened, belongs to another user, or is not a regular file.
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
    /// If it cannot be removed.
    pub fn remove(&self, name: impl AsRef<OsStr>) -> Result<(), FileError> {
        let removed = unlinkat(&self.handle, name.as_ref(), AtFlags::empty());
        removed.map_err(FileError::system("remove", self.path.join(name.as_ref())))
    }

    /// Removes the empty folder `name`.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub fn remove_child(&self, name: &str) -> Result<(), FileError> {
        let removed = unlinkat(&self.handle, name, AtFlags::REMOVEDIR);
        removed.map_err(FileError::system("remove", self.path.join(name)))
    }

    /// The names of its entries, in no particular order.
    ///
    /// # Errors
    /// If it cannot be read.
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

    /// Makes its entries durable.
    ///
    /// # Errors
    /// If the system cannot confirm it.
    pub fn sync(&self) -> Result<(), FileError> {
        fsync(&self.handle).map_err(FileError::system("sync", &self.path))
    }
}
