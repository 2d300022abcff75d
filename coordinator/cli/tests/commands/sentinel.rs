//! Redis behind Sentinels: the primary is found by its name, at the start and again after a failover.

use std::time::Duration;

use keysweep_redis::{ConnectOptions, RedisClient};
use keysweep_servers::Server;
use keysweep_testkit::sentinel::Sentinel;

use crate::cli::certificates::Certificates;
use crate::cli::deployment::{DIGEST, TestDeployment};
use crate::cli::{Ended, SECRET, fake, keysweep};

/// The name of the primary at the Sentinels.
const NAME: &str = "main";

fn plan(url: &str, env: &[(&str, &str)]) -> Ended {
    let command = keysweep(&["plan", "--json", "-vv", "--redis", url]);
    env.iter().fold(command, |command, (name, value)| command.env(name, value)).run()
}

/// A replica of `primary` that has caught up.
async fn replica_of(primary: &Server) -> Server {
    let port = primary.port().to_string();
    let args = ["--replicaof", "127.0.0.1", &port, "--repl-diskless-sync-delay", "0"];
    let replica = Server::start(&[&args[..], &DIGEST[..]].concat()).await.unwrap();
    let conn = replica.conn().await.unwrap();
    loop {
        let info = format!("{:?}", conn.info_text("INFO replication").await.unwrap());
        if info.contains("master_link_status:up") {
            return replica;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_is_found_by_its_name() {
    let server = Server::start(&DIGEST).await.unwrap();
    let place = TestDeployment::standalone(&server).await;
    let stale = place.seed(600).await;
    place.all(&format!("ACL SETUSER me on >{SECRET} ~* +@all")).await;
    let (sentinel, silent) = (Sentinel::start(NAME, &server, &[]).await.unwrap(), fake::unused_port());
    let hosts = format!("{silent},{}", sentinel.address());
    let url = format!("redis+sentinel://me:{SECRET}@{hosts}/{NAME}");
    assert_eq!(plan(&url, &[]).exits(0).json()["staleTTLKeys"], stale);
    let run = keysweep(&["run", "--yes", "--json", "-vv", "--grace", "0s", "--redis", &url]).run();
    let result = run.exits(0).result("completed");
    assert_eq!(result["cleanedKeys"], stale, "{run}");
    assert_eq!(result["nodes"][0]["address"], place.url()["redis://".len()..], "{run}");
    // The error, and the Sentinel that it comes from.
    let other = format!("redis+sentinel://{hosts}/other");
    plan(&other, &[]).fails(2, &[&sentinel.address(), "monitors no `other`", "SENTINEL MASTERS"]);
    plan(&format!("redis+sentinel://{silent}/{NAME}"), &[])
        .fails(5, &[&silent, "it is a Sentinel", "refused"]);
    let wrong = format!("redis+sentinel://me:{SECRET}-not@{hosts}/{NAME}");
    plan(&wrong, &[]).fails(2, &["refused the user or the password", "(user `me`)", "check `--user`"]);
    plan("redis+sentinel://127.0.0.1:1", &[]).fails(2, &["`--redis` is `redis+sentinel://127.0.0.1:1`"]);
    // A login of their own, and a user with no other permission.
    let rules = format!("on >{SECRET} -@all +sentinel|get-master-addr-by-name +ping");
    sentinel.conn().await.unwrap().info_text(&format!("ACL SETUSER looker {rules}")).await.unwrap();
    let looker = [("KEYSWEEP_SENTINEL_USER", "looker"), ("KEYSWEEP_SENTINEL_PASSWORD", SECRET)];
    plan(&url, &looker).exits(0);
    sentinel
        .conn()
        .await
        .unwrap()
        .info_text(&format!("ACL SETUSER default resetpass >{SECRET}"))
        .await
        .unwrap();
    plan(&url, &[]).fails(2, &[&sentinel.address(), "it is a Sentinel", "`--sentinel-user`"]);
    assert_eq!(plan(&url, &[("KEYSWEEP_SENTINEL_PASSWORD", SECRET)]).exits(0).json()["staleTTLKeys"], 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_failover_the_other_server_is_found() {
    let primary = Server::start(&DIGEST).await.unwrap();
    let place = TestDeployment::standalone(&primary).await;
    let stale = place.seed(300).await;
    let replica = replica_of(&primary).await;
    let sentinel = Sentinel::start(NAME, &primary, &[]).await.unwrap();
    sentinel.knows_replicas(NAME, 1).await.unwrap();
    let url = format!("redis+sentinel://{}/{NAME}", sentinel.address());
    let access = ConnectOptions::open(vec![url.clone()]);
    let client = RedisClient::discover(access).await.unwrap();
    let node = client.topology().primaries[0].node.clone();
    let port = || client.topology().primaries[0].port;
    assert_eq!(port(), primary.port());
    primary.kill().unwrap();
    // A run that starts meanwhile waits for the failover.
    let planned = plan(&url, &[]);
    assert_eq!(planned.exits(0).json()["staleTTLKeys"], stale, "{planned}");
    planned.log_contains(&["waiting for it", "Sentinels call it the primary"]);
    // The lost connection is opened again to the new primary.
    client.forget(&node);
    let conn = client.conn(&node).await.unwrap();
    assert_eq!(conn.address(), format!("127.0.0.1:{}", replica.port()));
    assert_eq!(port(), replica.port());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_was_demoted_is_left() {
    let primary = Server::start(&DIGEST).await.unwrap();
    let replica = replica_of(&primary).await;
    let sentinel = Sentinel::start(NAME, &primary, &[]).await.unwrap();
    sentinel.knows_replicas(NAME, 1).await.unwrap();
    let url = format!("redis+sentinel://{}/{NAME}", sentinel.address());
    let client = RedisClient::discover(ConnectOptions::open(vec![url])).await.unwrap();
    let node = client.topology().primaries[0].node.clone();
    // It takes a moment until the Sentinel has checked the replica and accepts it.
    let asked = sentinel.conn().await.unwrap();
    while asked.info_text(&format!("SENTINEL FAILOVER {NAME}")).await.is_err() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // Both still respond; a new query leads to the new primary.
    loop {
        match client.refresh().await {
            Ok(topology) if topology.primaries[0].port == replica.port() => break,
            _ => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
    let conn = client.conn(&node).await.unwrap();
    assert_eq!(conn.address(), format!("127.0.0.1:{}", replica.port()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinels_and_server_over_tls() {
    let ours = Certificates::make();
    let server = ours.redis();
    let args: Vec<&str> = server.iter().map(String::as_str).chain(DIGEST).collect();
    let server = Server::start(&args).await.unwrap();
    let place = TestDeployment::standalone(&server).await.over_tls(&[&server], &ours);
    let stale = place.seed(300).await;
    let lines = ours.redis();
    let lines: Vec<String> =
        lines.chunks(2).map(|pair| format!("{} {}", pair[0].trim_start_matches("--"), pair[1])).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let sentinel = Sentinel::start_tls(NAME, &server, &lines).await.unwrap();
    let url = format!("rediss+sentinel://{}/{NAME}", sentinel.tls_address().unwrap());
    let [ca, cert, key] = ["ca.pem", "client.pem", "client.key"].map(|name| ours.path(name));
    let env = [("KEYSWEEP_CACERT", ca.as_str()), ("KEYSWEEP_CERT", &cert), ("KEYSWEEP_KEY", &key)];
    assert_eq!(plan(&url, &env).exits(0).json()["staleTTLKeys"], stale);
    plan(&url, &env[..1]).fails(2, &["it is a Sentinel", "it wants a client certificate"]);
}
