//! Deleting large values does not delay other clients: the server frees them in the background.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use keysweep_model::result::Status;
use keysweep_servers::{Seeder, Server};
use keysweep_testkit::kit;
use keysweep_testkit::kit::ground_truth::GroundTruth;

const MEMBERS: usize = 1_000_000;

/// The maximum latency of other clients.
const WAIT_MAX: Duration = Duration::from_millis(10);

/// Another client with its own thread that sends one PING after the other and records the longest latency.
struct Pinger {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<(Duration, u64)>,
}

impl Pinger {
    fn start(server: &Server) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
        stream.set_nodelay(true).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let (mut longest, mut pings) = (Duration::ZERO, 0);
            while !stopped.load(Ordering::Relaxed) {
                let (begun, mut reply) = (Instant::now(), [0; 7]);
                stream.write_all(b"PING\r\n").unwrap();
                stream.read_exact(&mut reply).unwrap();
                assert_eq!(&reply, b"+PONG\r\n");
                longest = longest.max(begun.elapsed());
                pings += 1;
                std::thread::sleep(Duration::from_micros(200));
            }
            (longest, pings)
        });
        Self { stop, thread }
    }

    /// The longest latency, and the number of PINGs.
    fn end(self) -> (Duration, u64) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

async fn add_set(server: &Server, key: &[u8]) {
    let mut seeder = Seeder::connect(&[server.url()]).await.unwrap();
    let members: Vec<String> = (0..MEMBERS).map(|n| format!("document:{n}")).collect();
    for chunk in members.chunks(1_000) {
        let mut args: Vec<&[u8]> = vec![b"SADD", key];
        args.extend(chunk.iter().map(String::as_bytes));
        seeder.command(key, &args).await.unwrap();
    }
    seeder.finish().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_client_waits_while_a_set_of_a_million_members_is_deleted() {
    let _turn = crate::TURN.lock().await;
    let server = kit::standalone().await;
    let mut options = kit::options(vec![server.url()]);
    options.rules.grace_ms = 200;
    let mut truth = GroundTruth::mixture(2_000, "");
    truth.seed(&options.access).await;
    let big = b"permissions:big".to_vec();
    add_set(&server, &big).await;
    truth.stale.push(big);

    let pinger = Pinger::start(&server);
    let begun = Instant::now();
    let result = kit::run(&options).await;
    // The server continues to free memory after the run.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let (window, (during, pings)) = (begun.elapsed(), pinger.end());
    truth.check(&options.access, &result).await;
    assert_eq!(result.status, Status::Completed);

    let pinger = Pinger::start(&server);
    tokio::time::sleep(window).await;
    let (idle, _) = pinger.end();
    println!("longest PING of {pings}: {during:?} during the run, {idle:?} in {window:?} without one");
    assert!(during <= WAIT_MAX + idle, "{during:?} during the run, {idle:?} without one");

    // A counter-check: the same set, deleted by a command that frees at once.
    add_set(&server, b"permissions:big").await;
    let pinger = Pinger::start(&server);
    server.conn().await.unwrap().info_text("DEL permissions:big").await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let (blocked, _) = pinger.end();
    println!("and {blocked:?} while DEL frees it");
    assert!(blocked > WAIT_MAX, "freeing a million members took {blocked:?}: too few to prove anything");
}
