//! What viewers of the page cost a service: 50 of them during a run, and none, in turn; and one at a service that does
//! nothing else. The run's speed, the latency of an application at the same Redis, and the processor time of the service.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use keysweep_servers::Server;
use serde_json::json;

use crate::cli::api::Api;
use crate::cli::browser::Browser;
use crate::cli::deployment::TestDeployment;
use crate::cli::state::State;
use crate::cli::{Running, SECRET};

/// The most that the page allows.
const VIEWERS: usize = 50;

/// Pairs of turns.
const PAIRS: usize = 8;

const KEYS: u64 = 200_000;

/// How long an idle service is watched, with a viewer and without.
const IDLE: Duration = Duration::from_secs(10);

/// The application's requests per second.
const RATE: u32 = 1_000;

/// What was measured in a turn.
struct Turn {
    keys_per_s: f64,
    /// Of the application, in microseconds.
    p99_us: f64,
    /// The service's processor time, in cores.
    cores: f64,
}

/// A service, and the Redis that it shares with an application.
struct Bench {
    redis: Server,
    service: Running,
    api: Api,
    browser: Browser,
}

impl Bench {
    async fn start(state: &State) -> Self {
        let redis = Server::start(&[]).await.unwrap();
        let place = TestDeployment::standalone(&redis).await;
        place.seed(KEYS).await;
        let serve = ["serve", "--redis", place.url(), "--admin-addr", "127.0.0.1:0"];
        let command = state.command(&serve).env("KEYSWEEP_SCHEDULE", "0 0 1 1 *");
        let mut service = command.env("KEYSWEEP_API_TOKEN", SECRET).start();
        service.wait_for("the service is ready");
        let api = Api { address: service.admin_address(), token: Some(SECRET) };
        let browser = Browser::logged_in(&api, SECRET);
        Self { redis, service, api, browser }
    }

    /// A dry run while `viewers` watch.
    fn turn(&self, viewers: usize) -> Turn {
        let watching: Vec<_> = (0..viewers).map(|_| Viewer::start(&self.browser)).collect();
        let (application, cpu, begun) = (Application::start(&self.redis), self.cpu(), Instant::now());
        let run = self.api.post("/api/runs", &json!({ "dryRun": true })).json(202)["runId"].clone();
        let result = self.api.ended(&run)["result"].clone();
        let cores = (self.cpu() - cpu).as_secs_f64() / begun.elapsed().as_secs_f64();
        let p99_us = application.p99_us();
        let seen: usize = watching.into_iter().map(Viewer::bytes).filter(|bytes| *bytes > 0).count();
        assert_eq!(seen, viewers, "all of them see something");
        assert_eq!((&result["status"], &result["scannedKeys"]), (&json!("completed"), &json!(KEYS)));
        let seconds = result["durationMs"].as_f64().unwrap() / 1_000.0;
        Turn { keys_per_s: result["scannedKeys"].as_f64().unwrap() / seconds, p99_us, cores }
    }

    /// The share of a core that the service takes without a run.
    fn idle(&self, viewers: usize) -> f64 {
        let watching: Vec<_> = (0..viewers).map(|_| Viewer::start(&self.browser)).collect();
        thread::sleep(Duration::from_secs(2));
        let (cpu, begun) = (self.cpu(), Instant::now());
        thread::sleep(IDLE);
        let share = (self.cpu() - cpu).as_secs_f64() / begun.elapsed().as_secs_f64();
        drop(watching);
        share
    }

    /// User and system time of the service so far, in steps of 10 ms.
    fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.service.pid())).unwrap();
        let (_, fields) = stat.rsplit_once(')').unwrap();
        let ticks = fields.split_whitespace().skip(11).take(2).map(|n| n.parse::<u64>().unwrap());
        Duration::from_millis(10 * ticks.sum::<u64>())
    }
}

/// A viewer that reads and looks at nothing: a browser has its own processor.
struct Viewer {
    stream: TcpStream,
    reader: thread::JoinHandle<usize>,
}

impl Viewer {
    fn start(browser: &Browser) -> Self {
        let stream = browser.watch();
        let mut reading = stream.try_clone().unwrap();
        let reader = thread::spawn(move || {
            let (mut sum, mut buffer) = (0, [0; 16 << 10]);
            while let Ok(count @ 1..) = reading.read(&mut buffer) {
                sum += count;
            }
            sum
        });
        Self { stream, reader }
    }

    /// Leaves; returns what it has received.
    fn bytes(self) -> usize {
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
        self.reader.join().unwrap()
    }
}

/// Sends GET at a steady rate. A request that waits for a late predecessor includes that wait.
struct Application {
    stop: Arc<AtomicBool>,
    work: thread::JoinHandle<Vec<Duration>>,
}

impl Application {
    fn start(redis: &Server) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", redis.port())).unwrap();
        stream.set_nodelay(true).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let work = thread::spawn(move || {
            let (mut latencies, begin, mut answer) = (Vec::new(), Instant::now(), [0; 64]);
            for number in 0.. {
                let meant = begin + Duration::from_secs(1) * number / RATE;
                thread::sleep(meant.saturating_duration_since(Instant::now()));
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                stream.write_all(b"*2\r\n$3\r\nGET\r\n$7\r\napp:one\r\n").unwrap();
                // `$-1`: it is not there.
                stream.read_exact(&mut answer[..5]).unwrap();
                latencies.push(meant.elapsed());
            }
            latencies
        });
        Self { stop, work }
    }

    fn p99_us(self) -> f64 {
        self.stop.store(true, Ordering::Relaxed);
        let mut latencies = self.work.join().unwrap();
        latencies.sort_unstable();
        latencies[latencies.len() * 99 / 100].as_secs_f64() * 1e6
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len().is_multiple_of(2) {
        f64::midpoint(values[middle - 1], values[middle])
    } else {
        values[middle]
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures for minutes; cargo xtask soak runs it"]
async fn soak_viewers_cost_a_run_nothing() {
    let _turn = crate::TURN.lock().await;
    let state = State::new();
    let bench = Bench::start(&state).await;
    bench.turn(0);
    let mut pairs = Vec::new();
    for pair in 0..PAIRS {
        // Who begins changes, so that a trend of the machine favours neither.
        let first = if pair % 2 == 0 { 0 } else { VIEWERS };
        let (one, other) = (bench.turn(first), bench.turn(VIEWERS - first));
        let (without, with) = if first == 0 { (one, other) } else { (other, one) };
        println!(
            "{:.0} keys/s, p99 {:.0} us, {:.2} cores without; {:.0} keys/s, p99 {:.0} us, {:.2} cores with {VIEWERS} viewers",
            without.keys_per_s, without.p99_us, without.cores, with.keys_per_s, with.p99_us, with.cores
        );
        pairs.push((without, with));
    }
    let ratio = |of: fn(&Turn) -> f64| median(pairs.iter().map(|(one, two)| of(two) / of(one)).collect());
    let (speed, p99) = (ratio(|turn| turn.keys_per_s), ratio(|turn| turn.p99_us));
    let more = median(pairs.iter().map(|(without, with)| with.cores - without.cores).collect());
    let (idle, viewer, all) = (bench.idle(0), bench.idle(1), bench.idle(VIEWERS));
    println!(
        "with {VIEWERS} viewers, medians of {PAIRS} pairs: {speed:.3} of the keys/s, {p99:.3} of the p99, {more:+.3} cores"
    );
    println!("without a run: {idle:.4} cores, with one viewer {viewer:.4}, with {VIEWERS} {all:.4}");
    assert!(viewer < 0.05 && all < 0.05, "{viewer} and {all} cores");
    assert!(speed > 0.95, "{speed}");
    assert!(p99 < 1.1, "{p99}");
    bench.service.signal("TERM");
    bench.service.end().exits(0);
}
