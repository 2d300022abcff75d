//! An application that takes part in experiments with its TTL: it reads a key, writes it if it is not there, and gets the TTL from
//! the hash that keysweep publishes.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use keysweep_model::slot::slot_of;
use keysweep_model::time::now_ms;
use keysweep_redis::{Batch, Conn, ConnectOptions, RedisClient, Reply};
use keysweep_ttl_experiment::bucket_of;
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// Keys of a user.
const KEYS_EACH: u32 = 5;

/// The time between two rounds of requests.
const ROUND: Duration = Duration::from_millis(20);

/// What it does.
#[derive(Clone, Copy)]
pub struct ExperimentApplication {
    pub users: u32,
    /// The TTL of today.
    pub ttl_ms: u64,
    /// Requests per second, of all users.
    pub requests_per_s: u32,
    /// Whether it follows the assignment.
    pub follows: bool,
}

/// An application in progress. Dropping it stops it.
pub struct RunningApplication {
    stop: Arc<AtomicBool>,
    task: Option<JoinHandle<()>>,
}

impl ExperimentApplication {
    /// Starts to serve users from the deployment at `urls`, by the experiment `name`.
    pub fn start(self, urls: Vec<String>, name: &str) -> RunningApplication {
        let (stop, name) = (Arc::new(AtomicBool::new(false)), format!("keysweep:ttl:{name}"));
        let until = Arc::clone(&stop);
        let task = tokio::task::spawn(async move {
            let client = RedisClient::discover(ConnectOptions::open(urls)).await.unwrap();
            let (mut rng, mut assignment, mut round) = (fastrand::Rng::with_seed(1), HashMap::new(), 0_u64);
            while !until.load(Ordering::Relaxed) {
                if round.is_multiple_of(10) {
                    assignment = read(&client, &name).await;
                }
                round += 1;
                self.round(&client, &assignment, &mut rng).await;
                sleep(ROUND).await;
            }
        });
        RunningApplication { stop, task: Some(task) }
    }

    async fn round(
        &self,
        client: &RedisClient,
        assignment: &HashMap<String, String>,
        rng: &mut fastrand::Rng,
    ) {
        let asked = self.requests_per_s as usize * ROUND.as_millis() as usize / 1_000;
        let mut by_node: HashMap<_, Vec<(u32, Vec<u8>)>> = HashMap::new();
        for _ in 0..asked {
            let user = rng.u32(0..self.users);
            let key = format!("permissions:u{user}:{}", rng.u32(0..KEYS_EACH)).into_bytes();
            let topology = client.topology();
            let owner = topology.owner(slot_of(&key)).expect("all slots are served");
            by_node.entry(owner.node.clone()).or_default().push((user, key));
        }
        for (node, keys) in by_node {
            // A server that is gone has no requests.
            let Ok(conn) = client.conn(&node).await else { continue };
            self.requests(&conn, &keys, assignment).await;
        }
    }

    async fn requests(&self, conn: &Conn, keys: &[(u32, Vec<u8>)], assignment: &HashMap<String, String>) {
        let mut reads = Batch::new();
        keys.iter().for_each(|(_, key)| reads.add(&[b"GET", key]));
        let Ok(replies) = conn.batch(reads).await else { return };
        let mut writes = Batch::new();
        for ((user, key), reply) in keys.iter().zip(replies) {
            if reply == Reply::Nil {
                let ttl = if self.follows {
                    ttl_ms(assignment, &format!("u{user}"), self.ttl_ms)
                } else {
                    self.ttl_ms
                };
                // Another reader of the same round may have written it already.
                writes.add(&[b"SET", key, b"granted", b"NX", b"PX", ttl.to_string().as_bytes()]);
            }
        }
        let _ = conn.batch(writes).await;
    }
}

/// The TTL of a user, as `docs/ttl-experiments.md` says.
pub fn ttl_ms(assignment: &HashMap<String, String>, user: &str, today_ms: u64) -> u64 {
    let number = |name: &str| assignment.get(name).and_then(|text| text.parse::<u64>().ok());
    let (Some(start), Some(until), Some(period)) = (number("start"), number("until"), number("period"))
    else {
        return today_ms;
    };
    let now = now_ms();
    if now < start || now >= until {
        return today_ms;
    }
    let bucket = bucket_of(&assignment["salt"], user.as_bytes(), assignment["buckets"].parse().unwrap());
    let arms: Value = serde_json::from_str(&assignment["arms"]).unwrap();
    let is_in =
        |arm: &Value| (arm["from"].as_u64().unwrap()..arm["to"].as_u64().unwrap()).contains(&bucket.into());
    let own = arms.as_array().unwrap().iter().position(is_in).unwrap();
    arms[(own + ((now - start) / period) as usize) % 2]["ttl"].as_u64().unwrap()
}

/// The fields of the hash; none if there is none.
pub async fn read(client: &RedisClient, key: &str) -> HashMap<String, String> {
    let topology = client.topology();
    let owner = topology.owner(slot_of(key.as_bytes())).expect("all slots are served");
    let Ok(conn) = client.conn(&owner.node).await else { return HashMap::new() };
    let texts: Vec<String> = match conn.command(&[b"HGETALL", key.as_bytes()]).await {
        Ok(Reply::Array(items)) => items.iter().map(text).collect(),
        Ok(Reply::Map(items)) => items.iter().flat_map(|(name, value)| [text(name), text(value)]).collect(),
        _ => Vec::new(),
    };
    texts.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()
}

fn text(reply: &Reply) -> String {
    match reply {
        Reply::BulkString(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        other => panic!("not a text: {other:?}"),
    }
}

impl RunningApplication {
    pub async fn stop(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(task) = self.task.take() {
            task.await.expect("the application does not fail");
        }
    }
}

impl Drop for RunningApplication {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
