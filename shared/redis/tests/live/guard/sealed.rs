//! Keys with a backup: only the saved content is deleted.

use std::ops::Range;

use keysweep_model::key::Key;
use keysweep_model::messages::{Action, Lookups, Reason};
use keysweep_model::outcome::Outcome::{self, Deleted, Failed, Spared, Vanished};
use keysweep_redis::dump::{self, DumpedValue, ProbedValue};
use keysweep_redis::guard::{
    self, Act, ExpectedContent, Guard, GuardCall, GuardMode, GuardReply, GuardVerdict, Part,
};
use keysweep_redis::limits::BACKUP_TEXT_MAX;

use super::bench::{Backend, Bench};

const ACT: Act<'static> = Act::plain(Action::Delete);

all_backends! {
    what_has_changed_since_it_was_saved_is_spared,
    what_is_left_to_a_later_call_is_decided_there_and_only_once,
    a_ledger_that_was_begun_can_be_recalled,
}

impl Bench {
    async fn send(&self, command: &str) {
        self.conn.info_text(command).await.unwrap();
    }

    /// The expected contents of the keys, as they are now.
    async fn contents(&self) -> Vec<ExpectedContent> {
        let keys: Vec<&Key> = self.group.keys.iter().collect();
        let before = self.lookups().await;
        let (found, mut reported) = dump::probe(&self.conn, &keys).await.unwrap();
        let others = keys.iter().zip(&found).filter_map(|(key, found)| match found {
            ProbedValue::Other { text, .. } => Some((*key, *text)),
            _ => None,
        });
        let others: Vec<(&Key, bool)> = others.collect();
        let (values, lookups) = dump::values(&self.conn, &others, 1_000).await.unwrap();
        reported += lookups;
        assert_eq!(self.lookups_since(before).await, reported);
        let mut values = values.into_iter();
        let held = found.into_iter().map(|found| match found {
            ProbedValue::Text(held) => Some(held),
            ProbedValue::Other { .. } => values.next().unwrap(),
            ProbedValue::Gone => None,
        });
        held.map(|held| held.map_or(ExpectedContent::Absent, |held| held.fingerprint)).collect()
    }

    async fn call_with(&self, contents: Vec<ExpectedContent>) -> GuardVerdict {
        self.answer(&contents).await.verdict
    }

    async fn answer(&self, contents: &[ExpectedContent]) -> GuardReply {
        self.answer_for(0..self.group.keys.len(), contents).await
    }

    /// A call for some of the candidates that the ledger records.
    async fn answer_for(&self, some: Range<usize>, contents: &[ExpectedContent]) -> GuardReply {
        let all = self.backend.part(self.window.batch, 7, &self.group, GuardMode::Act(ACT), Some(contents));
        let part = Part { before: some.start, candidates: all.candidates[some].to_vec(), ..all };
        let call = GuardCall { window: self.window, parts: &[part] };
        self.means.call(&self.conn, call).await.unwrap().remove(0).unwrap()
    }

    async fn finalize(&self, outcome: Outcome) -> GuardVerdict {
        let part = self.backend.part(self.window.batch, 7, &self.group, GuardMode::Finalize(outcome), None);
        let call = GuardCall { window: self.window, parts: &[part] };
        self.means.call(&self.conn, call).await.unwrap().remove(0).unwrap().verdict
    }

    /// The indices of existing keys.
    async fn there(&self) -> Vec<usize> {
        let keys: Vec<&Key> = self.group.keys.iter().collect();
        let (found, _) = dump::probe(&self.conn, &keys).await.unwrap();
        found.iter().enumerate().filter(|(_, found)| **found != ProbedValue::Gone).map(|(at, _)| at).collect()
    }
}

async fn what_has_changed_since_it_was_saved_is_spared(backend: Backend) {
    let bench = Bench::new(
        backend,
        &[
            b"same",
            b"other",
            b"longer",
            b"ttl",
            b"gone",
            b"new",
            b"unsaved",
            b"list",
            b"same-list",
            b"big",
            b"other-big",
            b"retyped",
            b"empty",
            b"other-empty",
        ],
    )
    .await;
    let big = "x".repeat(8_000);
    for command in [
        "MSET same 1 other 1 longer 1 ttl 1 gone 1 unsaved 1 retyped 1",
        "RPUSH list a b c",
        "RPUSH same-list a b c",
        &format!("MSET big {big} other-big {big}"),
    ] {
        bench.send(command).await;
    }
    bench.conn.command(&[b"MSET", b"empty", b"", b"other-empty", b""]).await.unwrap();
    let mut contents = bench.contents().await;
    contents[6] = ExpectedContent::Unsaved;
    assert_eq!(contents[5], ExpectedContent::Absent);
    for command in [
        "SET other 2",
        "APPEND longer 1",
        "EXPIRE ttl 1000",
        "DEL gone",
        "SET new 1",
        "LSET list 1 B",
        "SETRANGE other-big 4000 y",
        "DEL retyped",
        "RPUSH retyped 1",
        "SET other-empty 1",
    ] {
        bench.send(command).await;
    }
    let before = bench.lookups().await;
    let outcomes = vec![
        Deleted, Spared, Spared, Spared, Vanished, Spared, Failed, Spared, Deleted, Deleted, Spared, Spared,
        Deleted, Spared,
    ];
    let GuardReply { verdict, extra_lookups: extra } = bench.answer(&contents).await;
    assert_eq!(verdict, GuardVerdict::Outcomes(outcomes.clone()));
    let texts: Vec<bool> = contents.iter().map(ExpectedContent::is_text).collect();
    let mut reported = guard::lookups(Reason::Stale, false, Some(&texts), &outcomes);
    reported += extra;
    assert_eq!(bench.lookups_since(before).await, reported, "own lookups are counted");
    assert_eq!(bench.there().await, [1, 2, 3, 5, 6, 7, 10, 11, 13]);
    // A repetition with different expected contents and new values: the same outcomes, and no effect.
    bench.send("SET same 1").await;
    assert_eq!(bench.call_with(contents).await, GuardVerdict::Outcomes(outcomes));
    assert_eq!(bench.there().await.len(), 10);
}

async fn what_is_left_to_a_later_call_is_decided_there_and_only_once(backend: Backend) {
    let bench = Bench::new(backend, &[b"a", b"b", b"c", b"d"]).await;
    bench.send("MSET a 1 b 2 c 3 d 4").await;
    let contents = bench.contents().await;
    let first = bench.answer_for(0..1, &contents).await.verdict;
    assert_eq!(first, GuardVerdict::Outcomes(vec![Deleted]));
    assert_eq!(bench.there().await, [1, 2, 3]);
    bench.send("SET c changed").await;
    // An earlier decision is kept, although the key could be deleted now.
    bench.send("SET a 1").await;
    let before = bench.lookups().await;
    let GuardReply { verdict, extra_lookups: extra } = bench.answer_for(1..3, &contents).await;
    assert_eq!(verdict, GuardVerdict::Outcomes(vec![Deleted, Spared]));
    let mut reported = guard::lookups(Reason::Stale, false, Some(&[true, true]), &[Deleted, Spared]);
    reported += extra;
    assert_eq!(bench.lookups_since(before).await, reported);
    assert_eq!(bench.there().await, [0, 2, 3]);
    // Abandoned in the middle: undecided keys fail, and nothing is deleted later.
    let sealed = GuardVerdict::Outcomes(vec![Deleted, Deleted, Spared, Failed]);
    assert_eq!(bench.finalize(Failed).await, sealed);
    assert_eq!(bench.call_with(contents).await, sealed);
    assert_eq!(bench.there().await, [0, 2, 3]);
}

async fn a_ledger_that_was_begun_can_be_recalled(backend: Backend) {
    let bench = Bench::new(backend, &[b"a", b"b"]).await;
    bench.send("MSET a 1 b 2").await;
    let contents = bench.contents().await;
    bench.answer_for(0..1, &contents).await;
    let ledger = backend.ledger(bench.window.batch, 7, bench.group.slot);
    let recalled = guard::read_ledgers(&bench.conn, bench.window.run, &[(ledger, 2)]).await.unwrap();
    assert_eq!(recalled, [Some(GuardVerdict::Partial(vec![Some(Deleted), None]))]);
}

#[tokio::test]
async fn small_strings_are_distinguished_from_other_values() {
    let most = usize::try_from(BACKUP_TEXT_MAX).unwrap();
    let bench =
        Bench::new(Backend::Slot, &[b"small", b"large", b"number", b"empty", b"gone", b"list", b"small too"])
            .await;
    let (small, large) = ("x".repeat(most), "x".repeat(most + 1));
    bench.send(&format!("MSET small {small} large {large} number 12345")).await;
    bench.conn.command(&[b"MSET", b"empty", b"", b"small too", b"\xff\x00"]).await.unwrap();
    bench.send("RPUSH list a").await;
    let keys: Vec<&Key> = bench.group.keys.iter().collect();
    let (found, _) = dump::probe(&bench.conn, &keys).await.unwrap();
    let contents: Vec<Option<ExpectedContent>> = found
        .iter()
        .map(|found| match found {
            ProbedValue::Text(DumpedValue { fingerprint, .. }) => Some(fingerprint.clone()),
            _ => None,
        })
        .collect();
    let of = |text: &[u8]| Some(ExpectedContent::of_text(text));
    let expected = [of(small.as_bytes()), None, of(b"12345"), of(b""), None, None, of(b"\xff\x00")];
    assert_eq!(contents, expected);
    let others = [(1, true), (5, false)];
    for (at, is_text) in others {
        let ProbedValue::Other { text, .. } = found[at] else { panic!("{at}: {:?}", found[at]) };
        assert_eq!(text, is_text, "{at}");
    }
    assert_eq!(found[4], ProbedValue::Gone);
    // A key that changed its type in between does not have the content that was read.
    bench.send("DEL large").await;
    bench.send("RPUSH large a").await;
    let keys = others.map(|(at, text)| (keys[at], text));
    let (values, lookups) = dump::values(&bench.conn, &keys, 1_000).await.unwrap();
    assert!(values[0].is_none() && values[1].is_some());
    assert_eq!(lookups, Lookups { hits: 2, misses: 0, reads: 1 });
}
