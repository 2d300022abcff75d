//! Alerts over runs and samples: each is raised once, keeps firing, and is resolved once, at the right times.

use std::fs;
use std::path::Path;

use keysweep_model::counters::{CommandCounts, NodeCounters};
use keysweep_model::ids::{Alias, NodeId, RunId};
use keysweep_model::messages::{HitRateSource, Lookups, Rules};
use keysweep_model::metrics::HitRateWindow;
use keysweep_model::result::Status;
use keysweep_model::selection::Selection;
use keysweep_model::time::rfc3339;
use keysweep_storage::alerts::{AlertStore, AlertTransition};
use keysweep_storage::counter_snapshot::{CounterSnapshot, RunReads, SnapshotPhase};
use keysweep_storage::history::RunLine;
use reporter::alerts::{AlertState, ConditionInput, conditions, evaluate, names};
use reporter::hit_rate::CounterSnapshots;

const HOUR_MS: u64 = 3_600_000;

fn run(status: Status, stale: u64) -> RunLine {
    let line = RunLine::failed(RunId::new(), "j", &Alias::new("main"), 0, "no answer");
    RunLine { status: Some(status), stale_ttl_keys: stale, stale_unprotected_keys: Some(stale), ..line }
}

fn state(runs: &[RunLine], window: Option<&HitRateWindow>, alert: &str) -> AlertState {
    let samples = CounterSnapshots::new(&[], "j", &HitRateSource::Redis);
    let all = conditions(&ConditionInput { runs, samples: &samples, window, active: &[], rules: None });
    all.into_iter().find(|condition| condition.alert == alert).unwrap().state
}

fn sentence(state: AlertState) -> String {
    match state {
        AlertState::Firing { message: sentence, evidence } => {
            assert!(evidence.contains_key("limit"), "{sentence}: no limit in the evidence");
            sentence
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn two_failed_runs_in_a_row() {
    use Status::{Cancelled, Completed, Failed, Partial};
    let of = |statuses: &[Status]| {
        let runs: Vec<RunLine> = statuses.iter().map(|status| run(*status, 0)).collect();
        state(&runs, None, "failed-runs")
    };
    assert_eq!(of(&[]), AlertState::Resolved);
    assert_eq!(of(&[Completed, Failed]), AlertState::Resolved);
    assert_eq!(of(&[Failed, Completed, Failed]), AlertState::Resolved);
    assert_eq!(of(&[Failed, Failed, Partial]), AlertState::Resolved);
    assert_eq!(sentence(of(&[Completed, Failed, Failed])), "2 runs in a row have failed: no answer");
    assert_eq!(sentence(of(&[Failed, Cancelled, Failed, Failed])), "3 runs in a row have failed: no answer");
}

#[test]
fn more_than_ten_stale_keys() {
    let of = |runs: &[RunLine]| state(runs, None, "stale-keys");
    assert_eq!(of(&[]), AlertState::Unknown);
    assert_eq!(of(&[run(Status::Completed, 99), run(Status::Completed, 10)]), AlertState::Resolved);
    assert_eq!(
        sentence(of(&[run(Status::Partial, 11)])),
        "Found 11 keys without TTL in one run (more than 10)"
    );
    let partial = run(Status::Partial, 10);
    assert_eq!(of(std::slice::from_ref(&partial)), AlertState::Unknown, "unread parts may contain more");
    assert_eq!(
        of(&[RunLine { total_keys: Some(99), ..partial }]),
        AlertState::Resolved,
        "everything was read"
    );
    let failed_since = [run(Status::Completed, 11), run(Status::Failed, 0)];
    assert!(matches!(of(&failed_since), AlertState::Firing { .. }), "a failed run has read nothing");
    let protected = |keys| RunLine { stale_unprotected_keys: keys, ..run(Status::Completed, 500) };
    assert_eq!(of(&[protected(Some(10))]), AlertState::Resolved, "protected keys do not count");
    assert_eq!(of(&[protected(None)]), AlertState::Unknown, "a line of an earlier version");
    let dry = RunLine { dry_run: true, ..protected(Some(11)) };
    assert!(sentence(of(&[dry])).starts_with("Found 11 keys"), "a dry run counts, too");
}

#[test]
fn the_stale_keys_alert_uses_runs_with_the_same_selection() {
    let samples = CounterSnapshots::new(&[], "j", &HitRateSource::Redis);
    let of = |patterns: &[&str], stale| {
        let rules = Rules::deleting(patterns, &[]).unwrap();
        RunLine {
            selection: Some(Selection::of(&Alias::new("main"), 0, &rules)),
            ..run(Status::Completed, stale)
        }
    };
    let (users, limits) = (|stale| of(&["user:*"], stale), |stale| of(&["rl:*"], stale));
    let (mut book, mut runs) = (AlertStore::default(), Vec::new());
    let mut holds = |line: RunLine| {
        runs.push(line);
        let view = ConditionInput {
            runs: &runs,
            samples: &samples,
            window: None,
            active: &book.active,
            rules: None,
        };
        book = evaluate(book.clone(), "j", &conditions(&view), Some(runs.last().unwrap().run_id), 1);
        book.active.iter().map(|alert| alert.message.clone()).next()
    };
    let found = |n| Some(format!("Found {n} keys without TTL in one run (more than 10)"));
    assert_eq!(holds(users(40)), found(40));
    assert_eq!(holds(limits(0)), found(40), "runs of other keys do not count");
    assert_eq!(holds(limits(70)), found(40));
    assert_eq!(holds(RunLine { dry_run: true, ..users(41) }), found(41), "the action does not matter");
    assert_eq!(holds(users(0)), None);
    // Other patterns permanently: after ten runs they are the job's selection.
    assert_eq!(holds(limits(70)), found(70));
    for _ in 0..9 {
        assert_eq!(holds(users(0)), found(70));
    }
    assert_eq!(holds(users(0)), None);
    // With a schedule, the scheduled selection is the job's.
    assert_eq!(holds(RunLine { scheduled: true, ..users(12) }), found(12));
    assert_eq!(holds(limits(0)), found(12));
    assert_eq!(holds(RunLine { scheduled: true, ..limits(0) }), None, "the job was changed");
    assert_eq!(holds(users(99)), None, "started by hand");
}

#[test]
fn errors_above_one_percent() {
    let of = |hits, errors| {
        state(
            &[],
            Some(&HitRateWindow { hits: Some(hits), errors, ..HitRateWindow::default() }),
            "errors-high",
        )
    };
    assert_eq!(of(1_000, None), AlertState::Unknown);
    assert_eq!(of(1_000, Some(10)), AlertState::Resolved);
    assert_eq!(of(10, Some(9)), AlertState::Resolved, "too few to be significant");
    assert_eq!(sentence(of(1_000, Some(11))), "Cache errors are above 1% of hits (11 errors vs 1000 hits)");
    assert_eq!(of(0, Some(0)), AlertState::Resolved);
    assert_eq!(state(&[], None, "errors-high"), AlertState::Unknown);
}

#[test]
fn a_success_rate_below_99_percent() {
    let of = |completed: usize, failed: usize| {
        let scheduled = |status| RunLine { scheduled: true, ..run(status, 0) };
        let mut runs: Vec<RunLine> = (0..completed).map(|_| scheduled(Status::Completed)).collect();
        runs.extend((0..failed).map(|_| scheduled(Status::Failed)));
        // Started manually, with a mistyped address.
        runs.push(run(Status::Failed, 0));
        state(&runs, None, "success-rate-low")
    };
    assert_eq!(of(0, 0), AlertState::Unknown);
    assert_eq!(of(99, 1), AlertState::Resolved);
    assert_eq!(sentence(of(98, 2)), "98.0% of the last 100 scheduled runs have completed (below 99%)");
    assert_eq!(sentence(of(18, 2)), "90.0% of the last 20 scheduled runs have completed (below 99%)");
    assert_eq!(of(0, 19), AlertState::Unknown);
}

#[test]
fn an_alert_is_raised_once_and_resolved_once() {
    let samples = CounterSnapshots::new(&[], "j", &HitRateSource::Redis);
    let mut book = AlertStore::default();
    let mut step = |stale, now_ms| {
        let runs = [run(Status::Completed, stale)];
        book = evaluate(
            book.clone(),
            "j",
            &conditions(&ConditionInput {
                runs: &runs,
                samples: &samples,
                window: None,
                active: &[],
                rules: None,
            }),
            Some(runs[0].run_id),
            now_ms,
        );
        (book.active.clone(), std::mem::take(&mut book.outbox))
    };
    assert_eq!(step(10, 1).0, []);
    let (active, sent) = step(25, 2_000);
    assert_eq!((active.len(), sent.len(), sent[0].change), (1, 1, AlertTransition::Raised));
    assert_eq!((active[0].alert.as_str(), active[0].since.as_str()), ("stale-keys", "1970-01-01T00:00:02Z"));
    let (again, sent) = step(30, 3_000);
    assert_eq!((again[0].id, &again[0].since, sent), (active[0].id, &active[0].since, vec![]));
    assert!(again[0].message.contains("Found 30 keys"), "the figures are current");
    let (none, sent) = step(0, 4_000);
    assert_eq!(
        (none.len(), sent.len(), sent[0].change, sent[0].alert.id),
        (0, 1, AlertTransition::Resolved, active[0].id)
    );
    assert_ne!(step(99, 5_000).0[0].id, active[0].id, "a new alert has a new id");
}

/// A slow reporter has an older run than the one evaluated last.
#[test]
fn an_older_run_changes_nothing() {
    let (older, newer) = (RunId::new(), RunId::new());
    let holds = |holds: bool| {
        let samples = CounterSnapshots::new(&[], "j", &HitRateSource::Redis);
        let runs = [run(Status::Completed, if holds { 99 } else { 0 })];
        conditions(&ConditionInput { runs: &runs, samples: &samples, window: None, active: &[], rules: None })
    };
    let raised = evaluate(AlertStore::default(), "j", &holds(true), Some(older), 1_000);
    let resolved = evaluate(raised, "j", &holds(false), Some(newer), 2_000);
    let late = evaluate(resolved.clone(), "j", &holds(true), Some(older), 3_000);
    assert_eq!((late.active.len(), late.outbox.len(), &late), (0, 2, &resolved));
    assert_eq!(evaluate(late, "j", &holds(true), Some(newer), 4_000).outbox.len(), 3);
}

#[test]
fn all_alerts_have_their_names_in_the_list() {
    let samples = CounterSnapshots::new(&[], "j", &HitRateSource::Redis);
    let all =
        conditions(&ConditionInput { runs: &[], samples: &samples, window: None, active: &[], rules: None });
    // Those about single rules follow: `rule_alerts.rs`.
    let expected: Vec<&str> = names().into_iter().filter(|name| !name.starts_with("rule-")).collect();
    assert_eq!(all.iter().map(|condition| condition.alert).collect::<Vec<_>>(), expected);
}

/// The documents list these alerts and no others.
#[test]
fn the_documents_list_all_alerts() {
    let page = |name| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
        fs::read_to_string(path).expect("it is part of the checkout")
    };
    let quoted = |text: &str| text.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    let (events, metrics) = (page("events.md"), page("cache-metrics.md"));
    let row = events.lines().find_map(|line| line.strip_prefix("| `alert` | `failed-runs`")).expect("a row");
    assert_eq!(quoted(&format!("`failed-runs`{row}")), names());
    let (_, table) = metrics.split_once("\n## Alerts\n").expect("a section");
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    assert_eq!(rows.collect::<Vec<_>>(), names());
}

/// Thirty days of samples of a cache whose rate falls and recovers.
#[test]
fn the_hit_rate_alert_fires_after_24_hours() {
    // Every 20 minutes. Low from day 3, 10:00 to day 5, 07:40, with one good sample at day 3, 20:00, that restarts the
    // interval; without traffic for five hours of day 4, which does not; and low for 23:40 hours on day 20.
    let every = HOUR_MS / 3;
    let at = |day: u64, hour: u64, minute: u64| (day * 24 + hour) * HOUR_MS + minute * 60_000;
    let is_low = |ms: u64| {
        (at(3, 10, 0) < ms && ms <= at(5, 7, 40) && ms != at(3, 20, 0))
            || (at(20, 0, 0) < ms && ms <= at(20, 23, 40))
    };
    let is_idle = |ms: u64| at(4, 1, 0) < ms && ms <= at(4, 6, 0);
    let (mut samples, mut counted, mut book, mut log) =
        (Vec::new(), Lookups::default(), AlertStore::default(), Vec::new());
    for n in 0..30 * 24 * 3 {
        let now_ms = n * every;
        if !is_idle(now_ms) {
            let hits = if is_low(now_ms) { 49 } else { 80 };
            counted += Lookups::of(hits, 100 - hits);
        }
        samples.push(CounterSnapshot {
            job: "j".to_owned(),
            redis: Alias::new("main"),
            run_id: None,
            phase: SnapshotPhase::Between,
            at_ms: now_ms,
            nodes: vec![NodeCounters {
                node: NodeId::new("n"),
                process: "p".to_owned(),
                uptime_s: now_ms / 1_000,
                lookups: counted,
                commands: Some(CommandCounts::default()),
                own_before: Lookups::default(),
                own_after: Lookups::default(),
                keys: 0,
                without_ttl: None,
                removals: None,
            }],
            application: None,
            memory_usage_percent: None,
            used_memory_bytes: None,
            latency: None,
            reads: RunReads::Nothing,
        });
        // Only the last nine days are needed.
        let recent = &samples[samples.len().saturating_sub(9 * 24 * 3)..];
        let view = CounterSnapshots::new(recent, "j", &HitRateSource::Redis);
        let conditions =
            conditions(&ConditionInput { runs: &[], samples: &view, window: None, active: &[], rules: None });
        book = evaluate(book, "j", &conditions, None, now_ms);
        for notice in book.outbox.drain(..) {
            log.push((notice.alert.alert, notice.change, rfc3339(notice.at_ms)));
        }
    }
    let expected = [
        ("hit-rate-low".to_owned(), AlertTransition::Raised, rfc3339(at(4, 20, 0))),
        ("hit-rate-low".to_owned(), AlertTransition::Resolved, rfc3339(at(5, 8, 0))),
    ];
    assert_eq!(log, expected);
}
