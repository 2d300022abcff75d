//! Local servers: they start, they can be filled, and they always end.
#![cfg(test)]

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use keysweep_model::slot::slot_of;
use keysweep_redis::{ConnectOptions, RedisError, Reply};
use keysweep_servers::{ClusterServers, Seeder, Server, ServersError, demo_mixture};
use keysweep_testkit::nats_server::NatsServer;
use keysweep_testkit::reshard::Reshard;

fn alive(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

fn leftovers(of: u32) -> Vec<String> {
    let prefix = format!("keysweep-server-{of}-");
    let entries = std::fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with(&prefix)).collect()
}

#[tokio::test]
async fn a_server_is_gone_when_it_is_dropped() {
    let server = Server::start(&["--databases", "4"]).await.unwrap();
    let conn = server.conn().await.unwrap();
    assert!(matches!(conn.info_text("SET a b").await, Ok(Reply::Okay)));
    assert!(conn.info_text("SELECT 5").await.is_err(), "our extra argument holds");
    assert!(server.log_tail().contains("Ready to accept connections"), "{}", server.log_tail());
    let pid = server.pid();
    assert!(alive(pid));
    drop(server);
    assert!(!alive(pid));
}

#[tokio::test]
async fn a_server_can_be_paused_resumed_and_killed() {
    let server = Server::start(&[]).await.unwrap();
    let conn = server.conn().await.unwrap();
    let ping = || conn.command_within(&[b"PING"], Duration::from_millis(300));
    server.pause().unwrap();
    assert!(ping().await.is_err());
    server.resume().unwrap();
    assert!(server.conn().await.unwrap().info_text("PING").await.is_ok());
    server.kill().unwrap();
    assert!(!alive(server.pid()));
    assert!(server.conn().await.is_err());
    server.kill().unwrap();
}

#[tokio::test]
async fn a_password_counts_as_an_answer() {
    let server = Server::start(&["--requirepass", "secret"]).await.unwrap();
    assert!(server.conn().await.is_err());
    let access =
        ConnectOptions { password: Some("secret".to_owned()), ..ConnectOptions::open(vec![server.url()]) };
    let mut seeder = Seeder::open(&access).await.unwrap();
    seeder.set(b"a", b"b", None).await.unwrap();
    seeder.finish().await.unwrap();
    assert_eq!(seeder.keys().await.unwrap(), 1);
}

#[tokio::test]
async fn a_server_that_cannot_start_says_why() {
    let Err(error) = Server::start(&["--no-such-setting", "1"]).await else { panic!("it started") };
    let message = error.to_string();
    assert!(message.contains("ended at once") && message.contains("no-such-setting"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_comes_up_with_replicas_is_filled_and_moves_a_slot() {
    let cluster = ClusterServers::start(3, 1).await.unwrap();
    assert_eq!(cluster.urls().len(), 6);
    for replica in &cluster.nodes()[3..] {
        let Ok(Reply::Array(role)) = replica.conn().await.unwrap().info_text("ROLE").await else {
            panic!("no role")
        };
        assert_eq!(role[0], Reply::BulkString(b"slave".to_vec()));
    }
    let mixture = demo_mixture(5000, 10, 1);
    let truth = mixture.truth();
    let mut seeder = Seeder::connect(&cluster.urls()).await.unwrap();
    for entry in mixture {
        seeder.entry(&entry).await.unwrap();
    }
    seeder.finish().await.unwrap();
    assert_eq!(seeder.keys().await.unwrap(), truth.total());

    let slot = slot_of(b"{tag}");
    for number in 0..250 {
        seeder.set(format!("{{tag}}{number}").as_bytes(), b"", None).await.unwrap();
    }
    seeder.finish().await.unwrap();
    let from = (0..3).find(|index| u32::from(slot) < [5461, 10_922, 16_384][*index]).unwrap();
    let to = (from + 1) % 3;
    cluster.open_slot(slot, from, to).await.unwrap();
    assert_eq!(cluster.move_keys(slot, from, to, 120).await.unwrap(), 120);
    assert_eq!(cluster.move_keys(slot, from, to, usize::MAX).await.unwrap(), 130);
    cluster.close_slot(slot, from, to).await.unwrap();
    let count = async |node: usize| {
        let conn = cluster.nodes()[node].conn().await?;
        Ok::<_, ServersError>(conn.info_text(&format!("CLUSTER COUNTKEYSINSLOT {slot}")).await?)
    };
    assert_eq!((count(from).await.unwrap(), count(to).await.unwrap()), (Reply::Int(0), Reply::Int(250)));
    cluster.move_slot(slot, to, from).await.unwrap();
    assert_eq!((count(from).await.unwrap(), count(to).await.unwrap()), (Reply::Int(250), Reply::Int(0)));
    let pids: Vec<u32> = cluster.nodes().iter().map(|node| node.pid()).collect();
    drop(cluster);
    assert!(!pids.into_iter().any(alive));
}

#[tokio::test]
async fn a_cluster_may_leave_slots_out() {
    let part = ["--cluster-require-full-coverage", "no"];
    let cluster = ClusterServers::start_with(2, 0, &part, Some((0, 99))).await.unwrap();
    let mut seeder = Seeder::connect(&cluster.urls()).await.unwrap();
    let (mut covered, mut refused) = (0, 0);
    for number in 0..2000 {
        let key = format!("key:{number}").into_bytes();
        assert_eq!(seeder.covers(&key), slot_of(&key) > 99);
        match seeder.set(&key, b"", Some(60_000)).await {
            Ok(()) => covered += 1,
            Err(error) => {
                assert!(error.to_string().contains("has no owner"), "{error}");
                refused += 1;
            }
        }
    }
    seeder.finish().await.unwrap();
    assert_eq!((seeder.keys().await.unwrap(), covered + refused), (covered, 2000));
    assert!(refused > 0);
}

#[tokio::test]
async fn rejected_write_is_reported() {
    let server = Server::start(&[]).await.unwrap();
    let mut seeder = Seeder::connect(&[server.url()]).await.unwrap();
    seeder.command(b"a", &[b"NOSUCH", b"a"]).await.unwrap();
    let message = seeder.finish().await.unwrap_err().to_string();
    assert!(message.contains("NOSUCH"), "{message}");
}

/// Publishes `body` to `subject` and returns the body of the reply; uses the raw protocol, without a client.
fn nats_request(server: &NatsServer, subject: &str, body: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", server.port()))?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    let publish = format!("PUB {subject} inbox.1 {}\r\n{body}\r\n", body.len());
    stream.write_all(format!("CONNECT {{\"verbose\":false}}\r\nSUB inbox.1 1\r\n{publish}").as_bytes())?;
    let mut lines = BufReader::new(stream).lines();
    while let Some(line) = lines.next().transpose()? {
        if line.starts_with("MSG inbox.1 ") {
            return lines.next().unwrap_or_else(|| Err(std::io::ErrorKind::UnexpectedEof.into()));
        }
    }
    Err(std::io::ErrorKind::UnexpectedEof.into())
}

#[tokio::test]
async fn a_nats_server_keeps_port_and_messages_over_a_kill() {
    let server = NatsServer::start("").await.unwrap();
    assert_eq!(server.url(), format!("nats://127.0.0.1:{}", server.port()));
    let stream = r#"{"name":"S","subjects":["s"],"storage":"file","num_replicas":1}"#;
    let created = nats_request(&server, "$JS.API.STREAM.CREATE.S", stream).unwrap();
    assert!(created.contains(r#""did_create":true"#), "{created}");
    let stored = nats_request(&server, "s", "message").unwrap();
    assert!(stored.contains(r#""seq":1"#), "{stored}");
    let (pid, port, dir) = (server.pid(), server.port(), server.dir().to_owned());
    server.kill().unwrap();
    assert!(!alive(pid) && dir.join("store/jetstream").exists());
    assert!(nats_request(&server, "s", "message").is_err());
    server.restart().await.unwrap();
    assert!(server.pid() != pid && server.port() == port && server.dir() == dir);
    let info = nats_request(&server, "$JS.API.STREAM.INFO.S", "").unwrap();
    assert!(info.contains(r#""messages":1"#), "{info}");
    server.restart().await.unwrap();
    assert!(nats_request(&server, "s", "message").unwrap().contains(r#""seq":2"#));
    let pid = server.pid();
    drop(server);
    assert!(!alive(pid) && !dir.exists());
}

#[tokio::test]
async fn a_nats_server_can_be_paused_and_resumed() {
    let server = NatsServer::start("jetstream { max_file_store: 1MB }").await.unwrap();
    server.pause().unwrap();
    assert!(nats_request(&server, "$JS.API.INFO", "").is_err());
    server.resume().unwrap();
    let info = nats_request(&server, "$JS.API.INFO", "").unwrap();
    assert!(info.contains("\"storage\":0"), "{info}");
    assert!(server.log_tail().contains("Max Storage:     1.00 MB"), "{}", server.log_tail());
    server.pause().unwrap();
    server.restart().await.unwrap();
    assert!(nats_request(&server, "$JS.API.INFO", "").is_ok());
}

#[tokio::test]
async fn a_nats_server_that_cannot_start_says_why() {
    let Err(error) = NatsServer::start("max_payload: [").await else { panic!("it started") };
    let message = error.to_string();
    assert!(matches!(error, ServersError::NotReady { .. }), "{message}");
    assert!(message.contains("nats-server (`") && message.contains("ended at once"), "{message}");
    assert!(message.contains("Parse error"), "{message}");
}

#[tokio::test]
async fn nats_server_waits_for_its_port_and_detects_another_server_on_it() {
    let server = NatsServer::start("").await.unwrap();
    server.kill().unwrap();
    let other = TcpListener::bind(("127.0.0.1", server.port())).unwrap();
    let other = std::thread::spawn(move || {
        let (mut client, _) = other.accept().unwrap();
        client.write_all(b"INFO {\"server_name\":\"other\"}\r\n").unwrap();
        std::thread::sleep(Duration::from_millis(300));
    });
    server.restart().await.unwrap();
    assert!(other.is_finished());
    assert!(server.log_tail().contains("Server is ready"), "{}", server.log_tail());
    assert!(nats_request(&server, "$JS.API.INFO", "").is_ok());
}

/// Not a test: [`a_killed_parent_leaves_no_server`] runs it as another process.
#[tokio::test]
async fn helper_that_waits_to_be_killed() {
    let Some(server) = std::env::var_os("KEYSWEEP_TEST_HELPER") else { return };
    let (redis, nats);
    let pid = if server == "nats" {
        nats = NatsServer::start("").await.unwrap();
        nats.pid()
    } else {
        redis = Server::start(&[]).await.unwrap();
        redis.pid()
    };
    println!("server {pid}");
    std::thread::sleep(Duration::from_secs(60));
}

/// This test binary as a process that starts `server` (`redis` or `nats`) and waits.
fn helper(server: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "helper_that_waits_to_be_killed", "--nocapture"])
        .env("KEYSWEEP_TEST_HELPER", server);
    command
}

#[test]
fn a_killed_parent_leaves_no_server() {
    for server in ["redis", "nats"] {
        let mut parent = helper(server).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(parent.stdout.take().unwrap()).lines();
        let pid = lines
            .map_while(Result::ok)
            .find_map(|line| line.split("server ").nth(1)?.parse::<u32>().ok())
            .unwrap();
        assert!(alive(pid));
        assert_eq!(leftovers(parent.id()).len(), 1);
        parent.kill().unwrap();
        parent.wait().unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while alive(pid) || !leftovers(parent.id()).is_empty() {
            assert!(Instant::now() < deadline, "{server} server {pid} lives on");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn a_missing_binary_is_an_error_that_names_it() {
    for (server, variable) in [("redis", "KEYSWEEP_REDIS_SERVER"), ("nats", "KEYSWEEP_NATS_SERVER")] {
        let output = helper(server).env(variable, "/nonexistent/server").output().unwrap();
        let text =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{text}");
        assert!(text.contains("/nonexistent/server") && text.contains(variable), "{text}");
    }
}

/// `cargo test -p shared --test live -- --ignored --nocapture soak`: measures the speed of seeding.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a figure, not a check"]
async fn soak_seeding_rate() -> Result<(), RedisError> {
    let cluster = ClusterServers::start(3, 0).await.unwrap();
    let mut seeder = Seeder::connect(&cluster.urls()).await.unwrap();
    let begin = Instant::now();
    for number in 0..500_000_u32 {
        let ttl = (number % 10 != 0).then_some(900_000);
        seeder.set(format!("permissions:{number}:documents").as_bytes(), b"read,write", ttl).await.unwrap();
    }
    seeder.finish().await.unwrap();
    println!("{:.0} keys/s", 500_000.0 / begin.elapsed().as_secs_f64());
    Ok(())
}
