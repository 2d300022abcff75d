//! The lock of a store's file. Other programs may hold it, so it is tried until a deadline. Blocks the thread.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::thread::sleep;
use std::time::Instant;

use keysweep_files::Folder;

use crate::limits::{FILE_LOCK_POLL, FILE_LOCK_WAIT};

/// Takes the lock `name`. It is held until the returned file is dropped.
pub(super) fn take(folder: &Folder, name: &str) -> io::Result<File> {
    let (file, begun) = (folder.open(name)?, Instant::now());
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(e)) => return Err(e),
            Err(TryLockError::WouldBlock) if begun.elapsed() < FILE_LOCK_WAIT => sleep(FILE_LOCK_POLL),
            Err(TryLockError::WouldBlock) => {
                let holder = holder(&file).unwrap_or_else(|| "another process".to_owned());
                let (path, waited) = (folder.path().join(name), FILE_LOCK_WAIT.as_secs());
                let text = format!("`{}` was locked for {waited} s, now by {holder}", path.display());
                return Err(io::Error::new(io::ErrorKind::WouldBlock, text));
            }
        }
    }
}

/// The process that holds a lock of `file`, if the system reports it.
fn holder(file: &File) -> Option<String> {
    let inode = file.metadata().ok()?.ino();
    let pid = pid_of(&fs::read_to_string("/proc/locks").ok()?, inode)?;
    // That process may have ended and left the lock to a child.
    let Ok(name) = fs::read_to_string(format!("/proc/{pid}/comm")) else {
        return Some(format!("process {pid}"));
    };
    Some(format!("process {pid} (`{}`)", name.trim_end().escape_debug()))
}

/// The process that holds a lock of the file `inode`, by the lines of `/proc/locks`: `1: FLOCK  ADVISORY  WRITE 4711
/// fd:00:131085 0 EOF`. Lines with `->` are processes that wait.
fn pid_of(locks: &str, inode: u64) -> Option<u32> {
    let end = format!(":{inode}");
    locks.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, "FLOCK", _, _, pid, place, ..] = words.as_slice() else { return None };
        place.ends_with(&end).then(|| pid.parse().ok()).flatten().filter(|pid| *pid > 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_holder_by_inode() {
        let locks = "1: POSIX  ADVISORY  WRITE 1 fd:00:42 0 EOF\n1: -> FLOCK  ADVISORY  WRITE 2 fd:00:42 0 EOF\n\
                     2: FLOCK  ADVISORY  READ  3 fd:00:142 0 EOF\n3: FLOCK  ADVISORY  READ  4 fd:00:42 0 EOF\n";
        assert_eq!(pid_of(locks, 42), Some(4));
        assert_eq!(pid_of(locks, 1), None);
        assert_eq!(pid_of("3: FLOCK  ADVISORY  READ  -1 fd:00:42 0 EOF", 42), None);
    }
}
