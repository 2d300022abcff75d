//! An application with a cache: it reads keys at random times, each at its own rate, and writes those that it misses.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use keysweep_redis::{Batch, Conn, ConnectOptions, Reply};
use keysweep_servers::Server;

/// Between two batches of requests, in microseconds.
const TICK_US: u64 = 3_000;

/// A running application. Dropping it stops it.
pub struct CacheClient {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    /// What the names of its keys begin with.
    prefix: &'static str,
    ttl_ms: AtomicU64,
    hits: AtomicU64,
    misses: AtomicU64,
    stopped: AtomicBool,
}

impl CacheClient {
    /// Reads `keys` keys in a Poisson process each; rates are log-normal, with half a request per 3 s as their median.
    pub fn start(server: &Server, keys: usize, ttl: Duration) -> Self {
        Self::named(server, "page", keys, ttl)
    }

    /// The same with keys that begin with `prefix`.
    pub fn named(server: &Server, prefix: &'static str, keys: usize, ttl: Duration) -> Self {
        let shared = Arc::new(Shared { prefix, ..Shared::default() });
        shared.ttl_ms.store(ttl.as_millis() as u64, Relaxed);
        let (url, of) = (server.url(), Arc::clone(&shared));
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let conn = ConnectOptions::open(vec![url.clone()]).connect_dedicated(&url).await.unwrap();
                run(&conn, &of, keys).await;
            });
        });
        Self { shared, thread: Some(thread) }
    }

    /// From now on it writes with this TTL.
    pub fn set_ttl(&self, ttl: Duration) {
        self.shared.ttl_ms.store(ttl.as_millis() as u64, Relaxed);
    }

    /// Hits and misses so far.
    pub fn counted(&self) -> (u64, u64) {
        (self.shared.hits.load(Relaxed), self.shared.misses.load(Relaxed))
    }

    /// The hit rate of the next while, in percent.
    pub fn hit_rate_of(&self, time: Duration) -> f64 {
        let before = self.counted();
        thread::sleep(time);
        let now = self.counted();
        let (hits, misses) = (now.0 - before.0, now.1 - before.1);
        hits as f64 * 100.0 / (hits + misses) as f64
    }
}

impl Drop for CacheClient {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(thread::panicking() || ended.is_none_or(|ended| ended.is_ok()), "the application failed");
    }
}

async fn run(conn: &Conn, shared: &Shared, keys: usize) {
    let mut rng = fastrand::Rng::with_seed(3);
    let rates: Vec<f64> = (0..keys).map(|_| 0.5 / 3.0 * (1.6 * normal(&mut rng)).exp()).collect();
    let wait_us = |rng: &mut fastrand::Rng, rate: f64| (-(1.0 - rng.f64()).ln() / rate * 1e6) as u64;
    let mut next: BinaryHeap<Reverse<(u64, usize)>> =
        rates.iter().enumerate().map(|(key, rate)| Reverse((wait_us(&mut rng, *rate), key))).collect();
    let begun = Instant::now();
    while !shared.stopped.load(Relaxed) {
        let now_us = begun.elapsed().as_micros() as u64;
        let mut due = BTreeSet::new();
        while let Some(&Reverse((at_us, key))) = next.peek().filter(|next| next.0.0 <= now_us) {
            next.pop();
            next.push(Reverse((at_us + 1 + wait_us(&mut rng, rates[key]), key)));
            due.insert(key);
        }
        // The first entries live shorter, or many keys would expire together again and again.
        let is_new = now_us < shared.ttl_ms.load(Relaxed) * 250;
        request(conn, shared, &due, || if is_new { rng.f64() } else { 1.0 }).await;
        tokio::time::sleep(Duration::from_micros(TICK_US)).await;
    }
}

/// Reads keys, and writes those that are missing, each with this part of the TTL.
async fn request(conn: &Conn, shared: &Shared, keys: &BTreeSet<usize>, mut part: impl FnMut() -> f64) {
    let names: Vec<String> = keys.iter().map(|key| format!("{}:{key}", shared.prefix)).collect();
    let mut reads = Batch::new();
    names.iter().for_each(|name| reads.add(&[b"GET", name.as_bytes()]));
    let replies = conn.batch(reads).await.unwrap();
    let mut writes = Batch::new();
    let ttl_ms = shared.ttl_ms.load(Relaxed) as f64;
    let missing = names.iter().zip(&replies).filter(|(_, reply)| **reply == Reply::Nil);
    for (name, _) in missing {
        let ttl = ((ttl_ms * part()) as u64).max(1).to_string();
        writes.add(&[b"SET", name.as_bytes(), &[b'x'; 100], b"PX", ttl.as_bytes()]);
    }
    shared.misses.fetch_add(writes.len() as u64, Relaxed);
    shared.hits.fetch_add((replies.len() - writes.len()) as u64, Relaxed);
    conn.batch(writes).await.unwrap();
}

fn normal(rng: &mut fastrand::Rng) -> f64 {
    (-2.0 * (1.0 - rng.f64()).ln()).sqrt() * (std::f64::consts::TAU * rng.f64()).cos()
}
