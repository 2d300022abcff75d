//! The hit rate in a result, compared with an application whose lookups are known, while other clients make lookups
//! that keysweep has no record of: a plan, a run that was killed, a run with another history, and a tool.

use std::path::PathBuf;
use std::time::Duration;

use keysweep_redis::{Batch, Conn, Reply};
use keysweep_servers::Server;
use serde_json::Value;

use crate::cli::deployment::{DIGEST, TestDeployment};
use crate::cli::keysweep;

/// Keys that match.
const KEYS: u64 = 1_000;

/// Maximum reads by runs with another history in all runs of the test (reading a lock, checking a permission): the
/// server counts them as GET, as it does those of the application.
const READS_ELSEWHERE: u64 = 10;

/// A server, the application that reads its cache there, and what it has counted since the last run.
struct Bench {
    place: TestDeployment,
    conn: Conn,
    hits: u64,
    misses: u64,
    _server: Server,
}

impl Bench {
    async fn new() -> Self {
        let server = Server::start(&DIGEST).await.unwrap();
        let place = TestDeployment::standalone(&server).await;
        place.seed(KEYS).await;
        let conn = server.conn().await.unwrap();
        Self { place, conn, hits: 0, misses: 0, _server: server }
    }

    /// The application reads `count` keys, 803 of 1,000 of which are there.
    async fn reads(&mut self, count: u64) {
        for begin in (0..count).step_by(1_000) {
            let mut batch = Batch::new();
            for n in begin..(begin + 1_000).min(count) {
                // Keys with a TTL stay.
                let name = if n % 1_000 < 803 { "permissions:1:documents" } else { "permissions:none" };
                batch.add(&[b"GET", name.as_bytes()]);
            }
            for reply in self.conn.batch(batch).await.unwrap() {
                *(if reply == Reply::Nil { &mut self.misses } else { &mut self.hits }) += 1;
            }
        }
    }

    /// Another tool queries type and TTL of `count` keys; half of them exist.
    async fn is_looked_at(&self, count: u64) {
        let mut batch = Batch::new();
        for n in 0..count {
            let name = if n % 2 == 0 { "permissions:1:documents" } else { "permissions:none" };
            batch.add(&[b"TYPE", name.as_bytes()]);
            batch.add(&[b"TTL", name.as_bytes()]);
        }
        self.conn.batch(batch).await.unwrap();
    }

    fn command(&self, args: &[&str], state: &str) -> crate::cli::Keysweep {
        let state = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("hit-rate-{}-{state}", self.place.url().replace(['/', ':'], "-")));
        let args = [args, &["--redis", self.place.url(), "--full-scan"]].concat();
        keysweep(&args).env("KEYSWEEP_STATE_DIR", state.to_str().unwrap()).env("KEYSWEEP_GRACE", "0s")
    }

    /// A run with the history of this bench, and the window since the run before.
    fn run(&mut self) -> (Value, Value) {
        let ended = self.command(&["run", "--yes", "--json"], "ours").run();
        let result = ended.result("completed");
        let window = result["metrics"]["hitRates"]["sinceLastRun"].clone();
        (result, window)
    }

    /// Compares the figures of a run with the application's counters.
    fn checks(&mut self, window: &Value) {
        let beyond = window["lookups"].as_u64().unwrap().checked_sub(self.hits + self.misses);
        assert!(beyond.is_some_and(|reads| reads <= READS_ELSEWHERE), "{window:#}");
        #[expect(clippy::cast_precision_loss, reason = "a percentage")]
        let truth = self.hits as f64 * 100.0 / (self.hits + self.misses).max(1) as f64;
        let (min, max) = (window["hitRateMin"].as_f64().unwrap(), window["hitRateMax"].as_f64().unwrap());
        assert!((min..=max).contains(&truth), "{truth} is not in {window:#}");
        match window["hitRate"].as_f64() {
            Some(rate) => assert!(max - min <= 2.0 && (rate - truth).abs() <= 1.0, "{window:#}"),
            None => assert!(max - min > 2.0 && window["unknownReason"].is_string(), "{window:#}"),
        }
        (self.hits, self.misses) = (0, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lookups_of_other_clients_are_not_counted_as_the_applications() {
    let mut bench = Bench::new().await;
    bench.run();
    // A server with lookups by keysweep and a tool only: no traffic, no rate, no advice.
    bench.command(&["plan"], "none").run().exits(0);
    bench.command(&["run", "--yes"], "elsewhere").run().exits(0);
    bench.is_looked_at(50).await;
    let (result, window) = bench.run();
    bench.checks(&window);
    assert_eq!(result["currentMetrics"]["hitRate"], Value::Null);
    assert!(!result["recommendations"].to_string().contains("hit rate"), "{result:#}");
    // The same with an application that makes many lookups: their number is exact, and the rate is within two points.
    bench.reads(200_000).await;
    bench.command(&["plan"], "none").run().exits(0);
    bench.command(&["run", "--dry-run"], "elsewhere").run().exits(0);
    let mut killed = bench.command(&["run", "--yes", "--rate-limit", "100"], "ours").start();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!killed.has_ended(), "it is in the middle of its work");
    killed.kill();
    bench.is_looked_at(100).await;
    // The lock of the killed run goes with it.
    bench.place.all("DEL keysweep:lock:permission-cache-cleanup").await;
    let (result, window) = bench.run();
    bench.checks(&window);
    assert!(result["currentMetrics"]["hitRate"].is_number(), "{result:#}");
    // Few lookups among many of others: their number is known, the rate is not, and the result gives the reason.
    bench.reads(1_200).await;
    bench.command(&["run", "--dry-run"], "elsewhere").run().exits(0);
    let (result, window) = bench.run();
    bench.checks(&window);
    assert_eq!(result["currentMetrics"]["hitRate"], Value::Null, "{result:#}");
    let why = window["unknownReason"].as_str().unwrap();
    assert!(why.contains("lookups of the application, there were"), "{why}");
}
