//! Deletion of inactive users' caches: exactly theirs are deleted, and none if activity is unknown. CI runs this with
//! 5,000 users; the `soak_` test with 100,000.

use std::time::{Duration, Instant};

use coordinator::embedded::RunError;
use coordinator::inactive_policy::ActivitySource;
use coordinator::options::Options;
use keysweep_model::key::Key;
use keysweep_model::messages::Action;
use keysweep_model::result::{CleanupResult, Status};
use keysweep_redis::ConnectOptions;
use keysweep_runtime::context::Timing;
use keysweep_servers::Seeder;
use keysweep_testkit::kit::population::{self, DAY_MS, Population, TTL_MS, WARMING};
use keysweep_testkit::kit::queues::Twice;
use keysweep_testkit::kit::{self, keys};

use crate::changed_keys::{GRACE_MS, run_and_change};

const USERS: u64 = 5_000;

/// Seeds, plans, runs, and holds both against the truth.
async fn check(urls: Vec<String>, users: u64, action: Action) -> CleanupResult {
    let mut options = population::options(urls, population::zset());
    options.rules.action = action;
    let population = Population::of(users);
    population.seed(&options.access).await;
    let begun = Instant::now();
    let preflight = kit::preflight_of(&options).await;
    let looked = begun.elapsed();
    if preflight.estimate.exact {
        assert_eq!(preflight.estimate.inactive_keys, Some(population.inactive.len() as u64));
        assert_eq!(preflight.estimate.stale_candidates(), population.stale.len() as u64);
    }
    let env = kit::env(&options, Timing::default());
    let result = kit::run_in(&env, &options, &preflight).await.unwrap();
    population.check_numbers(&result, action);
    population::check_lookups(&result, 0);
    assert_eq!(result.inactive.active_users, Some(population.active_users()));
    assert_eq!(result.inactive.source.as_deref(), Some("zset:permissions:warming"));
    let gone = (action == Action::Delete, action != Action::Report);
    population.check_keys(&options.access, gone).await;
    println!(
        "{users} users, {} keys: looked at in {} ms, cleaned in {} ms, {} deleted",
        result.scanned_keys,
        looked.as_millis(),
        result.duration_ms,
        result.cleaned_keys
    );
    result
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exactly_the_caches_of_inactive_users_on_a_cluster() {
    let cluster = kit::cluster().await;
    check(cluster.urls(), USERS, Action::Delete).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exactly_the_caches_of_inactive_users_on_a_standalone_server() {
    let server = kit::standalone().await;
    check(vec![server.url()], USERS, Action::Delete).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes 100,000 users"]
async fn soak_a_hundred_thousand_users() {
    let (server, cluster) = (kit::standalone().await, kit::cluster().await);
    check(cluster.urls(), 100_000, Action::Delete).await;
    check(vec![server.url()], 100_000, Action::Delete).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stale_keys_may_get_a_ttl_and_inactive_users_caches_go_all_the_same() {
    let server = kit::standalone().await;
    let ttl_ms = 600_000;
    let result = check(vec![server.url()], 500, Action::Expire { ttl_ms, jitter_ms: 0 }).await;
    assert!(result.accounting.expired > 0 && result.inactive_user_caches > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_reports_and_writes_nothing() {
    let (server, cluster) = (kit::standalone().await, kit::cluster().await);
    for urls in [vec![server.url()], cluster.urls()] {
        let mut options = population::options(urls, population::zset());
        (options.dry_run, options.rules.action) = (true, Action::Report);
        let population = Population::of(500);
        population.seed(&options.access).await;
        for conn in keys::conns(&options.access).await {
            conn.info_text("CONFIG RESETSTAT").await.unwrap();
        }
        let result = kit::run(&options).await;
        population.check_numbers(&result, Action::Report);
        population::check_lookups(&result, 0);
        for text in keys::info(&options.access, "commandstats").await {
            for written in ["unlink", "set", "pexpire", "evalsha", "del", "eval"] {
                assert!(!text.contains(&format!("cmdstat_{written}:")), "{text}");
            }
        }
        population.check_keys(&options.access, (false, false)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_set_of_active_users() {
    let (server, cluster) = (kit::standalone().await, kit::cluster().await);
    for urls in [vec![server.url()], cluster.urls()] {
        let source = ActivitySource::Set(Key::new(WARMING.as_bytes()));
        let options = population::options(urls, source);
        let population = Population::of(1_000);
        population.seed_keys(&options.access).await;
        let mut seeder = Seeder::open(&options.access).await.unwrap();
        let since_ms = (keysweep_model::time::now_ms() - 30 * DAY_MS) as f64;
        for (member, score) in &population.members {
            if *score >= since_ms || *score < 1e11 && *score * 1_000.0 >= since_ms {
                seeder.command(WARMING.as_bytes(), &[b"SADD", WARMING.as_bytes(), member]).await.unwrap();
            }
        }
        seeder.finish().await.unwrap();
        let result = kit::run(&options).await;
        population.check_numbers(&result, Action::Delete);
        population::check_lookups(&result, 0);
        population.check_keys(&options.access, (true, true)).await;
        assert_eq!(result.inactive.active_users, Some(population.active_users()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn caches_that_change_between_scan_and_deletion_are_spared() {
    let (server, cluster) = (kit::standalone().await, kit::cluster().await);
    for urls in [vec![server.url()], cluster.urls()] {
        let mut options = population::options(urls, population::zset());
        options.rules.grace_ms = GRACE_MS;
        let mut population = Population::of(1_000);
        population.seed(&options.access).await;
        let changed: Vec<Vec<u8>> = population.inactive.drain(..200).collect();
        let change = async || {
            let mut seeder = Seeder::open(&options.access).await.unwrap();
            let later = (TTL_MS + 1_000).to_string();
            for (n, key) in changed.iter().enumerate() {
                let args: &[&[u8]] = match n / 40 {
                    0 => &[b"PEXPIRE", key, later.as_bytes()],
                    1 => &[b"SET", key, b"new", b"PX", later.as_bytes()],
                    2 => &[b"PERSIST", key],
                    // It would expire earlier: a client has touched it.
                    3 => &[b"PEXPIRE", key, b"1000000"],
                    _ => &[b"DEL", key],
                };
                seeder.command(key, args).await.unwrap();
            }
            seeder.finish().await.unwrap();
        };
        let result = run_and_change(&options, change).await;
        let mut expected = population.accounting(Action::Delete);
        (expected.spared, expected.vanished) = (160, 40);
        expected.candidates += 200;
        assert_eq!(result.accounting, expected);
        assert_eq!(result.inactive_user_caches, population.inactive.len() as u64);
        assert_eq!(
            result.inactive.found,
            Some((population.inactive.len() + population.protected.len()) as u64 + 200)
        );
        assert_eq!(keys::existing(&options.access, &changed).await.len(), 160);
        population.active.extend_from_slice(&changed[..160]);
        population.check_keys(&options.access, (true, true)).await;
    }
}

/// A run without activity data: no user's cache is deleted, and an issue gives the reason.
pub async fn refused(options: &Options, population: &Population, why: &str) {
    let result = kit::run(options).await;
    println!("{:?}", result.inactive.refused);
    let issue = result.issues.iter().find(|issue| issue.starts_with("Aggressive cleanup was refused: "));
    assert!(issue.is_some_and(|issue| issue.contains(why)), "{why}: {:?}", result.issues);
    assert_eq!(result.status, Status::Completed, "{:?}", result.issues);
    assert_eq!((result.inactive_user_caches, result.inactive.found), (0, None));
    assert!(!result.inactive.searched && result.inactive.source.is_some());
    assert_eq!(result.cleaned_keys, population.stale.len() as u64);
    population::check_lookups(&result, 0);
    population.check_keys(&options.access, (true, false)).await;
    seed_stale(population, &options.access).await;
}

async fn seed_stale(population: &Population, access: &ConnectOptions) {
    let mut seeder = Seeder::open(access).await.unwrap();
    for key in &population.stale {
        seeder.set(key, b"again", None).await.unwrap();
    }
    seeder.finish().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_activity_data_no_user_is_inactive() {
    let (server, cluster) = (kit::standalone().await, kit::cluster().await);
    for urls in [vec![server.url()], cluster.urls()] {
        let options = population::options(urls, population::zset());
        let population = Population::of(500);
        population.seed_keys(&options.access).await;
        let say = async |args: &[&[u8]]| {
            let mut seeder = Seeder::open(&options.access).await.unwrap();
            seeder.command(WARMING.as_bytes(), args).await.unwrap();
            seeder.finish().await.unwrap();
        };
        let key = WARMING.as_bytes();
        refused(
            &options,
            &population,
            "`permissions:warming` is empty or missing; an empty set must never mean",
        )
        .await;
        // A hash, and a set where a sorted set is asked for, and the other way round.
        say(&[b"HSET", key, b"user-0", b"1"]).await;
        refused(&options, &population, "is not a set of the type").await;
        say(&[b"DEL", key]).await;
        say(&[b"SADD", key, b"user-0"]).await;
        refused(&options, &population, "is not a set of the type").await;
        say(&[b"DEL", key]).await;
        // Everyone was active long ago, in seconds and in milliseconds.
        say(&[b"ZADD", key, b"1500000000", b"user-0", b"1500000000000", b"user-5"]).await;
        refused(&options, &population, "no user in the activity set `permissions:warming` was active").await;
        let as_set = population::options(options.access.urls.clone(), ActivitySource::Set(Key::new(key)));
        refused(&as_set, &population, "is not a set of the type").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_set_that_may_not_be_read_refuses_and_names_the_rule() {
    let server = kit::standalone().await;
    let population = Population::of(200);
    let mut options = population::options(vec![server.url()], population::zset());
    population.seed(&options.access).await;
    let conn = server.conn().await.unwrap();
    for (less, why) in [
        ("~* -zscan", "`+zscan`"),
        ("~* -zcard", "`+zcard`"),
        ("~permissions:* ~keysweep:*", "`~users:active`"),
    ] {
        conn.info_text(&format!("ACL SETUSER lacking reset on nopass +@all {less}")).await.unwrap();
        let elsewhere = ActivitySource::SortedSet(Key::new(*b"users:active"));
        let source = if less.starts_with("~*") { population::zset() } else { elsewhere };
        options.inactive = population::options(Vec::new(), source).inactive;
        options.access.username = Some("lacking".to_owned());
        options.access.password = Some("any".to_owned());
        let result = kit::run(&options).await;
        let issue = result.issues.iter().find(|issue| issue.starts_with("Aggressive cleanup was refused: "));
        assert!(issue.is_some_and(|issue| issue.contains(why)), "{why}: {:?}", result.issues);
        assert_eq!(result.inactive_user_caches, 0);
        options.access = ConnectOptions::open(vec![server.url()]);
        assert_eq!(
            keys::existing(&options.access, &population.inactive).await.len(),
            population.inactive.len()
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_delivery_twice() {
    let (server, cluster) = (kit::standalone().await, kit::cluster().await);
    for urls in [vec![server.url()], cluster.urls()] {
        let mut options = population::options(urls, population::zset());
        options.rules.grace_ms = 100;
        let timing = Timing { ack_wait: Duration::from_millis(500), ..Timing::default() };
        let mut env = kit::env(&options, timing);
        let twice = Twice::install(&mut env.queue);
        let population = Population::of(2_000);
        population.seed(&options.access).await;
        let preflight = kit::preflight_of(&options).await;
        let result = kit::run_in(&env, &options, &preflight).await.unwrap();
        population.check_numbers(&result, Action::Delete);
        population.check_keys(&options.access, (true, true)).await;
        assert!(twice.doubled() > preflight.tasks.len() as u64);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inactive_users_caches_count_for_the_limit_on_deletions() {
    let server = kit::standalone().await;
    for action in [Action::Delete, Action::Expire { ttl_ms: 600_000, jitter_ms: 0 }] {
        let mut options = population::options(vec![server.url()], population::zset());
        (options.max_delete_percent, options.rules.action) = (20, action);
        let population = Population::of(500);
        population.seed(&options.access).await;
        let refused = coordinator::embedded::run_cleanup_now(&options).await;
        let Err(RunError::TooMany { candidates, limit: 20, .. }) = refused else { panic!("{refused:?}") };
        let stale = if action == Action::Delete { population.stale.len() } else { 0 };
        assert_eq!(candidates, (population.inactive.len() + stale) as u64);
        population.check_keys(&options.access, (false, false)).await;
        let conn = server.conn().await.unwrap();
        conn.info_text("FLUSHALL").await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_set_that_is_recreated_while_it_is_read_is_not_used() {
    use keysweep_model::messages::Lookups;
    use keysweep_redis::activity::{ActivityReadError, SetKind, read_members};
    let server = kit::standalone().await;
    let (conn, other) = (server.conn().await.unwrap(), server.conn().await.unwrap());
    let fill = async |name: &str, from: u64, to: u64| {
        let mut args: Vec<Vec<u8>> = vec![b"SADD".to_vec(), name.as_bytes().to_vec()];
        args.extend((from..to).map(|n| format!("user-{n}").into_bytes()));
        other.command(&args.iter().map(Vec::as_slice).collect::<Vec<_>>()).await.unwrap();
    };
    // What happens between two pages is done by a blocking client, in the middle of the reading.
    for (command, whole) in [("DEL set", false), ("RENAME copy set", true), ("SPOP set 5000", false)] {
        fill("set", 0, 20_000).await;
        fill("copy", 0, 20_000).await;
        let (mut lookups, mut seen, mut done) =
            (Lookups::default(), std::collections::BTreeSet::new(), false);
        let url = server.url();
        let each = |member: &[u8], _: Option<f64>| {
            seen.insert(member.to_vec());
            if !done && seen.len() > 5_000 {
                done = true;
                let (url, command) = (url.clone(), command.to_owned());
                std::thread::spawn(move || {
                    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                    runtime.block_on(async {
                        let conn =
                            ConnectOptions::open(vec![url.clone()]).connect_dedicated(&url).await.unwrap();
                        conn.info_text(&command).await.unwrap();
                    });
                })
                .join()
                .unwrap();
            }
            true
        };
        let read = read_members(&conn, SetKind::Plain, b"set", &mut lookups, each).await;
        if whole {
            assert!(read.is_ok() && seen.len() == 20_000, "{command}: {} {read:?}", seen.len());
        } else {
            assert!(matches!(read, Err(ActivityReadError::Shrank)), "{command}: {read:?}");
        }
    }
}
