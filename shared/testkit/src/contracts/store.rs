//! The contract of every [`Store`]. An implementation calls each function with an empty store. A function panics if
//! the contract is violated.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use keysweep_storage::store::{self, Created, Store};
use tokio::time::timeout;

/// Calls the macro `$each` with what follows it and the names of all functions of the contract, so that no
/// implementation lacks one.
#[macro_export]
macro_rules! each_store_contract {
    ($each:ident $($first:tt)*) => {
        $each!($($first)*
            the_first_create_wins,
            updates_are_fenced_by_revision,
            a_watch_returns_existing_and_new_entries,
            a_dropped_next_loses_no_entry,
            concurrent_writers_agree,
            entries_follow_each_other,
            entries_are_read_together,
        )
    };
}

const SHORT: Duration = Duration::from_millis(100);

/// Create-once: the first value stays, and the second caller gets it.
pub async fn the_first_create_wins(store: &dyn Store) {
    assert_eq!(store.get("runs/a/1").await.unwrap(), None);
    let Created::Now(revision) = store.create("runs/a/1", b"one".to_vec()).await.unwrap() else {
        panic!("an empty store had an entry")
    };
    let Created::Before(entry) = store.create("runs/a/1", b"two".to_vec()).await.unwrap() else {
        panic!("an entry was created twice")
    };
    assert_eq!((entry.value.as_slice(), entry.revision), (&b"one"[..], revision));
    assert_eq!(store.get("runs/a/1").await.unwrap(), Some(entry));
}

/// An update with a stale revision is refused and changes nothing.
pub async fn updates_are_fenced_by_revision(store: &dyn Store) {
    let Created::Now(first) = store.create("locks/k", b"1".to_vec()).await.unwrap() else {
        panic!("not created")
    };
    let second = store.update("locks/k", b"2".to_vec(), first).await.unwrap().unwrap();
    assert!(second > first);
    assert_eq!(store.update("locks/k", b"3".to_vec(), first).await.unwrap(), None);
    assert_eq!(store.update("locks/absent", b"3".to_vec(), 1).await.unwrap(), None);
    assert_eq!(store.get("locks/k").await.unwrap().unwrap().value, b"2");
}

/// A watch returns the entries below its prefix, existing ones first, each at its latest revision.
pub async fn a_watch_returns_existing_and_new_entries(store: &dyn Store) {
    let Created::Now(first) = store.create("runs/r/1", b"old".to_vec()).await.unwrap() else {
        panic!("not created")
    };
    store.create("runs/o/1", b"x".to_vec()).await.unwrap();
    store.create("runs/r/2", b"b".to_vec()).await.unwrap();
    store.update("runs/r/1", b"new".to_vec(), first).await.unwrap().unwrap();
    let mut watch = store.watch("runs/r/").await.unwrap();
    let mut seen = Vec::new();
    for _ in 0..2 {
        let entry = watch.next().await.unwrap();
        seen.push((entry.key, entry.value));
    }
    assert_eq!(seen, [("runs/r/2".to_owned(), b"b".to_vec()), ("runs/r/1".to_owned(), b"new".to_vec())]);
    let (next, _) = tokio::join!(watch.next(), store.create("runs/r/3", b"locks/c".to_vec()));
    assert_eq!(next.unwrap().key, "runs/r/3");
}

/// A dropped `next` does not lose the next entry.
pub async fn a_dropped_next_loses_no_entry(store: &dyn Store) {
    let mut watch = store.watch("runs/w/").await.unwrap();
    assert!(timeout(SHORT, watch.next()).await.is_err());
    store.create("runs/w/1", vec![]).await.unwrap();
    assert_eq!(timeout(SHORT * 50, watch.next()).await.unwrap().unwrap().key, "runs/w/1");
}

/// Of many concurrent creates of one entry, exactly one succeeds, and likewise of many updates.
pub async fn concurrent_writers_agree(store: &dyn Store) {
    let created = join_all((0..8_u8).map(|n| store.create("locks/c", vec![n]))).await;
    let winners: Vec<u64> = created
        .into_iter()
        .filter_map(|c| if let Created::Now(revision) = c.unwrap() { Some(revision) } else { None })
        .collect();
    let [revision] = winners[..] else { panic!("{} winners", winners.len()) };
    let updated = join_all((0..8_u8).map(|n| store.update("locks/c", vec![n], revision))).await;
    let revisions: BTreeSet<u64> = updated.into_iter().filter_map(Result::unwrap).collect();
    assert_eq!(revisions.len(), 1);
}

/// Entries are found one after the other, by prefix and revision, and none after the last one.
pub async fn entries_follow_each_other(store: &dyn Store) {
    let Created::Now(first) = store.create("runs/x/1", b"1".to_vec()).await.unwrap() else {
        panic!("not created")
    };
    store.create("runs/y/1", b"other".to_vec()).await.unwrap();
    store.create("runs/x/2", b"2".to_vec()).await.unwrap();
    assert_eq!(store.next_after("runs/x/", 0).await.unwrap().unwrap().revision, first);
    let second = store.next_after("runs/x/", first).await.unwrap().unwrap();
    assert_eq!((second.key.as_str(), second.value.as_slice()), ("runs/x/2", &b"2"[..]));
    assert_eq!(store.next_after("runs/x/", second.revision).await.unwrap(), None);
}

/// Several entries that are read at once are those that follow each other, and all are found.
pub async fn entries_are_read_together(store: &dyn Store) {
    for n in 0..5 {
        store.create(&format!("runs/p/{n}"), vec![n]).await.unwrap();
        store.create(&format!("runs/q/{n}"), vec![n]).await.unwrap();
    }
    let values =
        |entries: Vec<store::Entry>| entries.into_iter().map(|entry| entry.value).collect::<Vec<_>>();
    let first = store.next_after("runs/p/", 0).await.unwrap().unwrap();
    let some = values(store.entries_after("runs/p/", first.revision, 3).await.unwrap());
    assert!(matches!(some.len(), 1..=3) && some == [[1], [2], [3]][..some.len()], "{some:?}");
    assert_eq!(values(store::all(store, "runs/p/").await.unwrap()), [[0], [1], [2], [3], [4]]);
    assert_eq!(store::all(store, "runs/none/").await.unwrap(), []);
}
