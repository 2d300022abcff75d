//! The roles as an orchestrator sees them: /livez and /readyz while NATS comes and goes, and their end at SIGTERM.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use keysweep_testkit::nats_server::NatsServer;
use serde_json::json;

use crate::cli::broker::{Broker, WORKERS};
use crate::cli::{Running, raw};

async fn nats() -> NatsServer {
    NatsServer::start("").await.expect("a nats-server can be started")
}

/// The status and the body of `GET <path>`.
fn get(address: &str, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: keysweep\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let status = answer.split(' ').nth(1)?.parse().ok()?;
    Some((status, answer.split("\r\n\r\n").nth(1)?.trim().to_owned()))
}

/// Waits for this response of /readyz; /livez is successful all the time.
#[track_caller]
fn becomes(address: &str, status: u16, body: &str) {
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        let ready = get(address, "/readyz");
        if ready == Some((status, body.to_owned())) {
            assert_eq!(get(address, "/livez"), Some((200, "alive".to_owned())));
            return;
        }
        assert!(Instant::now() < until, "{address} says {ready:?}, not {status} {body}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A role, and the address of its health endpoints.
fn role(broker: &Broker, name: &str) -> (Running, String) {
    let mut role = broker.command(&[name], &["--admin-addr", "127.0.0.1:0"]).start();
    let address = role.admin_address();
    (role, address)
}

const ROLES: [&str; 4] = ["serve", WORKERS[0], WORKERS[1], WORKERS[2]];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_role_waits_for_nats_and_outlives_it() {
    let server = nats().await;
    server.kill().unwrap();
    let broker = Broker::start(&["--nats", &server.url()]).await;
    let mut roles = ROLES.map(|name| role(&broker, name));
    for (role, address) in &mut roles {
        role.wait_for(&format!("waiting for NATS at {}", server.url()));
        becomes(address, 503, "waiting for NATS");
    }
    server.restart().await.unwrap();
    for (role, address) in &mut roles {
        role.wait_for("connected to NATS at").wait_for(" is ready, NATS at");
        becomes(address, 200, "ready");
        assert_eq!(get(address, "/elsewhere").map(|(status, _)| status), Some(404));
    }
    server.kill().unwrap();
    for (_, address) in &roles {
        becomes(address, 503, "the connection to NATS is lost");
    }
    server.restart().await.unwrap();
    for (_, address) in &roles {
        becomes(address, 200, "ready");
    }
    assert_eq!(broker.run(&[]).exits(0).result("completed")["cleanedKeys"], broker.stale);
    for (role, _) in roles {
        ends(role, "TERM");
    }
}

#[track_caller]
fn ends(role: Running, signal: &str) {
    let since = Instant::now();
    role.signal(signal);
    let ended = role.end();
    ended.exits(0);
    assert!(since.elapsed() < Duration::from_secs(10), "{ended}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_ends_a_role_that_waits_and_one_whose_nats_has_gone() {
    let server = nats().await;
    let broker = Broker::start(&["--nats", &server.url()]).await;
    let ready = ROLES.map(|name| role(&broker, name));
    for (_, address) in &ready {
        becomes(address, 200, "ready");
    }
    server.kill().unwrap();
    let waiting = ROLES.map(|name| role(&broker, name));
    for (_, address) in &waiting {
        becomes(address, 503, "waiting for NATS");
    }
    for (_, address) in &ready {
        becomes(address, 503, "the connection to NATS is lost");
    }
    for (role, _) in waiting {
        ends(role, "INT");
    }
    for (role, _) in ready {
        ends(role, "TERM");
    }
}

/// A scanner that is processing a task finishes it before it ends, and is not ready meanwhile; unfinished tasks are
/// redelivered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_drains_is_not_ready() {
    let server = nats().await;
    let broker = Broker::start(&["--nats", &server.url()]).await;
    let detached = broker.run(&["--detach"]);
    let run = detached.exits(0).json()["runId"].as_str().expect("a run").to_owned();
    let info = |field: &str| {
        let subject = "$JS.API.CONSUMER.INFO.KEYSWEEP_TASKS.workers";
        raw::request(&server, subject, &json!({}))[field].as_u64().expect("a number")
    };
    while info("num_pending") == 0 {
        std::thread::sleep(Duration::from_millis(20));
    }
    broker.redis.pause().unwrap();
    let (scanner, address) = role(&broker, "scanner");
    while info("num_ack_pending") == 0 {
        std::thread::sleep(Duration::from_millis(20));
    }
    scanner.signal("TERM");
    becomes(&address, 503, "draining");
    broker.redis.resume().unwrap();
    let ended = scanner.end();
    ended.exits(0).log_contains(&["SIGTERM: scanner finishes the work in progress", "scanner ends"]);
    let workers = broker.workers();
    let attached = broker.command(&["runs", "attach", &run], &["--json"]).run();
    assert_eq!(attached.exits(0).result("completed")["cleanedKeys"], broker.stale, "{attached}");
    drop(workers);
}
