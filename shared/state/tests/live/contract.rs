//! The store in a SQLite file keeps the contract of stores.

use std::time::{Duration, Instant};

use keysweep_model::ids::{Alias, RunId};
use keysweep_state::StateFile;
use keysweep_state::limits::HISTORY_RUNS_KEPT;
use keysweep_storage::history::{self, RunLine};
use keysweep_storage::store::{Created, Store};
use keysweep_testkit::contracts::store;
use keysweep_testkit::each_store_contract;

use crate::Scratch;

macro_rules! passes_the_store_contract {
    ($($name:ident),* $(,)?) => {
        $({
            println!("{}", stringify!($name));
            let folder = Scratch::new();
            store::$name(&folder.file().store("")).await;
        })*
    };
}

#[tokio::test]
async fn the_store_in_a_state_file_passes_the_contract() {
    each_store_contract!(passes_the_store_contract);
}

/// What one handle writes, another one of the same file reads: another process has the same view.
#[tokio::test]
async fn several_handles_and_scopes_share_a_file() {
    let folder = Scratch::new();
    let (one, two) = (folder.file(), folder.file());
    let (here, there) = (one.store("here"), two.store("there"));
    let mut watch = two.all().watch("history/").await.unwrap();
    here.create("history/1", b"a".to_vec()).await.unwrap();
    assert_eq!(watch.next().await.unwrap().key, "history/1");
    assert_eq!(there.get("history/1").await.unwrap(), None, "another scope");
    there.create("history/1", b"b".to_vec()).await.unwrap();
    assert_eq!(watch.next().await.unwrap().value, b"b");
    let read_only = StateFile::open_read_only(one.path()).unwrap();
    assert_eq!(read_only.store("here").get("history/1").await.unwrap().unwrap().value, b"a");
    let refused = read_only.store("here").create("history/2", vec![]).await.unwrap_err();
    assert!(refused.0.contains("opened for reading"), "{refused}");
    assert!(one.all().create("history/3", vec![]).await.is_err());
}

/// Processes that start at the same time make the tables of a new file once.
#[test]
fn a_new_file_is_made_once() {
    for _ in 0..20 {
        let folder = Scratch::new();
        std::thread::scope(|scope| {
            let open = || drop(folder.file());
            let opened: Vec<_> = (0..6).map(|_| scope.spawn(open)).collect();
            opened.into_iter().for_each(|opened| opened.join().unwrap());
        });
    }
}

/// Of many writers in several handles, each entry is written once and none is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_handles_lose_nothing() {
    let folder = Scratch::new();
    let stores: Vec<_> = (0..4).map(|_| folder.file().store("")).collect();
    let writes = (0..200_u32).map(|n| {
        let store = stores[n as usize % 4].clone();
        async move { store.create(&format!("events/{}", n / 2), n.to_le_bytes().to_vec()).await.unwrap() }
    });
    let created = futures_util::future::join_all(writes).await;
    let now = created.iter().filter(|created| matches!(created, Created::Now(_))).count();
    assert_eq!(now, 100);
    let (mut revision, mut read) = (0, 0);
    while let Some(entry) = stores[0].next_after("events/", revision).await.unwrap() {
        (revision, read) = (entry.revision, read + 1);
    }
    assert_eq!(read, 100);
}

/// Each run reads the whole history at its begin and at its end, of as many runs as are kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_history_is_read_at_once() {
    let folder = Scratch::new();
    let store = folder.file().store("");
    let lines = (0..HISTORY_RUNS_KEPT).map(async |at_ms| {
        let line = RunLine::failed(RunId::new(), "nightly", &Alias::new("main"), at_ms, "a test");
        history::write(&store, &line).await.unwrap();
    });
    futures_util::future::join_all(lines).await;
    let began = Instant::now();
    assert_eq!(history::read(&store).await.unwrap().len() as u64, HISTORY_RUNS_KEPT);
    let took = began.elapsed();
    println!("{HISTORY_RUNS_KEPT} runs are read in {took:?}");
    assert!(took < Duration::from_secs(5), "{took:?}");
}
