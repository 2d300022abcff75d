//! What is old is removed, for each job after its own time, the file gets smaller, and its size is what the design page says.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use keysweep_model::ids::{Alias, NodeId, RunId, TaskId};
use keysweep_model::outcome::Outcome;
use keysweep_state::{AuditQuery, Retention, StateFile};
use keysweep_storage::audit::{self, AuditTrail, KeptEntry};
use keysweep_storage::history::{self, RunLine};
use keysweep_storage::store::Store;

use crate::{Scratch, batch, entry};

const DAY_MS: u64 = 86_400_000;

/// Runs with so many keys each, at four times a day; returns their ids.
async fn days(file: &StateFile, days: std::ops::Range<u64>, keys: usize) -> Vec<RunId> {
    let (mut runs, mut rng) = (Vec::new(), fastrand::Rng::with_seed(7));
    for quarter in days.start * 4..days.end * 4 {
        let (run, at_ms) = (RunId::new(), quarter * DAY_MS / 4);
        let mut names = || -> Vec<Vec<u8>> {
            let name = |_| format!("permissions:{}:{:08x}", rng.u32(..10_000_000), rng.u32(..)).into_bytes();
            (0..1_000).map(name).collect()
        };
        let batches: Vec<_> = (0..keys / 1_000).map(|_| batch(run, &names())).collect();
        // Those of several reapers are committed together.
        join_all(batches.iter().map(async |batch| {
            file.begin(batch, at_ms).await.unwrap();
            file.finish(run, &entry(batch, at_ms, |_| Outcome::Deleted)).await.unwrap();
        }))
        .await;
        runs.push(run);
    }
    runs
}

/// Four runs a day with 10,000 deletions each: as many rows as a service writes in a month, through what it writes them
/// with.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_month_of_deletions_stays_small_and_searchable() {
    let (folder, began) = (Scratch::new(), Instant::now());
    let runs = days(&folder.file(), 0..30, 10_000).await;
    println!("written in {:?}", began.elapsed());
    let kept = async |days: u64| {
        let (file, retention) = (folder.file(), Retention::of(Duration::from_secs(days * 86_400)));
        file.prune("nightly", retention, 30 * DAY_MS - 1).await.unwrap();
        drop(file);
        folder.bytes()
    };
    let bytes = kept(30).await;
    assert!(bytes < 150_000_000, "{bytes} bytes for 30 days");
    let file = folder.file();
    let (prefix, began) = (b"permissions:123".to_vec(), Instant::now());
    let by_prefix = AuditQuery { prefix: prefix.clone(), limit: u32::MAX, ..AuditQuery::default() };
    let found = file.search(by_prefix.clone()).await.unwrap();
    println!("{bytes} bytes; {} of 1.2 million keys found in {:?}", found.len(), began.elapsed());
    assert!(found.iter().all(|row| row.key.as_bytes().starts_with(&prefix)));
    let of: BTreeSet<&str> = found.iter().map(|row| row.run.as_str()).collect();
    assert_eq!(of.len(), runs.len(), "the prefix is found in each run of the month");
    for run in &runs {
        let by_run = AuditQuery { run: Some(*run), limit: u32::MAX, ..AuditQuery::default() };
        assert_eq!(file.search(by_run).await.unwrap().len(), 10_000, "{run}");
    }
    drop(file);
    let bytes = kept(7).await;
    println!("{bytes} bytes for 7 days");
    assert!(bytes < 50_000_000, "{bytes} bytes for 7 days");
    let left: BTreeSet<String> =
        folder.file().search(by_prefix).await.unwrap().into_iter().map(|row| row.run).collect();
    assert_eq!(left, runs[23 * 4..].iter().map(ToString::to_string).collect());
}

/// A job with a short retention does not take the names of another one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_job_has_a_retention_of_its_own() {
    let folder = Scratch::new();
    let file = folder.file();
    let runs = days(&file, 0..1, 1_000).await;
    for (run, job) in runs.iter().zip(["short", "long", "long"]) {
        let line = RunLine::failed(*run, job, &Alias::new("main"), 0, "a test");
        history::write(&file.store(""), &line).await.unwrap();
        let task =
            KeptEntry { task: TaskId::new(), node: NodeId::new("n"), at_ms: 0, groups: vec![], unnamed: 0 };
        audit::write_kept(&file.store(""), *run, &task).await.unwrap();
    }
    let now = keysweep_model::time::now_ms() + DAY_MS;
    let named = async || {
        let mut named = Vec::new();
        for run in &runs {
            let kept = audit::next_kept(&file.store(""), Some(*run), 0).await.unwrap();
            named.push((file.next(Some(*run), 0).await.unwrap().is_some(), kept.is_some()));
        }
        named
    };
    file.prune("short", Retention::of(Duration::from_secs(1)), now).await.unwrap();
    // No job is known of the last one.
    assert_eq!(named().await, [(false, false), (true, true), (true, true), (false, false)]);
    file.prune("long", Retention::of(Duration::from_secs(1)), now).await.unwrap();
    assert_eq!(named().await, [(false, false); 4]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_names_are_removed_and_the_space_is_given_back() {
    let folder = Scratch::new();
    let file = folder.file();
    let runs = days(&file, 0..10, 2_000).await;
    file.store("").create("events/e", b"{}".to_vec()).await.unwrap();
    let week = Retention::of(Duration::from_secs(7 * 86_400));
    file.prune("nightly", week, 10 * DAY_MS).await.unwrap();
    let there = async |run| file.next(Some(run), 0).await.unwrap().is_some();
    assert!(!there(runs[11]).await && there(runs[12]).await && there(runs[39]).await);
    // By size: the oldest go first.
    let small = Retention { bytes_max: 1 << 20, ..week };
    file.prune("nightly", small, 10 * DAY_MS).await.unwrap();
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
