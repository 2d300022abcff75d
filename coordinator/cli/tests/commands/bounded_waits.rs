//! Servers that keep a plan or a run waiting: each command ends in bounded time, and reports the reason.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use keysweep_servers::Server;

use crate::cli::deployment::{DIGEST, TestDeployment};
use crate::cli::hostile::{INFO, bulk, server, shard, slots, usual};
use crate::cli::proxy::{On, Proxy, ReplyFault};
use crate::cli::{Ended, keysweep, on_terminal};

/// A server that reports a cluster of `count` primaries, whose addresses are given by `at`. It answers CLUSTER SHARDS, or
/// only CLUSTER SLOTS, as servers before 7.0.
fn cluster_of(count: u16, subcommand: &'static str, at: impl Fn(u16) -> (String, u16)) -> String {
    let per = 16_384 / count;
    let one = |n: u16| {
        let last = if n + 1 == count { 16_383 } else { (n + 1) * per - 1 };
        let (host, port) = at(n);
        let one = if subcommand == "SHARDS" { shard } else { slots };
        one(&format!("{n:040}"), (&host, port), (n * per, last))
    };
    let all: Vec<Vec<u8>> = (0..count).map(one).collect();
    let reply = [format!("*{count}\r\n").into_bytes(), all.concat()].concat();
    let address =
        server(move |words| match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["CLUSTER", asked] if *asked == subcommand => reply.clone(),
            ["INFO", ..] => bulk(&format!("{INFO}cluster_enabled:1\r\n")),
            _ => usual(words),
        });
    format!("redis://{address}")
}

/// Listeners that accept connections and never reply.
fn silent(count: usize) -> Vec<TcpListener> {
    (0..count).map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port")).collect()
}

/// The address of listener `n`, or of an earlier one if there are fewer.
fn address(silent: &[TcpListener], n: u16) -> (String, u16) {
    let port = silent[usize::from(n) % silent.len()].local_addr().expect("it is bound").port();
    ("127.0.0.1".to_owned(), port)
}

/// The log names a hundred of them at most.
fn names_few(ended: &Ended) {
    let lines =
        ended.stderr.lines().filter(|line| line.contains("node unreachable, excluded from the run")).count();
    assert!((1..=100).contains(&lines), "{lines} lines\n{ended}");
}

#[test]
fn thousands_of_primaries_that_never_answer_end_the_plan_with_their_number() {
    // Only these are checked before the deadline.
    let silent = silent(440);
    let url = cluster_of(2_000, "SHARDS", |n| address(&silent, n));
    let (ended, peak_kib) = keysweep(&["plan", "--redis", &url]).start().end_with_peak();
    println!("{:?}, {peak_kib} KiB\n{ended}", ended.took);
    ended.exits(5).log_contains(&[
        "of 2,000 primaries were not checked within 1m, and ",
        " failed",
        "0 were checked",
    ]);
    assert!(ended.took < Duration::from_secs(80), "{:?}", ended.took);
    assert!((1..64 << 10).contains(&peak_kib), "{peak_kib} KiB");
    names_few(&ended);
}

/// As many primaries as there are slots, at addresses that take connections and never answer. Redis 7 describes so many in
/// more lines than are read of one reply; servers before it use fewer.
#[test]
#[ignore = "takes minutes; cargo xtask soak runs it"]
fn soak_16384_silent_primaries_end_plans_and_runs() {
    let listener = TcpListener::bind("0.0.0.0:0").expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    // Connections stay open, without an answer.
    std::thread::spawn(move || listener.incoming().flatten().for_each(std::mem::forget));
    let unchecked = &["of 16,384 primaries were not checked within 1m, and ", "0 were checked"][..];
    let too_long = &["more than 400000 lines to one request"][..];
    for (subcommand, words) in [("SLOTS", unchecked), ("SHARDS", too_long)] {
        let url = cluster_of(16_384, subcommand, |n| (format!("127.7.{}.{}", n / 250, n % 250 + 1), port));
        for args in [&["plan"][..], &["run", "--yes"]] {
            let (ended, peak_kib) = keysweep(&[args, &["--redis", &url]].concat()).start().end_with_peak();
            println!("{subcommand}, {args:?}: {:?}, {peak_kib} KiB", ended.took);
            ended.exits(5).log_contains(words);
            assert!((1..64 << 10).contains(&peak_kib), "{peak_kib} KiB");
        }
    }
}

#[test]
fn thousands_of_primaries_where_nothing_listens_end_the_plan_soon() {
    // Nothing listens at the first port of any of them.
    let url = cluster_of(5_000, "SHARDS", |n| (format!("127.77.{}.{}", n / 250, n % 250 + 1), 1));
    let ended = keysweep(&["run", "--dry-run", "--attempts", "1", "--redis", &url]).run();
    ended.exits(5).log_contains(&["like all 5,000 primaries of the cluster", "--address-map"]);
    assert!(ended.took < Duration::from_secs(60), "{:?}", ended.took);
    names_few(&ended);
}

#[test]
fn the_time_of_a_run_counts_from_the_start_of_its_plan() {
    let silent = silent(100);
    let url = cluster_of(100, "SHARDS", |n| address(&silent, n));
    for args in [&["plan"][..], &["run", "--yes"], &["run", "--dry-run"]] {
        let args = [args, &["--max-runtime", "2s", "--redis", &url]].concat();
        let ended = keysweep(&args).run();
        let said =
            "the time that `--max-runtime 2s` allows was over before the plan was made; nothing was changed";
        ended.exits(3).log_contains(&[said]);
        let took = ended.took.as_secs_f64();
        assert!((1.9..8.0).contains(&took), "{took}\n{ended}");
        assert!(!ended.stderr.contains("attempt 1 of"), "another attempt would have no more time\n{ended}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_for_the_lock_counts_and_waiting_for_an_answer_does_not() {
    let server = Server::start(&DIGEST).await.unwrap();
    let place = TestDeployment::standalone(&server).await;
    let stale = place.seed(300).await;
    let (before, url) = (place.digest().await, place.url().to_owned());
    place.all("SET keysweep:lock:cleanup other PX 60000").await;
    let args = ["run", "--yes", "--job", "cleanup", "--grace", "0s", "--redis", &url, "--max-runtime", "3s"];
    let ended = keysweep(&[&args[..], &["--lock-wait", "1m"]].concat()).run();
    ended.exits(3).log_contains(&["`--max-runtime 3s` allows was over before the lock of its job was free"]);
    assert!((2.9..12.0).contains(&ended.took.as_secs_f64()), "{ended}");
    place.all("DEL keysweep:lock:cleanup").await;
    assert_eq!(place.digest().await, before);
    let args = ["run", "--grace", "0s", "--redis", &url, "--max-runtime", "5s"];
    let mut running = on_terminal(&args).start();
    running.wait_for("? [y/N]");
    tokio::time::sleep(Duration::from_secs(6)).await;
    running.types("y\r");
    assert!(running.end().exits(0).stdout.contains("completed"));
    assert_eq!(place.keys("permissions:*").await as u64, 300 - stale);
}

/// A server that sends one byte per second once the plan is made, in a run without `--max-runtime`: its tasks and batches end
/// when they have failed a few times.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes; cargo xtask soak runs it"]
async fn soak_one_byte_per_second_ends_a_run_without_a_time_limit() {
    for on in [On::listing("SCAN"), On::acting("EVALSHA"), On::any("")] {
        let server = Server::start(&DIGEST).await.unwrap();
        TestDeployment::standalone(&server).await.seed(600).await;
        let proxy = Proxy::new(on.after_the_plan(), &[ReplyFault::Dripping], server.port());
        let url = format!("redis://{}", proxy.address);
        let running = keysweep(&["run", "--yes", "--json", "--grace", "0s", "--redis", &url]).start();
        let ended = running.end_within(Duration::from_secs(400));
        println!("{on:?}: {:?}, exit {:?}", ended.took, ended.code);
        assert!(proxy.given() > 0 && matches!(ended.code, Some(1 | 3 | 5)), "{ended}");
    }
}

/// A standalone server that reports `keys` keys, and replies to the `n`th SCAN with no key and the cursor `next`.
fn scanning(keys: u64, next: impl Fn(u64, u64) -> u64 + Send + Sync + 'static) -> String {
    let scans = AtomicU64::new(0);
    let address =
        server(move |words| match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["INFO", ..] => {
                bulk(&format!("{INFO}cluster_enabled:0\r\ndb0:keys={keys},expires=0,avg_ttl=0\r\n"))
            }
            ["SCAN", cursor, ..] => {
                let next = next(scans.fetch_add(1, Ordering::Relaxed), cursor.parse().unwrap_or(0));
                [b"*2\r\n".to_vec(), bulk(&next.to_string()), b"*0\r\n".to_vec()].concat()
            }
            ["PTTL" | "PEXPIRETIME", ..] => b":-2\r\n".to_vec(),
            ["GET", ..] => b"$-1\r\n".to_vec(),
            _ => usual(words),
        });
    format!("redis://{address}")
}

/// The cursor after `cursor` in a table of 2^40 empty buckets.
fn in_a_huge_table(cursor: u64) -> u64 {
    let position = (cursor << 24).reverse_bits() & ((1 << 40) - 1);
    ((position + 1).reverse_bits() >> 24) & ((1 << 40) - 1)
}

/// The next cursor, by the number of the SCAN and its cursor.
type Next = fn(u64, u64) -> u64;

#[test]
fn cursors_that_never_return_to_0_end_plans_and_runs_with_an_error() {
    let (circle, on) = ("SCAN returned to an earlier cursor", "SCAN did not end");
    let cases: [(&str, u64, Next, &str); 4] = [
        ("a circle", 1, |n, _| n % 5 + 1, circle),
        ("a cursor that stays", 1, |_, _| 7, circle),
        ("cursors that grow", 1, |n, _| n + 1, on),
        ("a table of 2^40 buckets, as claimed", 1 << 40, |_, cursor| in_a_huge_table(cursor), on),
    ];
    for (what, keys, next, said) in cases {
        for args in [&["plan"][..], &["run", "--dry-run", "--attempts", "1"]] {
            let url = scanning(keys, next);
            let ended = keysweep(&[args, &["--max-speed", "--redis", &url]].concat()).run();
            println!("{what}, {}: {:?}\n{ended}", args[0], ended.took);
            ended.exits(5).log_contains(&[said]);
        }
    }
}
