//! What `keysweep ttl advise` says where it must not guess, on real servers with keys whose ages and idle times are made up:
//! RESTORE sets both.

use std::time::Duration;

use fastrand::Rng;
use keysweep_redis::{Batch, Conn, Reply, node};
use keysweep_servers::{ClusterServers, Seeder, Server};
use serde_json::Value;

use crate::cli::keysweep;
use crate::cli::state::State;

const KEYS: u64 = 2_000;

/// So long that neither misses nor expired keys matter between two looks.
const TTL_MS: u64 = 2_000_000;

/// A cache on a server, as far as `ttl advise` sees it.
struct Cache {
    server: Server,
    conn: Conn,
    state: State,
    value: Vec<u8>,
    rng: Rng,
}

impl Cache {
    async fn new(args: &[&str]) -> Self {
        let server = Server::start(args).await.unwrap();
        let conn = server.conn().await.unwrap();
        conn.command(&[b"SET", b"value", b"x"]).await.unwrap();
        let Reply::BulkString(value) = conn.command(&[b"DUMP", b"value"]).await.unwrap() else {
            panic!("no value")
        };
        conn.info_text("DEL value").await.unwrap();
        Self { server, conn, state: State::new(), value, rng: Rng::with_seed(1) }
    }

    /// Writes keys: what is left of the TTL of each in ms, and its idle time in seconds.
    async fn write(&mut self, keys: u64, of: impl Fn(&mut Rng) -> (u64, u64)) {
        let mut batch = Batch::new();
        for _ in 0..keys {
            let (left, idle) = of(&mut self.rng);
            let name = format!("page:{}", self.rng.u64(..));
            let [left, idle] = [left.max(1), idle].map(|number| number.to_string());
            batch.add(&[
                b"RESTORE",
                name.as_bytes(),
                left.as_bytes(),
                &self.value,
                b"IDLETIME",
                idle.as_bytes(),
            ]);
        }
        self.conn.batch(batch).await.unwrap();
    }

    /// Keys that were read just now, of a steady stream of writes.
    async fn steady(&mut self) {
        self.write(KEYS, |rng| (rng.u64(0..TTL_MS), 0)).await;
    }

    async fn requests(&self, hits: u64, misses: u64) {
        self.conn.info_text("SET there x").await.unwrap();
        let mut batch = Batch::new();
        (0..hits).for_each(|_| batch.add(&[b"GET", b"there"]));
        (0..misses).for_each(|_| batch.add(&[b"GET", b"missing"]));
        self.conn.batch(batch).await.unwrap();
    }

    fn advice(&self, more: &[&str]) -> Value {
        let url = self.server.url();
        self.state
            .command(&[&["ttl", "advise", "--json", "--redis", &url], more].concat())
            .run()
            .exits(0)
            .json()
    }

    /// A refusal that says this.
    #[track_caller]
    fn refused(&self, more: &[&str], expected: &str) -> Value {
        let advice = self.advice(more);
        let why = advice["refused"].as_str().unwrap_or_else(|| panic!("{expected}: {advice:#}"));
        assert!(why.contains(expected), "{expected}: {advice:#}");
        assert_eq!((&advice["recommended"], advice["curve"].as_array().unwrap().len()), (&Value::Null, 0));
        advice
    }
}

/// What a server may have run for when a test looks.
const SHORT_TTL: Duration = Duration::from_secs(5);

const CONFIGURED: [&str; 2] = ["--configured-ttl", "2000s"];

#[tokio::test]
async fn too_few_keys_and_unclear_ttls_are_said() {
    let mut cache = Cache::new(&[]).await;
    cache.refused(&[], "the sample has 0 keys");
    cache.refused(&CONFIGURED, "the sample has 0 keys");
    cache.write(300, |rng| (rng.u64(100_000..TTL_MS), 0)).await;
    cache.refused(&CONFIGURED, "at least 500 are needed");
    // Half of the keys have a short TTL, and the others all have different ones.
    let any = |rng: &mut Rng| (TTL_MS + (-(1.0 - rng.f64()).ln() * 1e8) as u64, 0);
    cache.write(1_000, any).await;
    cache.write(1_000, |rng| (rng.u64(100_000..TTL_MS), 0)).await;
    let advice = cache.refused(&[], "no sharp upper end");
    assert_eq!(advice["diagnostics"]["currentTtlSeconds"], Value::Null);
    // Keys that no pattern matches do not count.
    cache.refused(&["--pattern", "other:*"], "the sample has 0 keys");
}

#[tokio::test]
async fn a_server_that_counts_uses_is_refused() {
    let mut cache = Cache::new(&["--maxmemory-policy", "allkeys-lfu", "--maxmemory", "1gb"]).await;
    for _ in 0..3 {
        let mut batch = Batch::new();
        for _ in 0..400 {
            let (name, left) = (cache.rng.u64(..).to_string(), cache.rng.u64(1..TTL_MS).to_string());
            batch.add(&[b"SET", name.as_bytes(), b"x", b"PX", left.as_bytes()]);
        }
        cache.conn.batch(batch).await.unwrap();
    }
    cache.refused(&CONFIGURED, "servers with an LFU policy do not keep it");
}

#[tokio::test]
async fn counters_that_say_nothing_are_refused() {
    let mut cache = Cache::new(&[]).await;
    cache.steady().await;
    cache.refused(&CONFIGURED, "need two looks");
    let advice = cache.refused(&CONFIGURED, "0 requests with 0 misses are too few");
    assert_eq!(advice["diagnostics"]["requests"], 0, "thousands of own look-ups are left out: {advice:#}");
    cache.requests(1_000, 9_000).await;
    let advice = cache.refused(&CONFIGURED, "the counters include other keys");
    assert_eq!(
        (&advice["diagnostics"]["requests"], &advice["diagnostics"]["misses"]),
        (&10_000.into(), &9_000.into())
    );
    cache.conn.info_text("CONFIG RESETSTAT").await.unwrap();
    cache.requests(1_000, 9_000).await;
    cache.refused(&CONFIGURED, "its counters were reset");
    // The next look counts from there.
    cache.refused(&CONFIGURED, "0 requests with 0 misses are too few");
    // Another TTL, or other keys, are looked at for the first time.
    cache.refused(&["--configured-ttl", "30s"], "need two looks");
    cache.refused(&["--configured-ttl", "30s", "--pattern", "page:*"], "need two looks");
}

#[tokio::test]
async fn a_restart_between_two_looks_is_noticed() {
    let mut cache = Cache::new(&["--save", "3600 1"]).await;
    cache.write(KEYS, |rng| (rng.u64(0..TTL_MS), 0)).await;
    cache.refused(&CONFIGURED, "need two looks");
    cache.conn.info_text("SAVE").await.unwrap();
    cache.server.kill().unwrap();
    cache.server.start_again().unwrap();
    cache.conn = loop {
        match cache.server.conn().await {
            Ok(conn) if conn.info_text("DBSIZE").await.is_ok() => break conn,
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    cache.requests(2_000, 1_000).await;
    let advice = cache.refused(&CONFIGURED, "a server restarted or failed over");
    assert_eq!(
        (&advice["diagnostics"]["requests"], &advice["diagnostics"]["expired"]),
        (&Value::Null, &Value::Null)
    );
}

#[tokio::test]
async fn full_memory_is_the_reason_before_anything_else() {
    let mut cache = Cache::new(&["--maxmemory-policy", "allkeys-lru"]).await;
    cache.write(KEYS, |rng| (rng.u64(0..TTL_MS), 0)).await;
    cache.refused(&CONFIGURED, "need two looks");
    cache.requests(2_000, 1_000).await;
    let info = keysweep_servers::ask(&cache.conn, "INFO memory").await.unwrap();
    let used = info.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap().to_owned();
    cache.conn.info_text(&format!("CONFIG SET maxmemory {used}")).await.unwrap();
    cache.write(KEYS, |rng| (rng.u64(0..TTL_MS), 0)).await;
    cache.conn.info_text("CONFIG SET maxmemory 0").await.unwrap();
    let advice = cache.refused(&CONFIGURED, "keys were evicted and");
    assert!(advice["diagnostics"]["evicted"].as_u64() > Some(100), "{advice:#}");
}

#[tokio::test]
async fn ages_that_do_not_fit_are_refused() {
    let check = async |of: fn(&mut Rng) -> (u64, u64), expected: &str| {
        let mut cache = Cache::new(&[]).await;
        cache.write(KEYS, of).await;
        cache.refused(&CONFIGURED, "need two looks");
        cache.requests(2_000, 1_000).await;
        cache.refused(&CONFIGURED, expected);
    };
    check(|rng| (rng.u64(0..4_000_000), 0), "expire later than the stated TTL allows").await;
    check(|rng| (rng.u64(0..1_000_000), 0), "not all are written with the stated TTL").await;
    // Entries are deleted, or the traffic grows.
    let growing = |rng: &mut Rng| (2_000_000 - rng.u64(0..2_000_000) * rng.u64(1..1_000) / 1_000, 0);
    check(growing, "the ages of the keys are uneven").await;
}

#[tokio::test]
async fn a_ttl_that_reads_renew_is_recognized() {
    let mut cache = Cache::new(&[]).await;
    // Keys may not be older than the process of their server.
    tokio::time::sleep(SHORT_TTL).await;
    // Idle times are differences of whole seconds by the server's clock.
    let in_second = loop {
        let now_ms = node::time_ms(&cache.conn).await.unwrap() % 1_000;
        if (200..600).contains(&now_ms) {
            break now_ms;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let sliding = |rng: &mut Rng| {
        let idle = 1 + ((-(1.0 - rng.f64()).ln() * 1.5) as u64).min(2);
        (SHORT_TTL.as_millis() as u64 - ((idle - 1) * 1_000 + in_second + rng.u64(50..900)), idle)
    };
    cache.write(KEYS, sliding).await;
    cache.refused(&["--configured-ttl", "5s"], "need two looks");
    cache.requests(2_000, 1_000).await;
    cache.refused(&["--configured-ttl", "5s"], "reads seem to renew the TTL");
}

/// Keys with any bytes, on all nodes of a cluster.
#[tokio::test]
async fn keys_and_counters_of_all_nodes_are_taken_together() {
    let cluster = ClusterServers::start(3, 0).await.unwrap();
    let (state, mut rng) = (State::new(), Rng::with_seed(2));
    let mut seeder = Seeder::connect(&cluster.urls()).await.unwrap();
    let name = |n: u64| [b"\xff\x00\r\n*".as_slice(), &n.to_be_bytes()].concat();
    for n in 0..KEYS {
        seeder.set(&name(n), b"x", Some(rng.u64(10_000..TTL_MS))).await.unwrap();
    }
    seeder.finish().await.unwrap();
    let url = &cluster.urls()[0];
    let args = [["ttl", "advise", "--json", "--redis", url].as_slice(), &CONFIGURED].concat();
    let first: Value = state.command(&args).run().exits(0).json();
    assert!(first["refused"].as_str().unwrap().contains("need two looks"), "{first:#}");
    for n in 0..KEYS + 500 {
        seeder.command(&name(n), &[b"GET", &name(n)]).await.unwrap();
    }
    seeder.finish().await.unwrap();
    let second: Value = state.command(&args).run().exits(0).json();
    for (advice, requests) in [(&first, Value::Null), (&second, (KEYS + 500).into())] {
        let known = &advice["diagnostics"];
        assert_eq!((&known["sampledKeys"], &known["liveKeys"]), (&KEYS.into(), &KEYS.into()), "{advice:#}");
        assert_eq!(known["requests"], requests, "{advice:#}");
    }
    assert_eq!(second["diagnostics"]["misses"], 500, "{second:#}");
    assert!(second["refused"].as_str().unwrap().contains("500 misses were counted"), "{second:#}");
}

#[tokio::test]
async fn databases_are_sampled_together_or_one_by_one() {
    let server = Server::start(&[]).await.unwrap();
    let state = State::new();
    for db in [0, 3] {
        let conn = server.conn().await.unwrap();
        conn.info_text(&format!("SELECT {db}")).await.unwrap();
        let mut batch = Batch::new();
        for n in 0..600 * (db + 1) {
            batch.add(&[
                b"SET",
                format!("k{n}").as_bytes(),
                b"x",
                b"PX",
                format!("{}", 60_000 + n).as_bytes(),
            ]);
        }
        // Keys without a TTL, and our own, are not of interest.
        batch.add(&[b"SET", b"lasting", b"x"]);
        batch.add(&[b"SET", b"keysweep:lock", b"x", b"PX", b"60000"]);
        conn.batch(batch).await.unwrap();
    }
    let check = |more: &[&str], expected: u64| {
        let url = server.url();
        let args = [&["ttl", "advise", "--json", "--configured-ttl", "1h", "--redis", &url], more].concat();
        let advice: Value = state.command(&args).run().exits(0).json();
        assert_eq!(advice["diagnostics"]["liveKeys"], expected, "{more:?}: {advice:#}");
    };
    check(&[], 3_000);
    check(&["--db", "0"], 600);
    check(&["--db", "3"], 2_400);
    check(&["--pattern", "k1*"], 111 + 1_111);
}

#[tokio::test]
async fn usage_errors_are_explained() {
    let check = |args: &[&str], expected: &str| {
        let ended = keysweep(&[&["ttl", "advise"], args].concat()).run();
        ended.exits(2);
        assert!(ended.stderr.contains(expected), "{expected}: {ended}");
    };
    check(&["--target-hit-rate", "100"], "between 0 and 100");
    check(&["--for", "10"], "a unit is missing");
    check(&["--configured-ttl", "soon"], "configured-ttl");
}
