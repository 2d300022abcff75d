//! A simulated application: it looks up keys at every primary during a run, with a known hit rate.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use keysweep_model::messages::Lookups;
use keysweep_model::slot::tag_for;
use keysweep_redis::{Batch, Conn, ConnectOptions, RedisClient, Reply};
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Lookups in one write.
const AT_ONCE: u64 = 100;

/// The pause between two writes: far below a server's limits.
const PAUSE: Duration = Duration::from_millis(4);

/// A running application.
pub struct Application {
    counted: Arc<(AtomicU64, AtomicU64)>,
    stop: CancellationToken,
    work: JoinHandle<()>,
}

impl Application {
    /// Starts one with a hit rate of `percent`.
    pub async fn start(access: &ConnectOptions, percent: u64) -> Self {
        let client = RedisClient::discover(access.clone()).await.unwrap();
        let mut places: Vec<(Conn, Vec<u8>, Vec<u8>)> = Vec::new();
        for primary in &client.topology().primaries {
            let tag = tag_for(primary.slots.iter().next().unwrap_or_default());
            let name = |what: &str| format!("application:{{{tag}}}:{what}").into_bytes();
            let conn = client.conn(&primary.node).await.unwrap();
            conn.command(&[b"SET", &name("there"), b"x"]).await.unwrap();
            places.push((conn, name("there"), name("missing")));
        }
        let (counted, stop) = (Arc::new((AtomicU64::new(0), AtomicU64::new(0))), CancellationToken::new());
        let (reported, ended) = (Arc::clone(&counted), stop.clone());
        #[expect(
            clippy::disallowed_methods,
            reason = "the application is no part of keysweep, and is joined"
        )]
        let work = tokio::spawn(async move {
            while !ended.is_cancelled() {
                for (conn, there, missing) in &places {
                    let mut batch = Batch::new();
                    for n in 0..AT_ONCE {
                        batch.add(&[b"GET", if n < percent { there } else { missing }]);
                    }
                    for reply in conn.batch(batch).await.unwrap() {
                        let counter = if reply == Reply::Nil { &reported.1 } else { &reported.0 };
                        counter.fetch_add(1, Ordering::Relaxed);
                    }
                }
                sleep(PAUSE).await;
            }
        });
        Self { counted, stop, work }
    }

    /// Its lookups so far.
    pub fn counted(&self) -> Lookups {
        let (hits, misses) = &*self.counted;
        Lookups::of(hits.load(Ordering::Relaxed), misses.load(Ordering::Relaxed))
    }

    /// Stops it.
    pub async fn stop(self) {
        self.stop.cancel();
        self.work.await.unwrap();
    }
}
