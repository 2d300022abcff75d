//! The audit trail: what is written is read, in order, in any form of keys; a batch that is only begun is unconfirmed.

use keysweep_model::ids::RunId;
use keysweep_model::key::Key;
use keysweep_model::outcome::Outcome;
use keysweep_state::{AuditQuery, StateFile};
use keysweep_storage::audit::AuditTrail;

use crate::{Scratch, batch, entry};

/// Keys of all kinds, in no order.
fn keys() -> Vec<Vec<u8>> {
    let mut keys: Vec<Vec<u8>> = (0..50).map(|n| format!("user:{:02}:x", n * 37 % 50).into_bytes()).collect();
    keys.extend([b"user:\xff".to_vec(), b"user;".to_vec(), b"user".to_vec(), b"\xff\xff".to_vec(), vec![]]);
    keys.extend([b"user:with\0nul".to_vec(), "us\u{e9}r:".as_bytes().to_vec(), b"user:01:x".to_vec()]);
    keys
}

fn outcome(key: &Key) -> Outcome {
    if key.len().is_multiple_of(2) { Outcome::Deleted } else { Outcome::Spared }
}

#[tokio::test]
async fn entries_are_read_as_they_were_written() {
    let (folder, run) = (Scratch::new(), RunId::new());
    let file = folder.file();
    let (first, second) = (batch(run, &keys()), batch(run, &keys()[..7]));
    file.begin(&first, 5).await.unwrap();
    let begun = file.next(Some(run), 0).await.unwrap().unwrap();
    assert_eq!((begun.run, begun.entry), (run, entry(&first, 5, |_| Outcome::Unconfirmed)));
    let done = entry(&first, 9, outcome);
    file.finish(run, &done).await.unwrap();
    // Redeliveries change nothing.
    file.begin(&first, 11).await.unwrap();
    file.finish(run, &entry(&first, 12, |_| Outcome::Failed)).await.unwrap();
    // A batch that was never begun.
    let untried = entry(&second, 13, |_| Outcome::Unreached);
    file.finish(run, &untried).await.unwrap();
    let (other, of_other) = (RunId::new(), entry(&batch(RunId::new(), &keys()), 14, outcome));
    file.finish(other, &of_other).await.unwrap();
    let reader = StateFile::open_read_only(file.path()).unwrap();
    let read = async |run: Option<RunId>| {
        let (mut found, mut revision) = (Vec::new(), 0);
        while let Some(next) = reader.next(run, revision).await.unwrap() {
            revision = next.revision;
            found.push((next.run, next.entry));
        }
        found
    };
    let own = [(run, done), (run, untried)];
    assert_eq!(read(Some(run)).await, own);
    assert_eq!(read(Some(RunId::new())).await, []);
    assert_eq!(read(None).await, own.into_iter().chain([(other, of_other)]).collect::<Vec<_>>());
}

#[tokio::test]
async fn keys_are_found_by_prefix_run_and_time() {
    let (folder, runs) = (Scratch::new(), [RunId::new(), RunId::new()]);
    let file = folder.file();
    for (run, at_ms) in runs.into_iter().zip([1_000, 2_000]) {
        let batch = batch(run, &keys());
        file.begin(&batch, at_ms).await.unwrap();
        file.finish(run, &entry(&batch, at_ms, outcome)).await.unwrap();
    }
    let found = async |query: AuditQuery| {
        let rows = file.search(AuditQuery { limit: 1_000, ..query }).await.unwrap();
        rows.into_iter().map(|row| (row.run, row.key)).collect::<Vec<_>>()
    };
    for prefix in
        [&b""[..], b"user:", b"user:0", b"user:\xff", b"\xff", b"us\xc3", b"user:with\0", b"nothing"]
    {
        for run in runs {
            let mut expected: Vec<_> =
                keys().into_iter().filter(|key| key.starts_with(prefix)).map(Key::new).collect();
            expected.sort();
            let query =
                AuditQuery { run: Some(run), prefix: prefix.to_vec(), all: true, ..AuditQuery::default() };
            let rows = found(query.clone()).await;
            assert!(rows.iter().all(|(of, _)| *of == run.to_string()));
            assert_eq!(rows.into_iter().map(|(_, key)| key).collect::<Vec<_>>(), expected, "{prefix:?}");
            expected.retain(|key| outcome(key).is_changed());
            let changed = found(AuditQuery { all: false, ..query }).await;
            assert_eq!(changed.len(), expected.len(), "{prefix:?}");
        }
    }
    let recent = found(AuditQuery { since_ms: 2_000, all: true, ..AuditQuery::default() }).await;
    assert!(recent.len() == keys().len() && recent.iter().all(|(run, _)| *run == runs[1].to_string()));
    let newest = file.search(AuditQuery { limit: 3, all: true, ..AuditQuery::default() }).await.unwrap();
    assert!(
        newest.len() == 3 && newest.iter().all(|row| row.run == runs[1].to_string() && row.at_ms == 2_000)
    );
}
