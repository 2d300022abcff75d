//! Inactive users' caches without an activity source: keys that were not used for long.

use coordinator::inactive_policy::ActivitySource;
use keysweep_model::messages::Action;
use keysweep_redis::{ConnectOptions, Reply};
use keysweep_servers::Seeder;
use keysweep_testkit::kit::population::{self, DAY_MS, Population, TTL_MS};
use keysweep_testkit::kit::{self, keys};

use crate::aggressive::refused;
use crate::changed_keys::{GRACE_MS, run_and_change};

/// Copies of one value, as if each had not been used for so many seconds.
async fn restore(access: &ConnectOptions, keys: &[Vec<u8>], idle_s: u64) {
    let mut seeder = Seeder::open(access).await.unwrap();
    let conn = keys::conns(access).await.remove(0);
    // Any server makes a dump that all others read.
    let mut own = (0..).map(|n| format!("dump:{n}").into_bytes());
    let template = loop {
        let name = own.next().unwrap();
        if conn.command(&[b"SET", &name, b"value"]).await.is_ok() {
            break name;
        }
    };
    let Reply::BulkString(dump) = conn.command(&[b"DUMP", &template]).await.unwrap() else {
        panic!("no dump")
    };
    conn.command(&[b"DEL", &template]).await.unwrap();
    let (ttl, idle) = (TTL_MS.to_string(), idle_s.to_string());
    for key in keys {
        let args: [&[u8]; 7] =
            [b"RESTORE", key, ttl.as_bytes(), &dump, b"REPLACE", b"IDLETIME", idle.as_bytes()];
        seeder.command(key, &args).await.unwrap();
    }
    seeder.finish().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_times_decide_where_nothing_else_does() {
    let (server, cluster) = (kit::standalone().await, kit::cluster().await);
    for urls in [vec![server.url()], cluster.urls()] {
        let mut options = population::options(urls, ActivitySource::IdleTime);
        options.rules.grace_ms = GRACE_MS;
        let mut population = Population::of(1_000);
        // No template for users is required: keys that it does not match may be deleted as well.
        let unknown: Vec<Vec<u8>> = population.unknown.drain(..).collect();
        population.inactive.extend(unknown);
        population.seed(&options.access).await;
        let day_s = DAY_MS / 1_000;
        restore(&options.access, &population.inactive, 31 * day_s).await;
        restore(&options.access, &population.protected, 31 * day_s).await;
        restore(&options.access, &population.active, 29 * day_s).await;
        // Keys that expire soon must be idle to count as such.
        restore(&options.access, &population.near, 31 * day_s).await;
        let mut seeder = Seeder::open(&options.access).await.unwrap();
        for key in &population.near {
            seeder.command(key, &[b"PEXPIRE", key, b"200000"]).await.unwrap();
        }
        seeder.finish().await.unwrap();
        population.active.append(&mut population.near);
        let used: Vec<Vec<u8>> = population.inactive.drain(..50).collect();
        let change = async || {
            let mut seeder = Seeder::open(&options.access).await.unwrap();
            for key in &used {
                seeder.command(key, &[b"GET", key]).await.unwrap();
            }
            seeder.finish().await.unwrap();
        };
        let result = run_and_change(&options, change).await;
        let mut expected = population.accounting(Action::Delete);
        expected.spared = 50;
        expected.candidates += 50;
        assert_eq!(result.accounting, expected, "{result:#?}");
        assert_eq!(result.inactive_user_caches, population.inactive.len() as u64);
        assert_eq!((result.inactive.active_users, result.inactive.unknown_user), (None, Some(0)));
        population::check_lookups(&result, 50);
        population.active.extend(used);
        population.check_keys(&options.access, (true, true)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_times_are_not_known_where_uses_are_counted() {
    let server = kit::standalone().await;
    let options = population::options(vec![server.url()], ActivitySource::IdleTime);
    let population = Population::of(200);
    population.seed(&options.access).await;
    let conn = server.conn().await.unwrap();
    conn.info_text("CONFIG SET maxmemory-policy volatile-lfu").await.unwrap();
    refused(&options, &population, "LFU").await;
}
