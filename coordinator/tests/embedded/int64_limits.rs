//! 64-bit numbers: a key with the latest possible expiry is handled like any other.

use coordinator::options::Options;
use keysweep_model::result::{CleanupResult, Status};
use keysweep_model::time::now_ms;
use keysweep_redis::node;
use keysweep_servers::Seeder;
use keysweep_testkit::kit::{self, population};

const LAST: &str = "9223372036854775807";

/// One stale key, one with a usual TTL, and `last` that expire at the last moment.
async fn fill(urls: &[String], last: u32) {
    let mut seeder = Seeder::connect(urls).await.unwrap();
    seeder.set(b"permissions:a:stale", b"x", None).await.unwrap();
    seeder.set(b"permissions:a:usual", b"x", Some(3_600_000)).await.unwrap();
    for n in 0..last {
        let key = format!("permissions:a:last-{n}");
        let set: [&[u8]; 5] = [b"SET", key.as_bytes(), b"x", b"PXAT", LAST.as_bytes()];
        seeder.command(key.as_bytes(), &set).await.unwrap();
    }
    seeder.finish().await.unwrap();
}

async fn check(options: &Options, last: u32, gone: u64) -> CleanupResult {
    fill(&options.access.urls, last).await;
    let result = kit::run(options).await;
    assert_eq!(result.status, Status::Completed, "{:?}", result.issues);
    assert_eq!((result.cleaned_keys, result.accounting.balanced), (gone, true), "{:?}", result.accounting);
    let keys: Vec<Vec<u8>> = (0..last).map(|n| format!("permissions:a:last-{n}").into_bytes()).collect();
    assert_eq!(kit::keys::existing(&options.access, &keys).await.len(), last as usize);
    result
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_expires_at_the_last_moment_is_read_like_any_other() {
    let (server, cluster) = (kit::standalone().await, kit::cluster().await);
    for urls in [vec![server.url()], cluster.urls()] {
        // Also on nodes of the cluster that have no stale key.
        let result = check(&Options { full_scan: true, ..kit::options(urls) }, 1, 1).await;
        assert_eq!(result.scanned_keys, 3);
        let avg_ttl_s = result.current_metrics.avg_ttl.unwrap();
        assert!((4.5e15..4.7e15).contains(&avg_ttl_s), "{avg_ttl_s}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mean_whose_sum_does_not_fit_is_not_known() {
    let server = kit::standalone().await;
    let result = check(&kit::options(vec![server.url()]), 3, 1).await;
    assert_eq!(result.current_metrics.avg_ttl, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_never_taken_for_an_inactive_users() {
    let server = kit::standalone().await;
    if !node::status(&server.conn().await.unwrap(), 0).await.unwrap().reports_expiry {
        println!("skipped: keys of inactive users are not looked for on this server");
        return;
    }
    let urls = vec![server.url()];
    let mut seeder = Seeder::connect(&urls).await.unwrap();
    let (member, now) = (b"b".as_slice(), now_ms().to_string());
    let zadd: [&[u8]; 4] = [b"ZADD", population::WARMING.as_bytes(), now.as_bytes(), member];
    seeder.command(population::WARMING.as_bytes(), &zadd).await.unwrap();
    seeder.set(b"permissions:b:active", b"x", Some(3_600_000)).await.unwrap();
    seeder.finish().await.unwrap();
    let result = check(&population::options(urls, population::zset()), 2, 2).await;
    assert_eq!(result.inactive_user_caches, 1, "the one with a usual TTL: {:?}", result.issues);
}
