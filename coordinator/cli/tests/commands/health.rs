//! `keysweep health` against real processes, and against what may listen in their place.

use std::fs;
use std::time::{Duration, Instant};

use keysweep_testkit::nats_server::NatsServer;

use crate::cli::broker::{Broker, file};
use crate::cli::fake::{self, unused_port};
use crate::cli::{Ended, Running, keysweep};

/// More than the wait for an answer.
const BOUNDED: Duration = Duration::from_secs(8);

fn health(address: &str, more: &[&str]) -> Ended {
    keysweep(&[&["health", "--json", "--admin-addr", address], more].concat()).run()
}

#[track_caller]
fn is_good(ended: &Ended, answer: &str) {
    let page = ended.exits(0).json();
    assert_eq!(page, serde_json::json!({ "healthy": true, "answer": answer }), "{ended}");
}

#[track_caller]
fn is_bad(ended: &Ended, texts: &[&str]) {
    ended.fails(1, texts);
    assert!(ended.took < BOUNDED, "{ended}");
}

/// Waits until the process answers that it is ready.
#[track_caller]
fn becomes_ready(address: &str, process: &Running) {
    let until = Instant::now() + Duration::from_secs(30);
    while health(address, &[]).code != Some(0) {
        assert!(Instant::now() < until, "never ready: {}", process.so_far());
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_is_healthy_when_it_can_work() {
    let server = NatsServer::start("").await.unwrap();
    let broker = Broker::start(&["--nats", &server.url()]).await;
    for name in ["serve", "worker"] {
        server.kill().unwrap();
        let mut process = broker.command(&[name], &["--admin-addr", "127.0.0.1:0"]).start();
        let address = process.admin_address();
        is_bad(&health(&address, &[]), &["not ready: waiting for NATS"]);
        is_good(&health(&address, &["--live"]), "alive");
        server.restart().await.unwrap();
        becomes_ready(&address, &process);
        is_good(&health(&address, &[]), "ready");
        let plain = keysweep(&["health"]).env("KEYSWEEP_ADMIN_ADDR", &address).run();
        assert_eq!((plain.exits(0).stdout.as_str(), plain.stderr.as_str()), ("ready\n", ""), "{plain}");
        // A process that hangs takes connections all the same.
        process.signal("STOP");
        for flags in [&[][..], &["--live"]] {
            is_bad(&health(&address, flags), &["no answer from", "within 3 s"]);
        }
        process.signal("CONT");
        becomes_ready(&address, &process);
        process.signal("TERM");
        process.end().exits(0);
        is_bad(&health(&address, &[]), &["no answer from", "refused", "`--admin-addr IP:PORT`"]);
    }
}

/// Also when the service listens on all addresses, and while the file is edited.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_address_is_found_where_the_service_has_it_from() {
    let server = NatsServer::start("").await.unwrap();
    let broker = Broker::start(&["--nats", &server.url()]).await;
    let everywhere = unused_port().replace("127.0.0.1", "0.0.0.0");
    let job_file = file("health.toml", &format!("[serve]\nadmin_addr = \"{everywhere}\"\n"));
    let mut service = broker.command(&["serve"], &["--config", &job_file]).start();
    service.wait_for("coordinator is ready");
    let by_file = || keysweep(&["health", "--json", "--config", &job_file]).run();
    is_good(&by_file(), "ready");
    fs::write(&job_file, "[serve\n").unwrap();
    is_bad(&by_file(), &["health.toml:1"]);
    is_good(&health(&everywhere, &["--config", &job_file]), "ready");
}

#[test]
fn what_is_wrong_with_the_address_is_named() {
    let give = "`--admin-addr IP:PORT`, `KEYSWEEP_ADMIN_ADDR`";
    is_bad(&keysweep(&["health", "--json"]).run(), &["which process to ask is not known", give]);
    is_bad(&health("127.0.0.1:0", &[]), &["`127.0.0.1:0` (flag --admin-addr) names no port", give]);
    is_bad(&health("localhost:9464", &[]), &["`--admin-addr`", "`127.0.0.1:9464`"]);
    is_bad(&keysweep(&["health", "--json", "--config", "/gone"]).run(), &["/gone"]);
}

#[test]
fn other_programs_are_not_healthy() {
    is_bad(&health(&fake::http(), &[]), &["answers 400 Bad Request", "another program"]);
    let page = fake::says("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    is_bad(&health(&page, &[]), &["answers 200 OK", "another program"]);
    let endless = format!("HTTP/1.1 503 No\r\n\r\n{}", "x".repeat(100_000));
    is_bad(&health(&fake::says(&endless), &[]), &["no answer from"]);
    let odd = "HTTP/1.1 503 No\r\nContent-Length: 4\r\n\r\n\u{1b}[2J";
    is_bad(&health(&fake::says(odd), &[]), &["not ready: \\u{1b}[2J"]);
    is_bad(&health(&fake::silent(), &[]), &["within 3 s"]);
    for other in [fake::garbage(), fake::hangs_up(), unused_port()] {
        is_bad(&health(&other, &[]), &["no answer from", &other]);
    }
}
