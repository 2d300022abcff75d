//! A service without NATS through a month, in a minute: the clock of its process is set forward, from one due time to the
//! next, and the servers and the disk are real. It has a process of its own, because the whole process has that clock.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use coordinator::options::Options;
use coordinator::schedule::JobSchedule;
use coordinator::serve::ServedJob;
use jiff::civil::{Date, date};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use keysweep_config::{Environment, FlagLayer, JobFile, resolve};
use keysweep_model::result::Status;
use keysweep_model::time;
use keysweep_redis::ConnectOptions;
use keysweep_servers::Server;
use keysweep_state::{AuditQuery, StateFile};
use keysweep_storage::alerts;
use keysweep_storage::history::{self, RunLine};
use keysweep_storage::store::Store;
use keysweep_testkit::kit;
use keysweep_testkit::kit::service::{self, ServiceHere};
use reporter::summary::Summary;

/// Stale keys before each due time.
const KEYS: usize = 100;

/// Days of the test. Summer time ends in this month, on the 28th.
const FIRST: Date = date(2040, 10, 8);
const DAYS: i64 = 30;

/// The service is stopped at the first hour, and started again at the second one: three runs are due in between.
const DOWN: [i64; 2] = [12 * 24 + 17, 13 * 24 + 7];

/// Before the run of this hour, no stale keys are written.
const CLEAN: i64 = 16 * 24 + 12;

/// A month of one job.
struct Month {
    service: ServiceHere,
    access: ConnectOptions,
}

impl Month {
    fn new(server: &Server) -> Self {
        let text = format!(
            "[redis.main]\nurls = [\"redis://127.0.0.1:{}\"]\n[[job]]\nname = \"nightly\"\n\
             patterns = [\"permissions:*\"]\nschedule = \"30 */6 * * *\"\ntimezone = \"Europe/Berlin\"\n\
             grace = \"0s\"\nmax_delete_percent = 100\nmax_speed = true\nsample_every = \"6h\"\ncatch_up = true\n\
             state_dir = \"none\"\ngenerate_report = false\n",
            server.port(),
        );
        let file = JobFile::parse(Path::new("keysweep.toml"), &text).unwrap();
        let settings = resolve(&FlagLayer::default(), &Environment::default(), Some(&file)).unwrap();
        let options = Options::from_settings(&settings).unwrap();
        let job = ServedJob {
            schedule: JobSchedule::of(&settings).unwrap(),
            sample_every: settings.sample_every.value,
            catch_up: settings.catch_up.value,
            ..service::job(&options)
        };
        Self { service: ServiceHere::new(job), access: options.access }
    }

    async fn seed(&self, round: i64) {
        let keys: Vec<Vec<u8>> = (0..KEYS).map(|n| format!("permissions:{round}:{n}").into_bytes()).collect();
        kit::keys::ask(&self.access, "INCR", &keys).await;
    }
}

async fn until(what: &str, reached: impl AsyncFn() -> bool) {
    let began = Instant::now();
    while !reached().await {
        assert!(began.elapsed() < Duration::from_secs(60), "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Entries below `prefix`, as text.
async fn entries(file: &StateFile, prefix: &str) -> Vec<(String, String)> {
    let (store, mut revision, mut found) = (file.store(""), 0, Vec::new());
    while let Some(entry) = store.next_after(prefix, revision).await.unwrap() {
        revision = entry.revision;
        found.push((entry.key, String::from_utf8(entry.value).unwrap()));
    }
    found
}

fn started(line: &RunLine) -> Timestamp {
    line.started_at.parse().unwrap()
}

fn finished(line: &RunLine) -> Timestamp {
    line.finished_at.as_ref().unwrap().parse().unwrap()
}

#[test]
fn a_month_of_schedules_samples_summaries_and_retention() {
    super::in_own_process("calendar::month");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "sets the clock of its process: a_month_of_schedules_samples_summaries_and_retention runs it"]
async fn month() {
    let server = Server::start(&[]).await.unwrap();
    let mut month = Month::new(&server);
    let zone = TimeZone::get("Europe/Berlin").unwrap();
    let begin = FIRST.to_zoned(zone.clone()).unwrap().timestamp();
    time::set(begin);
    let file = month.service.file();
    month.service.start();
    let (mut due, mut seeded) = (0, 0);
    for hour in 0..DAYS * 24 {
        let now = begin + SignedDuration::from_hours(hour);
        // Half an hour after midnight, 6, 12 and 18 o'clock in Berlin, which is not the number of hours since the start.
        let is_due = now.to_zoned(zone.clone()).hour() % 6 == 0;
        if !is_due && !DOWN.contains(&hour) {
            continue;
        }
        let is_down = (DOWN[0]..DOWN[1]).contains(&hour);
        if hour == DOWN[0] {
            time::set(now);
            month.service.stop().await;
        }
        if is_due && hour != CLEAN || hour == DOWN[1] {
            month.seed(hour).await;
            seeded += KEYS;
        }
        time::set(now + SignedDuration::from_mins(45));
        if hour == DOWN[1] {
            month.service.start();
        }
        if is_due && !is_down || hour == DOWN[1] {
            due += 1;
            let ended = async || {
                let runs = month.service.runs().await;
                runs.len() == due && runs.iter().all(|line| line.status.is_some())
            };
            until(&format!("run {due}, due at {now}"), ended).await;
            // Its end is recorded before its lock is freed.
            let freed = async || kit::keys::matching(&month.access, "keysweep:*").await.is_empty();
            until("the lock is free", freed).await;
            let alert = (hour != CLEAN).then_some("stale-keys");
            until("the alert", async || firing(&file).await.keys().map(String::as_str).eq(alert)).await;
        }
        if hour == DOWN[1] {
            missed_due_times_are_one_run(&file).await;
        }
        if !is_down {
            let key = format!("samples/main/nightly/at-{}", now.as_second() / 21_600);
            let store = file.store("");
            until(&key, async || store.get(&key).await.unwrap().is_some()).await;
        }
    }
    month.service.stop().await;
    let runs = month.service.runs().await;
    assert_eq!(runs.len(), due);
    assert!(runs.iter().all(|line| line.status == Some(Status::Completed)), "{runs:#?}");
    assert_eq!(runs.iter().map(|line| line.cleaned_keys).sum::<u64>(), seeded as u64);
    schedules_follow_the_local_time(&runs, &zone);
    names_are_kept_for_a_week(&file, &runs).await;
    weeks_have_summaries(&file, &runs).await;
    the_alert_fires_since_the_run_after_the_clean_one(&file, &runs).await;
}

/// The alerts that are firing, with the times since when.
async fn firing(file: &StateFile) -> BTreeMap<String, Timestamp> {
    let stored = alerts::next_after(&file.store(""), 0).await.unwrap();
    let active = stored.into_iter().flat_map(|(_, stored, _)| stored.active);
    active.map(|alert| (alert.alert, alert.since.parse().unwrap())).collect()
}

async fn the_alert_fires_since_the_run_after_the_clean_one(file: &StateFile, runs: &[RunLine]) {
    let clean = runs.iter().position(|line| line.stale_ttl_keys == 0).unwrap();
    let raised = finished(&runs[clean + 1]);
    let since = firing(file).await["stale-keys"];
    assert!((raised..raised + SignedDuration::from_mins(1)).contains(&since), "{since}, not {raised}");
}

/// Four runs on each day, at the same local times before and after the end of summer time.
fn schedules_follow_the_local_time(runs: &[RunLine], zone: &TimeZone) {
    let mut days: BTreeMap<Date, Vec<i8>> = BTreeMap::new();
    for line in runs {
        let local = started(line).to_zoned(zone.clone());
        days.entry(local.date()).or_default().push(local.hour());
    }
    let down = FIRST + 12.days();
    for day in FIRST.series(1.day()).take(DAYS as usize) {
        let expected = match day {
            day if day == down => vec![0, 6, 12],
            // 18:30 and 0:30 were missed, and 6:30 too: the service starts at 7:45.
            day if day == down + 1.day() => vec![7, 12, 18],
            _ => vec![0, 6, 12, 18],
        };
        assert_eq!(days[&day], expected, "{day}");
    }
}

/// Those of 18:30, 0:30 and 6:30.
async fn missed_due_times_are_one_run(file: &StateFile) {
    let missed = entries(file, "events/nightly/missed/").await;
    let [(_, event)] = missed.as_slice() else { panic!("{missed:?}") };
    let event: serde_json::Value = serde_json::from_str(event).unwrap();
    let (count, first) = (&event["data"]["count"], &event["data"]["first"]);
    assert_eq!((count, first), (&3.into(), &"2040-10-20T16:30:00Z".into()), "{event:#}");
    let last = history::read(&file.store("")).await.unwrap().pop().unwrap();
    assert_eq!(last.cleaned_keys, 4 * KEYS as u64, "what was left while the service was down");
}

/// The names of deleted keys are those of the last seven days; events, too.
async fn names_are_kept_for_a_week(file: &StateFile, runs: &[RunLine]) {
    let last = started(runs.last().unwrap());
    let week = last - SignedDuration::from_hours(7 * 24);
    let since = |time: Timestamp| -> BTreeSet<String> {
        runs.iter().filter(|line| started(line) > time).map(|line| line.run_id.to_string()).collect()
    };
    let rows = file.search(AuditQuery { limit: 100_000, ..AuditQuery::default() }).await.unwrap();
    let named: BTreeSet<String> = rows.iter().map(|row| row.run.clone()).collect();
    // The run of just a week ago may be on either side.
    let hour = SignedDuration::from_hours(1);
    assert!(named.is_superset(&since(week + hour)) && named.is_subset(&since(week - hour)), "{named:?}");
    assert!(
        named.len() >= 27 && rows.len() == named.len() * KEYS,
        "{} keys of {} runs",
        rows.len(),
        named.len()
    );
    for (key, value) in entries(file, "events/").await {
        let event: serde_json::Value = serde_json::from_str(&value).unwrap();
        let at: Timestamp = event["time"].as_str().unwrap().parse().unwrap();
        assert!(at >= week - SignedDuration::from_hours(1), "{key} of {at}");
    }
}

/// One for each week that has ended, with the runs of that week.
async fn weeks_have_summaries(file: &StateFile, runs: &[RunLine]) {
    let summaries = entries(file, "summaries/nightly/").await;
    let mondays: Vec<&str> = summaries.iter().map(|(key, _)| &key["summaries/nightly/".len()..]).collect();
    // By UTC, the first sample is of a Sunday.
    assert_eq!(mondays, ["2040-10-08", "2040-10-15", "2040-10-22", "2040-10-29", "2040-11-05"]);
    for (key, text) in &summaries {
        let week: Summary = serde_json::from_str(text).unwrap();
        let (from, to): (Timestamp, Timestamp) = (week.from.parse().unwrap(), week.to.parse().unwrap());
        let of_week = || runs.iter().filter(|line| finished(line) > from && finished(line) <= to);
        assert_eq!(
            (week.runs, week.completed, week.failed),
            (of_week().count() as u64, week.runs, 0),
            "{key}"
        );
        assert_eq!(week.cleaned_keys, of_week().map(|line| line.cleaned_keys).sum::<u64>(), "{key}");
    }
}
