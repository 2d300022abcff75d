//! The file store: several processes, and files that are damaged or not our own.
#![expect(clippy::disallowed_methods, reason = "writes files as other programs would")]

use std::fs;
use std::io::Write;

use super::*;
use crate::limits::{FILE_LINES_SPARE, FILE_LOCK_WAIT, HISTORY_FILE_BYTES_MAX, HISTORY_LINE_BYTES_MAX};

/// A folder that is removed with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        Self(std::env::temp_dir().join(format!("keysweep-file-{}", uuid::Uuid::now_v7())))
    }

    fn holds(&self, text: &str) {
        fs::create_dir_all(&self.0).unwrap();
        fs::write(self.0.join("s"), text).unwrap();
    }

    fn store(&self, name: &str) -> FileStore {
        FileStore::open(&self.0.join(name)).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn processes_share_a_file_and_a_torn_line_is_dropped() {
    let folder = Scratch::new();
    let (one, two) = (folder.store("s"), folder.store("s"));
    one.create("a/1", b"x".to_vec()).await.unwrap();
    assert_eq!(two.get("a/1").await.unwrap().unwrap().value, b"x");
    let mut file = fs::OpenOptions::new().append(true).open(folder.0.join("s")).unwrap();
    file.write_all(b"{\"key\":\"a/2\",\"revi").unwrap();
    two.create("a/3", b"y".to_vec()).await.unwrap();
    assert_eq!(one.get("a/3").await.unwrap().unwrap().value, b"y");
    let again = folder.store("s");
    assert_eq!(again.next_after("a/", 0).await.unwrap().unwrap().key, "a/1");
    assert_eq!(again.next_after("a/", 1).await.unwrap().unwrap().key, "a/3");
}

#[tokio::test]
async fn a_lost_file_stops_no_run() {
    let folder = Scratch::new();
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
async fn the_file_is_rewritten_before_it_grows_long() {
    let folder = Scratch::new();
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
    assert_eq!((last.value, last.revision), ((2 * FILE_LINES_SPARE - 1).to_string().into_bytes(), revision));
}

/// Lines as another program may have written them, and what is read of them.
#[tokio::test]
async fn numbers_in_the_file_are_not_trusted() {
    let folder = Scratch::new();
    let line =
        |key: &str, revision: u64| format!("{{\"key\":\"{key}\",\"revision\":{revision},\"value\":\"x\"}}\n");
    let text = [
        line("", 7),
        line("a/1", 5),
        line("a/2", u64::MAX),
        line("a/3", 5),
        line("a/4", 0),
        "{\"key\":\"a/5\",\"revision\":-1,\"value\":\"x\"}\n".to_owned(),
        "{\"key\":\"a/6\",\"revision\":18446744073709551616,\"value\":\"x\"}\n".to_owned(),
        line("a/7", 6),
    ];
    folder.holds(&text.concat());
    let store = folder.store("s");
    let (mut keys, mut revision) = (Vec::new(), 0);
    while let Some(entry) = store.next_after("a/", revision).await.unwrap() {
        revision = entry.revision;
        keys.push(entry.key);
        assert!(keys.len() < 10, "it repeats: {keys:?}");
    }
    assert_eq!(keys, ["a/1", "a/7"]);
    assert_eq!(store.next_after("a/", u64::MAX).await.unwrap(), None);
    assert_eq!(store.create("a/8", b"y".to_vec()).await.unwrap(), Created::Now(7));
    assert_eq!(store.trouble(), None);
    // The last possible revision: no entry could follow it.
    folder.holds(&[line("", 8), line("a/1", REVISION_MAX)].concat());
    let used_up = folder.store("s");
    used_up.create("a/2", b"y".to_vec()).await.unwrap();
    assert!(used_up.trouble().unwrap().contains("revisions are used up"), "{:?}", used_up.trouble());
    assert_eq!(used_up.get("a/2").await.unwrap().unwrap().value, b"y");
}

#[tokio::test]
async fn a_file_or_line_that_is_too_long_is_rejected() {
    let folder = Scratch::new();
    let long = "x".repeat(usize::try_from(HISTORY_LINE_BYTES_MAX).unwrap());
    folder.holds(&format!("{{\"key\":\"\",\"revision\":7,\"value\":\"\"}}\n{long}{long}\n"));
    let store = folder.store("s");
    store.get("a").await.unwrap();
    assert!(store.trouble().unwrap().contains("a line is longer than"), "{:?}", store.trouble());
    let file = fs::File::create(folder.0.join("s")).unwrap();
    file.set_len(HISTORY_FILE_BYTES_MAX + 1).unwrap();
    let store = folder.store("s");
    store.create("a", b"x".to_vec()).await.unwrap();
    assert!(store.trouble().unwrap().contains("longer than 67108864 bytes: move it away"));
    assert_eq!(store.get("a").await.unwrap().unwrap().value, b"x");
}

/// Large values make the file long before it has many lines.
#[tokio::test]
async fn a_file_of_large_values_is_rewritten_with_the_newest() {
    let folder = Scratch::new();
    let store = folder.store("s");
    let value = vec![b'x'; 1 << 20];
    for n in 0..70 {
        store.create(&format!("a/{n}"), value.clone()).await.unwrap();
        let length = fs::metadata(folder.0.join("s")).unwrap().len();
        assert!(length <= HISTORY_FILE_BYTES_MAX / 2 + (2 << 20), "{length}");
    }
    assert_eq!(store.trouble(), None);
    assert!(folder.store("s").get("a/69").await.unwrap().is_some());
    assert!(folder.store("s").get("a/0").await.unwrap().is_none());
}

/// A process holds the lock and does not release it: no operation waits forever, and the runtime is not blocked.
#[tokio::test]
async fn a_held_lock_is_reported_and_does_not_block() {
    let folder = Scratch::new();
    let store = folder.store("s");
    store.create("a/1", b"x".to_vec()).await.unwrap();
    let lock = fs::File::open(folder.0.join("s.lock")).unwrap();
    lock.lock_shared().unwrap();
    let begun = std::time::Instant::now();
    let mut ticks = 0;
    let written = store.create("a/2", b"y".to_vec());
    tokio::pin!(written);
    loop {
        tokio::select! {
            done = &mut written => break drop(done.unwrap()),
            () = sleep(Duration::from_millis(20)) => ticks += 1,
        }
    }
    assert!(begun.elapsed() < FILE_LOCK_WAIT * 3, "{:?}", begun.elapsed());
    assert!(ticks > 20, "the runtime was blocked: {ticks}");
    let said = store.trouble().unwrap();
    let holder = format!("s.lock` was locked for 5 s, now by process {} (`", std::process::id());
    assert!(said.contains(&holder), "{said}");
    assert_eq!(store.get("a/1").await.unwrap().unwrap().value, b"x", "entries read before remain known");
}
