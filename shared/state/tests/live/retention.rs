//! What is old is removed, the file gets smaller, and its size is what the design page says.

use std::time::{Duration, Instant};

use keysweep_model::ids::RunId;
use keysweep_model::outcome::Outcome;
use keysweep_state::{AuditQuery, Retention, StateFile};
use keysweep_storage::audit::AuditTrail;
use keysweep_storage::store::Store;

use crate::{Scratch, batch, entry};

const DAY_MS: u64 = 86_400_000;

/// Runs with so many keys each, at four times a day; returns their ids.
async fn days(file: &StateFile, days: std::ops::Range<u64>, keys: usize) -> Vec<RunId> {
    let (mut runs, mut rng) = (Vec::new(), fastrand::Rng::with_seed(7));
    for quarter in days.start * 4..days.end * 4 {
        let (run, at_ms) = (RunId::new(), quarter * DAY_MS / 4);
        for _ in 0..keys / 1_000 {
            let name = |_| format!("permissions:{}:{:08x}", rng.u32(..10_000_000), rng.u32(..)).into_bytes();
            let batch = batch(run, &(0..1_000).map(name).collect::<Vec<_>>());
            file.begin(&batch, at_ms).await.unwrap();
            file.finish(run, &entry(&batch, at_ms, |_| Outcome::Deleted)).await.unwrap();
        }
        runs.push(run);
    }
    runs
}

/// A tenth of a month of four runs a day with 10,000 deletions each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_month_of_deletions_stays_small_and_searchable() {
    let folder = Scratch::new();
    let file = folder.file();
    let runs = days(&file, 0..30, 1_000).await;
    file.prune(Retention::of(Duration::from_secs(30 * 86_400)), 30 * DAY_MS).await.unwrap();
    let began = Instant::now();
    let prefix = b"permissions:123".to_vec();
    let by_prefix = AuditQuery { prefix: prefix.clone(), limit: 10_000, ..AuditQuery::default() };
    let found = file.search(by_prefix).await.unwrap();
    let took = began.elapsed();
    assert!(found.len() > 50 && found.iter().all(|row| row.key.as_bytes().starts_with(&prefix)));
    let by_run = AuditQuery { run: Some(runs[3]), limit: 10_000, ..AuditQuery::default() };
    assert_eq!(file.search(by_run).await.unwrap().len(), 1_000);
    assert_eq!(runs.len(), 120);
    drop(file);
    let (bytes, keys) = (folder.bytes(), 120_000);
    println!("{} bytes for {keys} keys, {} a key; searched in {took:?}", bytes, bytes / keys);
    // 1.2 million keys in 150 MB are 125 bytes a key, and 280,000 in 50 MB are 178.
    assert!(bytes / keys < 60, "{bytes} bytes for {keys} keys");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_names_are_removed_and_the_space_is_given_back() {
    let folder = Scratch::new();
    let file = folder.file();
    let runs = days(&file, 0..10, 2_000).await;
    file.store("").create("events/e", b"{}".to_vec()).await.unwrap();
    let week = Retention::of(Duration::from_secs(7 * 86_400));
    file.prune(week, 10 * DAY_MS).await.unwrap();
    let there = async |run| file.next(run, 0).await.unwrap().is_some();
    assert!(!there(runs[11]).await && there(runs[12]).await && there(runs[39]).await);
    // By size: the oldest go first.
    let small = Retention { bytes_max: 1 << 20, ..week };
    file.prune(small, 10 * DAY_MS).await.unwrap();
    assert!(!there(runs[12]).await && there(runs[39]).await);
    assert!(
        file.store("").get("events/e").await.unwrap().is_some(),
        "it is written now, long after that time"
    );
    drop(file);
    assert!(folder.bytes() < 2 << 20, "{} bytes", folder.bytes());
    assert_eq!(
        folder.file().search(AuditQuery { limit: 1, ..AuditQuery::default() }).await.unwrap().len(),
        1
    );
}
