//! The process that holds a lock, for the error that names it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::open::beside;

/// The process that holds a lock of the state file at `path`, if the system reports it. SQLite locks bytes of the `-shm`
/// file next to it, and of the file itself.
pub(crate) fn of_state_file(path: &Path) -> Option<String> {
    of(&[beside(path, "-shm"), path.to_owned()])
}

/// The process that holds a lock of one of `files`, if the system reports it.
pub(crate) fn of(files: &[PathBuf]) -> Option<String> {
    let locks = fs::read_to_string("/proc/locks").ok()?;
    let inodes = files.iter().filter_map(|path| fs::metadata(path).map(|file| file.ino()).ok());
    let pid = inodes.into_iter().find_map(|inode| writer(&locks, inode, std::process::id()))?;
    // That process may have just ended.
    let Ok(name) = fs::read_to_string(format!("/proc/{pid}/comm")) else {
        return Some(format!("process {pid}"));
    };
    Some(format!("process {pid} (`{}`)", name.trim_end().escape_debug()))
}

/// The process other than `own` that has a write lock of the file `inode`, by the lines of `/proc/locks`: `1: POSIX
/// ADVISORY  WRITE 4711 fd:00:131085 120 120`. Lines with `->` are processes that wait.
fn writer(locks: &str, inode: u64, own: u32) -> Option<u32> {
    let end = format!(":{inode}");
    locks.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, "POSIX" | "OFDLCK" | "FLOCK", _, "WRITE", pid, place, ..] = words.as_slice() else {
            return None;
        };
        place.ends_with(&end).then(|| pid.parse().ok()).flatten().filter(|pid| *pid > 0 && *pid != own)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_writer_by_inode() {
        let locks = "1: FLOCK  ADVISORY  WRITE 1 fd:00:41 0 EOF\n1: -> POSIX  ADVISORY  WRITE 2 fd:00:42 120 120\n\
                     2: POSIX  ADVISORY  READ  3 fd:00:42 124 124\n3: POSIX  ADVISORY  WRITE 4 fd:00:142 120 120\n\
                     4: POSIX  ADVISORY  WRITE 9 fd:00:42 0 0\n5: POSIX  ADVISORY  WRITE 5 fd:00:42 120 120\n";
        assert_eq!(writer(locks, 42, 9), Some(5));
        assert_eq!(writer(locks, 4, 9), None);
        assert_eq!(writer(locks, 41, 9), Some(1));
        assert_eq!(writer("3: POSIX  ADVISORY  WRITE -1 fd:00:42 0 EOF", 42, 9), None);
    }
}
