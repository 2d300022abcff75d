//! What a run says of TTLs and prefixes, against the truth key by key.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::kit;
use coordinator::options::Options;
use shared::metrics::Heaviest;
use shared::result::{CleanupResult, Status};
use shared::servers::Seeder;

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
    assert!(list.error_max <= total / 50, "{what}: off by up to {} of {total}", list.error_max);
    for row in &list.rows {
        let exact = truth(&row.prefix);
        let told = row.weight..=row.weight + list.error_max;
        assert!(told.contains(&exact), "{what} of {}: {exact} is not in {told:?}", row.prefix);
    }
}

async fn check(options: &Options, keys: u64, prefixes: u64) -> CleanupResult {
    let truth = seed(options, keys, prefixes).await;
    let names = kit::keys::matching(&options.access, "permissions:*").await;
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
    for (told, q) in [(ttl.p50, 0.5), (ttl.p90, 0.9), (ttl.p99, 0.99)] {
        let (told, exact) = (told.unwrap(), exact[(q * (exact.len() - 1) as f64) as usize]);
        println!("p{}: {told:.0} s, exactly {exact:.0} s", q * 100.0);
        assert!(told <= exact * 1.0101 && told >= (exact - passed) * 0.9899, "{q}: {told} for {exact}");
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
    println!("{} prefixes: off by at most {} of {keys}", truth.len(), lists.by_keys.error_max);
    assert_eq!(lists.by_keys.rows[0].prefix, "permissions:");
    assert!(lists.by_keys.rows[0].sample_key.as_ref().unwrap().starts_with("permissions:"));
    // All values are alike, so memory is about so many times the bytes of one key.
    let (all, freed) = (lists.by_memory.rows[0].weight, lists.by_freed.rows[0].weight);
    let per_key = all / keys;
    assert!((40..400).contains(&per_key), "{per_key} bytes a key");
    let share = freed as f64 / all as f64;
    assert!((0.09..0.20).contains(&share), "a seventh was freed, told {share:.3}");
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

/// Keys that the application still uses near the end of their lives would be used longer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_are_used_late() {
    let server = kit::standalone().await;
    let mut options = kit::options(vec![server.url()]);
    options.application.configured_ttl_ms = 900_000;
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
    assert_eq!((metrics.hits, metrics.misses), (0, 0), "looking at idle times is our own");
}

/// A user who may not ask for memory gets everything else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_right_to_ask_for_memory() {
    let server = kit::standalone().await;
    let options = kit::options(vec![server.url()]);
    seed(&options, 500, 10).await;
    let admin = &kit::keys::conns(&options.access).await[0];
    admin.words("ACL SETUSER sweeper on nopass ~* +@all -memory").await.unwrap();
    let mut options = options;
    options.access.username = Some("sweeper".to_owned());
    options.access.password = Some("any".to_owned());
    let result = kit::run(&options).await;
    assert_eq!(result.status, Status::Completed, "{:?}", result.issues);
    let prefixes = &result.metrics.prefixes;
    assert!(prefixes.problem.as_ref().unwrap().contains("memory"), "{:?}", prefixes.problem);
    assert_eq!((prefixes.by_memory.total, prefixes.by_keys.rows.is_empty()), (0, false));
}
