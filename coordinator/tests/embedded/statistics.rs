//! A run's figures on TTLs and prefixes, compared with the exact values key by key.

use std::collections::BTreeMap;
use std::time::Instant;

use coordinator::options::Options;
use keysweep_model::glob::Pattern;
use keysweep_model::memory::{ByteEstimate, DEVIATIONS};
use keysweep_model::messages::{Action, Measure};
use keysweep_model::metrics::Heaviest;
use keysweep_model::result::{CleanupResult, Status};
use keysweep_servers::Seeder;
use keysweep_testkit::kit;

/// Keys with prefixes of very different weight: of `prefixes`, the n-th has a share of 1/(n+1). Every seventh key has
/// no TTL.
async fn seed(options: &Options, keys: u64, prefixes: u64) -> BTreeMap<String, (u64, u64)> {
    let mut seeder = Seeder::open(&options.access).await.unwrap();
    let mut truth: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    let mut rng = kit::seeded(7);
    for n in 0..keys {
        let prefix = ((prefixes as f64).powf(rng.f64()) - 1.0) as u64;
        let prefix = format!("permissions:{prefix}:");
        let stale = n % 7 == 0;
        // From one to thirty hours, unevenly.
        let ttl_ms = 3_600_000 + (rng.f64().powi(3) * 29.0 * 3_600_000.0) as u64;
        let key = format!("{prefix}{n}");
        seeder.set(key.as_bytes(), b"a value of some length", (!stale).then_some(ttl_ms)).await.unwrap();
        let (all, without) = truth.entry(prefix).or_default();
        *all += 1;
        *without += u64::from(stale);
    }
    seeder.finish().await.unwrap();
    truth
}

fn check_list(list: &Heaviest, truth: impl Fn(&str) -> u64, total: u64, what: &str) {
    assert!(list.rows.len() >= 5, "{what}: {} rows", list.rows.len());
    assert_eq!(list.total, total, "{what} in all");
    let error_max = list.error_max.unwrap();
    assert!(error_max <= total / 50, "{what}: off by up to {error_max} of {total}");
    for row in &list.rows {
        let exact = truth(&row.prefix);
        let shown = row.low..=row.high.unwrap();
        assert!(shown.contains(&exact), "{what} of {}: {exact} is not in {shown:?}", row.prefix);
    }
}

/// What each of `names` takes, and whether it has no TTL.
async fn sizes(options: &Options, names: &[Vec<u8>]) -> BTreeMap<String, (u64, bool)> {
    let bytes = kit::keys::ask(&options.access, "MEMORY USAGE", names).await;
    let ttls = kit::keys::ask(&options.access, "PTTL", names).await;
    let sizes = names.iter().zip(bytes.into_iter().zip(ttls));
    sizes
        .map(|(n, (bytes, ttl))| (String::from_utf8(n.clone()).unwrap(), (bytes as u64, ttl == -1)))
        .collect()
}

/// Whether all that `result` says of memory holds: exactly, in a run that measures every key. All stale keys are gone.
fn check_memory(result: &CleanupResult, sizes: &BTreeMap<String, (u64, bool)>) {
    let sum = |prefix: &str, stale: bool| {
        let of =
            sizes.iter().filter(|(name, (_, is_stale))| name.starts_with(prefix) && (*is_stale || !stale));
        of.map(|(_, (bytes, _))| bytes).sum::<u64>()
    };
    let lists = &result.metrics.prefixes;
    for (list, stale) in [(&lists.by_memory, false), (&lists.by_freed, true)] {
        let whole = sizes.len() <= 150_000;
        let truth = sum("", stale);
        println!("{truth} in all: reported {} to {:?}", list.low, list.high);
        assert!(is_within(truth, list.low, list.total, list.high), "{truth}: {list:?}");
        assert!(!list.rows.is_empty());
        for row in &list.rows {
            let truth = sum(&row.prefix, stale);
            assert!(is_within(truth, row.low, row.weight, row.high), "{truth}: {row:?}");
            assert!(row.samples >= 10, "{row:?}");
            assert!(!whole || row.high.is_some(), "{truth}: {row:?}");
        }
        let group = list.rows.iter().find(|row| row.prefix == "permissions:").unwrap();
        assert!(list.rows.iter().all(|row| row.weight <= group.weight && row.high <= group.high));
        assert!(!whole || list.high == Some(list.low) && group.high == Some(group.low), "{list:?}");
    }
    let freed = result.freed_bytes.unwrap();
    assert!(is_within(sum("", true), freed.low, freed.estimate, None) && freed.samples > 0, "{freed:?}");
}

/// Whether bounds hold. A lower one that rests on a sample lies 1.96 deviations below its estimate, and one in forty does
/// not hold by chance; how often they do hold is tested where the sample has a seed. One of five deviations always does.
fn is_within(truth: u64, low: u64, estimate: u64, high: Option<u64>) -> bool {
    let deviation = (estimate - low) as f64 / DEVIATIONS;
    estimate as f64 - 5.0 * deviation <= truth as f64 && high.is_none_or(|high| truth <= high)
}

async fn check(options: &Options, keys: u64, prefixes: u64) -> CleanupResult {
    let truth = seed(options, keys, prefixes).await;
    let names = kit::keys::matching(&options.access, "permissions:*").await;
    let sizes = sizes(options, &names).await;
    let mut exact: Vec<f64> = kit::keys::ask(&options.access, "PTTL", &names)
        .await
        .into_iter()
        .filter(|ms| *ms >= 0)
        .map(|ms| ms as f64 / 1_000.0)
        .collect();
    exact.sort_by(f64::total_cmp);
    let asked = Instant::now();
    let result = kit::run(options).await;
    let passed = asked.elapsed().as_secs_f64();
    assert_eq!(result.status, Status::Completed, "{:?}", result.issues);
    let ttl = &result.metrics.ttl;
    assert_eq!(ttl.keys, exact.len() as u64);
    assert_eq!(ttl.histogram.iter().map(|bar| bar.keys).sum::<u64>(), ttl.keys);
    for (shown, q) in [(ttl.p50, 0.5), (ttl.p90, 0.9), (ttl.p99, 0.99)] {
        let (shown, exact) = (shown.unwrap(), exact[(q * (exact.len() - 1) as f64) as usize]);
        println!("p{}: {shown:.0} s, exactly {exact:.0} s", q * 100.0);
        assert!(shown <= exact * 1.0101 && shown >= (exact - passed) * 0.9899, "{q}: {shown} for {exact}");
    }
    let lists = &result.metrics.prefixes;
    let of = |part: fn(&(u64, u64)) -> u64| {
        let truth = &truth;
        move |prefix: &str| match truth.get(prefix) {
            Some(counts) => part(counts),
            None if prefix == "permissions:" => truth.values().map(part).sum(),
            None => panic!("there is no prefix {prefix}"),
        }
    };
    check_list(&lists.by_keys, of(|counts| counts.0), keys, "keys");
    check_list(&lists.by_stale, of(|counts| counts.1), keys.div_ceil(7), "stale keys");
    println!("{} prefixes: off by at most {:?} of {keys}", truth.len(), lists.by_keys.error_max);
    assert_eq!(lists.by_keys.rows[0].prefix, "permissions:");
    assert!(lists.by_keys.rows[0].sample_key.as_ref().unwrap().starts_with("permissions:"));
    check_memory(&result, &sizes);
    assert_eq!(lists.problem, None);
    result
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ttls_and_prefixes_of_a_server() {
    let server = kit::standalone().await;
    check(&kit::options(vec![server.url()]), 30_000, 5_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ttls_and_prefixes_of_a_cluster() {
    let cluster = kit::cluster().await;
    check(&kit::options(cluster.urls()), 30_000, 5_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "soak: a million keys of 50,000 prefixes"]
async fn soak_ttls_and_prefixes() {
    let server = kit::standalone().await;
    check(&kit::options(vec![server.url()]), kit::soak_keys(), 50_000).await;
}

/// What a dry run and a plan say of the memory that a run would free is what the run then frees.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn freed_memory_is_known_before() {
    let server = kit::standalone().await;
    let mut options = kit::options(vec![server.url()]);
    seed(&options, 9_000, 50).await;
    let names = kit::keys::matching(&options.access, "permissions:*").await;
    let truth =
        sizes(&options, &names).await.values().filter(|(_, stale)| *stale).map(|(bytes, _)| bytes).sum();
    let exact =
        Some(ByteEstimate { estimate: truth, low: truth, high: Some(truth), samples: 9_000_u64.div_ceil(7) });
    assert_eq!(kit::preflight_of(&options).await.freed, exact);
    let delete = options.rules.action;
    (options.dry_run, options.rules.action) = (true, Action::Report);
    assert_eq!(kit::preflight_of(&options).await.freed, exact);
    let dry = kit::run(&options).await;
    assert_eq!((dry.freed_bytes, dry.accounting.reported), (exact, 9_000_u64.div_ceil(7)));
    assert_eq!(dry.metrics.prefixes.by_freed.rows[0].prefix, "permissions:");
    (options.dry_run, options.rules.action) = (false, delete);
    assert_eq!(kit::run(&options).await.freed_bytes, exact);
    let nothing = kit::run(&options).await.freed_bytes;
    assert_eq!(nothing, Some(ByteEstimate::NOTHING));
}

/// A few giants among small keys: what cannot be known is not claimed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_of_sampled_runs_holds() {
    let server = kit::standalone().await;
    let options = kit::options(vec![server.url()]);
    let mut seeder = Seeder::open(&options.access).await.unwrap();
    let giant = vec![b'x'; 100_000];
    for n in 0..20_000 {
        let value = if n % 5_000 == 7 { giant.as_slice() } else { b"a value" };
        let (prefix, stale) = (["a", "b"][n % 2], n % 7 == 0);
        seeder
            .set(format!("{prefix}:{}:{n}", n % 3).as_bytes(), value, (!stale).then_some(9_000_000))
            .await
            .unwrap();
    }
    for n in 0..30 {
        seeder.set(format!("few:{n}").as_bytes(), b"a value", Some(9_000_000)).await.unwrap();
    }
    seeder.finish().await.unwrap();
    let mut options = options;
    options.rules.patterns = vec![Pattern::new("*").unwrap()];
    options.full_scan = true;
    let names = kit::keys::matching(&options.access, "*").await;
    let sizes = sizes(&options, &names).await;
    let sum = |prefix: &str, stale: bool| {
        let of = sizes.iter().filter(|(name, (_, is_stale))| name.starts_with(prefix) && *is_stale == stale);
        of.map(|(_, (bytes, _))| bytes).sum::<u64>()
    };
    for run in 0..4 {
        // As if there were many more keys, and memory use were unknown.
        let mut preflight = kit::preflight_of(&options).await;
        preflight.spec.measure = Measure { used_memory: None, whole: false, freed_one_in: 50 };
        let result = kit::run_in(&kit::env(&options, kit::hasty()), &options, &preflight).await.unwrap();
        assert_eq!(result.status, Status::Completed, "{:?}", result.issues);
        if run == 0 {
            let (freed, shown) = (sum("", true), result.freed_bytes.unwrap());
            println!("{freed} freed, reported {shown:?}");
            assert!(is_within(freed, shown.low, shown.estimate, None) && shown.high.is_none(), "{shown:?}");
            continue;
        }
        let rows = &result.metrics.prefixes.by_memory.rows;
        for row in rows {
            let truth = sum(&row.prefix, false);
            println!("{}: {truth}, reported {} to {:?} by {}", row.prefix, row.low, row.high, row.samples);
            assert!(is_within(truth, row.low, row.weight, row.high), "{truth}: {row:?}");
            // Small prefixes are measured whole also then.
            assert_eq!(row.high.is_some(), row.prefix == "few:", "{row:?}");
        }
        assert!(rows.iter().any(|row| row.prefix == "few:"), "{rows:?}");
    }
}

/// Keys that the application still uses near the end of their lives would be used longer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_are_used_late() {
    let server = kit::standalone().await;
    let mut options = kit::options(vec![server.url()]);
    (options.application.configured_ttl_ms, options.application.ttl_configured) = (900_000, true);
    let mut seeder = Seeder::open(&options.access).await.unwrap();
    for n in 0..200 {
        // The last fifth of 15 minutes began a minute ago; they have just been written, which is a use.
        seeder.set(format!("permissions:{n}").as_bytes(), b"x", Some(120_000)).await.unwrap();
    }
    seeder.finish().await.unwrap();
    let result = kit::run(&options).await;
    assert_eq!(result.metrics.ttl.read_late_percent, Some(100.0));
    let advice = "Consider a TTL longer than 15min.";
    assert!(result.recommendations.iter().any(|said| said.ends_with(advice)), "{:?}", result.recommendations);
    let metrics = result.current_metrics;
    assert_eq!((metrics.hits, metrics.misses), (Some(0), Some(0)), "looking at idle times is our own");
}

/// A user who may not ask for memory gets everything else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_permission_for_memory_usage() {
    let server = kit::standalone().await;
    let options = kit::options(vec![server.url()]);
    seed(&options, 500, 10).await;
    let admin = &kit::keys::conns(&options.access).await[0];
    admin.info_text("ACL SETUSER sweeper on nopass ~* +@all -memory").await.unwrap();
    let mut options = options;
    options.access.username = Some("sweeper".to_owned());
    options.access.password = Some("any".to_owned());
    let result = kit::run(&options).await;
    assert_eq!(result.status, Status::Completed, "{:?}", result.issues);
    let prefixes = &result.metrics.prefixes;
    assert!(prefixes.problem.as_ref().unwrap().contains("memory"), "{:?}", prefixes.problem);
    assert_eq!((prefixes.by_memory.total, prefixes.by_keys.rows.is_empty()), (0, false));
}
