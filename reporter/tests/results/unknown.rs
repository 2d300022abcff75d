//! Unknown figures: they are null, and every page states this instead of showing 0.

use keysweep_model::ids::{Alias, BatchId, NodeId, RunId, TaskId};
use keysweep_model::messages::{
    Cancel, CancelKind, Covered, GroupReceipt, HitRateSource, ListedBatch, Lookups, Reason, Receipt, Rules,
    RunSpec, ScanCounts, ScanTask, TaskReport,
};
use keysweep_model::outcome::Outcome;
use keysweep_model::range::{CursorRange, CursorScope, ScanTable, Scope};
use keysweep_model::result::{CleanupResult, Extent, Status};
use keysweep_model::selection::Selection;
use keysweep_storage::history::RunLine;
use keysweep_storage::records::{Decision, Record};
use reporter::hit_rate::CounterSnapshots;
use reporter::printer::{html, markdown, terminal};
use reporter::summary::{Summary, WEEK_MS, summary};
use reporter::{Fold, ResultContext, finish};

use crate::kit::spec;

/// A standalone server of 100 keys in 4 parts, some of which were read before the run was cancelled.
struct Run {
    records: Vec<Record>,
    run: RunId,
    pass: TaskId,
}

impl Run {
    fn standalone() -> Self {
        Self::of(&["*"])
    }

    fn of(patterns: &[&str]) -> Self {
        let run = RunId::new();
        let rules = Rules::deleting(patterns, &[]).unwrap();
        let spec = RunSpec { cluster: false, rules, ..spec(run) };
        Self { records: vec![Record::Spec(Box::new(spec))], run, pass: TaskId::new() }
    }

    /// A task has read 25 keys: 20 with a TTL of 10 s, and 5 stale ones with these outcomes.
    fn read(&mut self, ranges: Vec<CursorRange>, outcomes: &[Outcome]) {
        let (task, batch) = (TaskId::new(), BatchId::new());
        let scope = Scope::Cursors(CursorScope {
            pass: self.pass,
            table: ScanTable::Database,
            ranges: ranges.clone(),
            bits: 2,
            slots: None,
            process: "p".to_owned(),
        });
        let (run, node) = (self.run, NodeId::new("n"));
        let tasks = vec![ScanTask {
            run,
            task,
            alias: Alias::new("main"),
            node: node.clone(),
            scope,
            keys: 25,
            reschedules: 0,
            skip: false,
            scan_generation: 0,
        }];
        let decision = Decision::Tasks { after: None, part: 0, parts: 1, tasks };
        self.records.push(Record::Decision { n: 0, decision });
        self.records.push(Record::Report(Box::new(TaskReport {
            scan_generation: 0,
            replication_id: None,
            verified: false,
            run,
            task,
            node: node.clone(),
            covered: Covered::Ranges { pass: self.pass, slots: None, ranges },
            remainder: Vec::new(),
            lost: None,
            counts: ScanCounts {
                listed: 25,
                scanned: 25,
                stale: 5,
                ttl_sum_ms: 20 * 10_000,
                ..ScanCounts::default()
            },
            batches: vec![ListedBatch { batch, keys: 5, deletes: 5, rule: None, digest: None }],
            long_keys: Vec::new(),
            lookups: Lookups::default(),
            approximate: false,
            statistics: Box::default(),
            pacing: Box::default(),
            source: None,
            namespaces: None,
            rules: Vec::new(),
            rule_examples: Vec::new(),
        })));
        self.records.push(Record::Receipt(Box::new(Receipt {
            scan_generation: 0,
            unreplicated: Vec::new(),
            all: None,
            freed: None,
            ledgers: None,
            run,
            batch,
            node,
            groups: vec![GroupReceipt { slot: 0, reason: Reason::Stale, outcomes: outcomes.to_vec() }],
            lookups: Lookups::default(),
            cause: None,
            pacing: None,
        })));
    }

    fn cancelled(mut self) -> CleanupResult {
        self.records.push(Record::Cancel(Cancel { kind: CancelKind::Asked, cause: "Ctrl-C".to_owned() }));
        self.result()
    }

    fn result(self) -> CleanupResult {
        self.result_after(&[]).0
    }

    /// The result and its line in the history, after these runs.
    fn result_after(self, runs: &[RunLine]) -> (CleanupResult, RunLine) {
        let mut fold = Fold::default();
        self.records.iter().for_each(|record| fold.apply(record));
        let result =
            finish(&fold, &ResultContext { now_ms: 3_000, runs: runs.to_vec(), ..ResultContext::default() })
                .unwrap();
        let line = RunLine::begin(fold.spec().unwrap()).end(&result);
        (result, line)
    }
}

const DELETED: [Outcome; 5] = [Outcome::Deleted; 5];

/// Checks the text around a figure on the three pages.
#[track_caller]
fn check_says(result: &CleanupResult, page: &[&str], report: &[&str]) {
    let text = terminal::page(result, "Cleanup");
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for words in page {
        assert!(text.contains(words), "`{words}` is not in\n{text}");
    }
    let (html, markdown) = (html::page(result, "Cleanup"), markdown::page(result, "Cleanup"));
    for words in report {
        assert!(html.contains(words) && markdown.contains(words), "`{words}` is not in\n{markdown}");
    }
}

#[test]
fn a_run_that_read_nothing_has_no_figures() {
    let result = Run::standalone().cancelled();
    assert_eq!(result.status, Status::Cancelled);
    let now = result.current_metrics;
    assert_eq!((now.total_keys, now.avg_ttl, &result.metrics.growth), (None, None, &None));
    assert_eq!(result.coverage.extent, Some(Extent::Nothing));
    assert_eq!(result.coverage.missing.as_deref(), Some("database 0"));
    assert_eq!(result.nodes[0].read, Some(Extent::Nothing));
    check_says(
        &result,
        &[
            "Matching keys unknown no part was read completely Without TTL unknown no part",
            "Deleted 0 of 0 candidates",
            "Keys now unknown no part was read completely",
            "balanced: 0 candidates: no part was read completely",
            "No part of the database was read completely.",
            "127.0.0.1:1 16,384 – – – – 0",
            "Not covered: database 0",
        ],
        &[
            "Before that, no part was read completely.",
            "No part of the database was read completely.",
            "Unknown: no part was read completely.",
        ],
    );
    let page = markdown::page(&result, "Cleanup");
    for (tile, value) in [
        ("Keys now", "unknown"),
        ("Mean TTL", "unknown"),
        ("Matching keys", "unknown"),
        ("Without TTL", "unknown"),
    ] {
        assert!(page.contains(&format!("| {tile} | {value} | no part was read completely |")), "{page}");
    }
}

#[test]
fn a_run_that_read_a_part_reports_that_part() {
    let mut run = Run::standalone();
    run.read(vec![CursorRange::part(0, 2), CursorRange::part(1, 2)], &DELETED);
    let result = run.cancelled();
    let now = result.current_metrics;
    assert_eq!((now.total_keys, now.avg_ttl, result.scanned_keys), (None, None, 25));
    assert_eq!(result.coverage.extent, Some(Extent::Part));
    assert_eq!(result.coverage.missing.as_deref(), Some("part of database 0"));
    check_says(
        &result,
        &[
            "Keys now unknown not everything was read",
            "Without TTL 5 20.0% of the matching keys",
            "INCOMPLETE: Not all of the database was read.",
            "127.0.0.1:1 16,384 25 25 5 20.0% 5",
            "Not covered: part of database 0",
        ],
        &["not everything was read", "Not all of the database was read."],
    );
}

#[test]
fn keys_left_are_known_unless_a_deletion_is_unconfirmed() {
    let left = |outcome| {
        let mut run = Run::standalone();
        let mut outcomes = DELETED;
        outcomes[4] = outcome;
        run.read(vec![CursorRange::WHOLE], &outcomes);
        run.result()
    };
    // A key whose deletion failed or was not attempted still exists.
    for (outcome, keys) in [
        (Outcome::Deleted, Some(20)),
        (Outcome::Vanished, Some(20)),
        (Outcome::Spared, Some(21)),
        (Outcome::FieldTtl, Some(21)),
        (Outcome::Failed, Some(21)),
        (Outcome::Unreached, Some(21)),
        (Outcome::Unconfirmed, None),
    ] {
        let result = left(outcome);
        assert_eq!(result.current_metrics.total_keys, keys, "{outcome:?}");
        assert_eq!((result.current_metrics.avg_ttl, result.coverage.extent), (Some(10.0), Some(Extent::All)));
    }
    let why = "Keys now unknown some deletions are unconfirmed";
    check_says(
        &left(Outcome::Unconfirmed),
        &[why, "complete: The whole database was read."],
        &["some deletions are unconfirmed"],
    );
    check_says(&left(Outcome::Deleted), &["Keys now 20 matching, after the run Mean TTL 10 s"], &["10 s"]);
}

/// A run that has read everything, 25 keys, and left 20.
fn whole(patterns: &[&str]) -> Run {
    let mut run = Run::of(patterns);
    run.read(vec![CursorRange::WHOLE], &DELETED);
    run
}

#[test]
fn growth_compares_the_same_selection() {
    let (_, user) = whole(&["user:*"]).result_after(&[]);
    let (result, limits) = whole(&["rl:*"]).result_after(std::slice::from_ref(&user));
    assert_eq!(result.metrics.growth, None, "another selection does not count");
    let (result, _) = whole(&["user:*"]).result_after(&[user.clone(), limits]);
    let growth = result.metrics.growth.unwrap();
    assert_eq!((growth.run_id, growth.keys_before, growth.keys_now), (user.run_id, 20, 25));
    let older = RunLine { selection: None, ..user.clone() };
    assert_eq!(whole(&["user:*"]).result_after(&[older]).0.metrics.growth, None, "the selection is unknown");
    assert_eq!(
        (growth.percent, growth.percent_min, growth.percent_max),
        (Some(25.0), Some(25.0), Some(25.0))
    );
    let about = RunLine { total_keys_error: Some(5), ..user.clone() };
    let (result, _) = whole(&["user:*"]).result_after(&[about]);
    let growth = result.metrics.growth.clone().unwrap();
    let third = 200.0 / 3.0;
    assert_eq!((growth.percent, growth.percent_min), (Some(25.0), Some(0.0)), "15 to 25 keys then");
    assert!((growth.percent_max.unwrap() - third).abs() < 1e-9);
    check_says(&result, &[], &["between +0.0% and +66.7% found since the previous run"]);
    let old = RunLine { total_keys_error: None, ..user.clone() };
    assert_eq!(
        whole(&["user:*"]).result_after(&[user.clone(), old]).0.metrics.growth,
        None,
        "approximate before"
    );
    let unknown = RunLine { total_keys: None, ..user.clone() };
    assert_eq!(whole(&["user:*"]).result_after(&[unknown]).0.metrics.growth, None);
    let mut cancelled = Run::of(&["user:*"]);
    cancelled.read(vec![CursorRange::part(0, 2)], &DELETED);
    cancelled.records.push(Record::Cancel(Cancel { kind: CancelKind::Asked, cause: "Ctrl-C".to_owned() }));
    assert_eq!(cancelled.result_after(&[user]).0.metrics.growth, None, "a partial run does not count");
}

#[test]
fn a_week_is_summarized_for_the_same_selection() {
    let samples = CounterSnapshots::new(&[], "job", &HitRateSource::Redis);
    let week = |runs: &[RunLine], selection: Option<&Selection>| {
        summary(runs, selection, &[], &samples, WEEK_MS, 10_000)
    };
    let none = week(&[], None);
    assert_eq!((none.stale_ttl_keys_max, none.total_keys, none.growth_percent), (None, None, None));
    let failed = RunLine::failed(RunId::new(), "job", &Alias::new("main"), 1, "no answer");
    assert_eq!(week(&[failed], None).stale_ttl_keys_max, None, "it read nothing");
    let line = |patterns: &[&str], keys, stale| {
        let (_, line) = whole(patterns).result_after(&[]);
        RunLine { total_keys: Some(keys), stale_ttl_keys: stale, ..line }
    };
    let runs = [line(&["user:*"], 100, 7), line(&["rl:*"], 400, 90), line(&["user:*"], 125, 5)];
    let (users, limits) = (runs[0].selection.clone(), runs[1].selection.clone());
    let figures = |week: Summary| (week.runs, week.stale_ttl_keys_max, week.total_keys, week.growth_percent);
    let of_users = (3, Some(7), Some(125), Some(25.0));
    assert_eq!(figures(week(&runs, None)), of_users, "the selection of the last run");
    assert_eq!(figures(week(&runs, users.as_ref())), of_users);
    assert_eq!(figures(week(&runs, limits.as_ref())), (3, Some(90), Some(400), Some(0.0)));
    let mut about = runs.clone();
    about[0].total_keys_error = Some(25);
    let week_of = week(&about, users.as_ref());
    let bounds = (week_of.growth_percent, week_of.growth_percent_min);
    assert_eq!(bounds, (Some(25.0), Some(0.0)), "75 to 125 keys then");
    about[0].total_keys_error = None;
    assert_eq!(figures(week(&about, users.as_ref())), (3, Some(7), Some(125), None), "the error is unknown");
    let older = runs.map(|line| RunLine { selection: None, ..line });
    assert_eq!(figures(week(&older, None)), (3, None, None, None));
    assert_eq!(figures(week(&older, users.as_ref())), (3, None, None, None));
}
