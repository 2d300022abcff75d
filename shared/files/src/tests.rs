//! Attacks by another user of the machine. Tests that run as root set up that user's files.
#![expect(clippy::disallowed_methods, reason = "the attacker's files are not written by `files`")]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use super::*;

/// Another user of the machine.
const MALLORY: u32 = 65_534;

/// A folder that is removed after the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        Self(Folder::temporary("keysweep-files").unwrap().path().to_owned())
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Only root can set up another user's files.
fn gives_to_mallory(path: &Path) {
    assert_eq!(user(), 0, "this test needs root, to make files of another user");
    std::os::unix::fs::lchown(path, Some(MALLORY), Some(MALLORY)).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[track_caller]
fn refused<T: std::fmt::Debug>(done: Result<T, FileError>, words: &[&str]) {
    let said = done.unwrap_err().to_string();
    words.iter().for_each(|word| assert!(said.contains(word), "`{word}` is not in `{said}`"));
}

#[test]
fn what_is_made_is_ours_alone() {
    let scratch = Scratch::new();
    let folder = Folder::private(&scratch.at("a/b")).unwrap();
    folder.put("f", b"one", true).unwrap();
    folder.put("f", b"two", true).unwrap();
    assert_eq!(fs::read(scratch.at("a/b/f")).unwrap(), b"two");
    assert_eq!(
        (mode(&scratch.at("a")), mode(&scratch.at("a/b")), mode(&scratch.at("a/b/f"))),
        (0o700, 0o700, 0o600)
    );
    assert_eq!(folder.names().unwrap(), ["f"], "nothing unfinished stays");
    // A file of an older version, which others could read.
    fs::set_permissions(scratch.at("a/b/f"), fs::Permissions::from_mode(0o644)).unwrap();
    folder.open("f").unwrap();
    assert_eq!(mode(&scratch.at("a/b/f")), 0o600);
}

#[test]
fn a_folder_of_others_or_open_to_others_is_refused() {
    let scratch = Scratch::new();
    for (mode, given) in [(0o775, "775"), (0o702, "702"), (0o1777, "1777")] {
        let path = scratch.at(given);
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        refused(Folder::private(&path), &[given, "chmod go-w", "not there yet"]);
        let below = Folder::private(&path.join("own")).unwrap();
        below.put("f", b"x", true).unwrap();
        refused(Folder::any(scratch.0.as_path()).unwrap().child(given), &["chmod go-w"]);
    }
    let foreign = scratch.at("foreign");
    fs::create_dir(&foreign).unwrap();
    gives_to_mallory(&foreign);
    refused(Folder::private(&foreign), &["belongs to user 65534", "runs as user 0", "not there yet"]);
}

#[test]
fn another_users_link_is_never_followed() {
    let scratch = Scratch::new();
    let (victim, link) = (scratch.at("victim"), scratch.at("link"));
    fs::create_dir(&victim).unwrap();
    fs::write(victim.join("precious"), "precious").unwrap();
    symlink(&victim, &link).unwrap();
    gives_to_mallory(&link);
    for path in [link.clone(), link.join("deeper")] {
        refused(Folder::private(&path), &["link", "belongs to user 65534", "name another place"]);
    }
    refused(replace(&link.join("precious"), b"x"), &["belongs to user 65534"]);
    let file = scratch.at("file");
    symlink(victim.join("precious"), &file).unwrap();
    gives_to_mallory(&file);
    refused(replace(&file, b"x"), &["link", "belongs to user 65534"]);
    // A file replaces a link; the link's target stays.
    let folder = Folder::private(&scratch.0).unwrap();
    folder.put("file", b"ours", true).unwrap();
    assert!(!fs::symlink_metadata(&file).unwrap().is_symlink());
    symlink(victim.join("precious"), scratch.at("opened")).unwrap();
    refused(folder.open("opened"), &["opened"]);
    assert_eq!(fs::read(victim.join("precious")).unwrap(), b"precious");
    // An own link is.
    symlink(&victim, scratch.at("ours")).unwrap();
    Folder::private(&scratch.at("ours")).unwrap().put("new", b"x", true).unwrap();
    assert!(victim.join("new").exists());
    symlink(scratch.at("loop"), scratch.at("loop")).unwrap();
    refused(Folder::private(&scratch.at("loop")), &["loop"]);
    refused(replace(&scratch.at("loop"), b"x"), &["loop"]);
}

#[test]
fn a_named_file_replaces_our_own_alone() {
    let scratch = Scratch::new();
    let path = scratch.at("report.html");
    for text in ["first", "second"] {
        replace(&path, text.as_bytes()).unwrap();
        assert_eq!((fs::read_to_string(&path).unwrap().as_str(), mode(&path)), (text, 0o600));
    }
    symlink("report.html", scratch.at("link")).unwrap();
    replace(&scratch.at("link"), b"third").unwrap();
    assert!(fs::symlink_metadata(scratch.at("link")).unwrap().is_symlink());
    assert_eq!(fs::read(&path).unwrap(), b"third");
    gives_to_mallory(&path);
    refused(replace(&path, b"x"), &["belongs to user 65534"]);
    assert_eq!(fs::metadata(&path).unwrap().uid(), MALLORY);
    refused(replace(&scratch.0, b"x"), &["no plain file"]);
    refused(replace(&scratch.at("missing/f"), b"x"), &["missing"]);
    replace(Path::new("/dev/null"), b"x").unwrap();
    replace(Path::new("/dev/stderr"), b"").unwrap();
    assert!(!fs::metadata("/dev/null").unwrap().is_file());
}

#[test]
fn a_pipe_or_a_foreign_file_is_not_opened_as_ours() {
    let scratch = Scratch::new();
    let folder = Folder::private(&scratch.0).unwrap();
    let made = std::process::Command::new("mkfifo").arg(scratch.at("pipe")).status().unwrap();
    assert!(made.success());
    refused(folder.open("pipe"), &["no plain file"]);
    fs::write(scratch.at("foreign"), "x").unwrap();
    chown(scratch.at("foreign"), Some(MALLORY), None).unwrap();
    refused(folder.open("foreign"), &["belongs to user 65534"]);
}

#[test]
fn a_created_file_is_new_and_ours_alone() {
    let scratch = Scratch::new();
    create(&scratch.at("f"), b"one").unwrap();
    assert_eq!((fs::read(scratch.at("f")).unwrap(), mode(&scratch.at("f"))), (b"one".to_vec(), 0o600));
    refused(create(&scratch.at("f"), b"two"), &["create", "exists"]);
    symlink(scratch.at("elsewhere"), scratch.at("link")).unwrap();
    refused(create(&scratch.at("link"), b"two"), &["exists"]);
    assert_eq!(fs::read(scratch.at("f")).unwrap(), b"one");
    assert!(!scratch.at("elsewhere").exists());
    refused(create(&scratch.at("no/f"), b"two"), &["no"]);
}
