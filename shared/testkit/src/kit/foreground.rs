//! A client that measures the latency of its requests during a run: one GET after the other, in its own thread, so
//! that it does not wait for the test.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use keysweep_redis::ConnectOptions;

/// The pause between two requests.
const PAUSE: Duration = Duration::from_millis(1);

/// A running client.
pub struct Foreground {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Duration>>,
}

/// The latencies of its requests.
#[derive(Debug)]
pub struct Latencies {
    pub requests: usize,
    pub median: Duration,
    pub p99: Duration,
}

impl Foreground {
    /// Starts one that queries the first seed of `access`.
    pub fn start(access: &ConnectOptions) -> Self {
        let (access, stop) = (access.clone(), Arc::new(AtomicBool::new(false)));
        let reported = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let conn = access.connect_dedicated(&access.urls[0]).await.unwrap();
                let mut took = Vec::new();
                while !reported.load(Ordering::Relaxed) {
                    let sent = Instant::now();
                    // In a cluster another node may own the key; its redirection takes as long.
                    let _ = conn.command(&[b"GET", b"application:key"]).await;
                    took.push(sent.elapsed());
                    tokio::time::sleep(PAUSE).await;
                }
                took
            })
        });
        Self { stop, thread }
    }

    /// Stops it.
    pub fn stop(self) -> Latencies {
        self.stop.store(true, Ordering::Relaxed);
        let mut took = self.thread.join().expect("its requests are answered");
        took.sort_unstable();
        let at = |percent: usize| took.get(took.len() * percent / 100).copied().unwrap_or_default();
        Latencies { requests: took.len(), median: at(50), p99: at(99) }
    }

    /// The latencies without other load, measured for this long.
    pub async fn alone(access: &ConnectOptions, length: Duration) -> Latencies {
        let alone = Self::start(access);
        tokio::time::sleep(length).await;
        alone.stop()
    }
}
