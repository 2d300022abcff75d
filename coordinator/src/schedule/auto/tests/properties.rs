//! What holds for any past: bounds and quiet windows are kept, and equal pasts give equal decisions.

use proptest::prelude::*;

use super::*;
use crate::schedule::parse;

/// Any past: runs with pauses of up to three days, counts of keys that need not fit them.
fn any_runs() -> impl Strategy<Value = Vec<PastRun>> {
    let lesson = prop_oneof![
        6 => (0_u64..1_000_000).prop_map(Lesson::Found),
        1 => Just(Lesson::Failed),
        1 => Just(Lesson::Nothing),
        1 => Just(Lesson::InProgress),
    ];
    let count = || (any::<bool>(), 0_u64..2_000_000, 1_u64..3);
    let run = (1_u64..259_200, 0_u64..7_200, lesson, count(), count());
    prop::collection::vec(run, 0..30).prop_map(|runs| {
        let mut at = noon();
        runs.into_iter()
            .map(|(pause, took, lesson, before, left)| {
                let started = at + Duration::from_secs(pause);
                let ended = started + Duration::from_secs(took);
                at = ended;
                let counted = |at: Timestamp, (known, without_ttl, servers): (bool, u64, u64)| {
                    known.then_some(KeyCount { at, keys: 2_000_000, without_ttl, servers })
                };
                PastRun {
                    started,
                    ended,
                    lesson,
                    before: counted(started, before),
                    after: counted(ended, left),
                    usage_after: Some(60.0),
                }
            })
            .collect()
    })
}

fn any_quiet() -> impl Strategy<Value = QuietWindows> {
    let window =
        (0_usize..7, 0_usize..7, 0_u16..24, 0_u16..24).prop_filter_map("a length", |(a, b, from, to)| {
            let days = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
            (from != to).then(|| format!("{}-{} {from:02}:00-{to:02}:30", days[a], days[b]))
        });
    let zone = prop_oneof![Just("UTC"), Just("Europe/Berlin"), Just("America/New_York")];
    (prop::collection::vec(window, 0..3), zone).prop_filter_map("time for runs", |(texts, zone)| {
        let zone = parse::zone(zone).unwrap();
        if texts.is_empty() {
            Some(QuietWindows::none())
        } else {
            QuietWindows::parse(&texts.join(";"), zone).ok()
        }
    })
}

fn any_bounds() -> impl Strategy<Value = Bounds> {
    let cost = prop_oneof![Just(None), (1_u64..1_000_000).prop_map(Some)];
    (60_u64..7_200, 1_u64..100, prop_oneof![Just(None), (1_u64..1_000_000).prop_map(Some)], cost, any_quiet())
        .prop_map(|(min_s, times, max_stale, run_cost, quiet)| {
            let min_interval = Duration::from_secs(min_s);
            Bounds {
                min_interval,
                max_interval: min_interval.saturating_mul(times as u32),
                max_stale,
                run_cost,
                quiet,
            }
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_decision_is_within_its_bounds_and_outside_quiet_windows(
        runs in any_runs(),
        bounds in any_bounds(),
        since in 0_u64..259_200,
        latest in (any::<bool>(), 0_u64..2_000_000, 0_u64..7_200),
        usage in prop::option::of((0.0_f64..100.0, -0.1_f64..0.1)),
        previous in prop_oneof![Just(None), (1_u64..1_000_000).prop_map(|s| Some(Duration::from_secs(s)))],
    ) {
        let now = runs.last().map_or(noon(), |run| run.ended) + Duration::from_secs(since);
        let (known, without_ttl, age) = latest;
        let at = now - Duration::from_secs(age);
        let latest = known.then_some(KeyCount { at, keys: 2_000_000, without_ttl, servers: 1 });
        let memory = usage.map(|(percent, per_second)| Trend { at, percent, per_second });
        let next_look = Duration::from_secs(60);
        let of = Situation { now, job: "nightly", latest, runs: &runs, previous, memory, next_look };
        let decision = next(&of, &bounds);
        prop_assert_eq!(&decision, &next(&of, &bounds));
        prop_assert!((bounds.min_interval..=bounds.max_interval).contains(&decision.interval.time));
        // It starts at this time.
        let starts = decision.at.max(now);
        prop_assert!(!bounds.quiet.contains(starts), "{starts} in {}", bounds.quiet);
        if let Some(last) = runs.last() {
            prop_assert!(starts >= last.started + bounds.min_interval, "{decision:?}");
            let moved = decision.moved_by == Some(Moved::AfterQuiet);
            prop_assert!(moved || decision.at <= last.started + bounds.max_interval, "{decision:?}");
        }
        // A second service that looks a little later starts the same run.
        let later = next(&Situation { now: now + Duration::from_secs(1), ..of }, &bounds);
        prop_assert!(decision.at > now || decision.last_run.is_none() || later.at == decision.at || later.moved_by.is_some());
        prop_assert!(!explain::sentence(&decision, now).is_empty());
    }
}
