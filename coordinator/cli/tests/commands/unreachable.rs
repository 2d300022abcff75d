//! Servers that are unreachable, are not Redis, or are not ready: errors with cause, address and remedy; and no
//! unbounded wait.

use std::time::Duration;

use keysweep_servers::Server;

use crate::cli::deployment::{DIGEST, TestDeployment};
use crate::cli::{Ended, SECRET, fake, keysweep};

/// A run against `address`, with a password that must not be shown.
fn run(address: &str) -> Ended {
    let url = format!("redis://me:{SECRET}@{address}");
    keysweep(&["run", "--yes", "--json", "-vv", "--redis", &url]).env("REDISCLI_AUTH", SECRET).run()
}

#[test]
fn no_server_listens() {
    let address = fake::unused_port();
    run(&address).fails(5, &[&address, "cannot be reached", "refused", "check `--redis`"]);
    let missing = "no-such-host.invalid:6379";
    let ended = run(missing);
    ended.fails(5, &[missing, "cannot be reached", "check `--redis`"]);
    // `plan` connects in the same way; REDIS_URL is equivalent to the flag.
    let plan = keysweep(&["plan", "--json"]).env("REDIS_URL", &format!("redis://{address}")).run();
    plan.fails(5, &[&address, "cannot be reached", "REDIS_URL"]);
}

#[test]
fn an_address_of_another_service() {
    for address in [fake::http(), fake::garbage()] {
        let ended = run(&address);
        ended.fails(5, &[&address, "does not answer as a Redis server does", "check the host and the port"]);
        assert!(ended.took < Duration::from_secs(8), "{ended}");
    }
    let address = fake::hangs_up();
    run(&address).fails(5, &[&address, "check"]);
}

#[test]
fn an_address_that_never_replies() {
    let address = fake::silent();
    let ended = run(&address);
    ended.fails(5, &[&address, "check"]);
    assert!(ended.took < Duration::from_secs(20), "{ended}");
}

#[test]
fn ctrl_c_ends_the_wait_for_a_server_that_is_loading() {
    let address = fake::loading();
    let mut running = keysweep(&["run", "--yes", "--json", "--redis", &format!("redis://{address}")]).start();
    running.wait_for("waiting for it").signal("INT");
    let ended = running.end();
    ended.fails(130, &["stopped by SIGINT", "nothing was changed"]);
    ended.log_contains(&[&address, "is not ready", "LOADING"]);
    assert!(ended.took < Duration::from_secs(5), "{ended}");
}

#[test]
#[ignore = "waits for NOT_READY_TIMEOUT"]
fn soak_waiting_for_a_server_that_never_gets_ready_ends() {
    let address = fake::loading();
    // Without a password: a real server accepts one while it loads, and this one does not.
    let ended = keysweep(&["run", "--yes", "--json", "--redis", &format!("redis://{address}")]).run();
    ended.fails(5, &[&address, "is not ready", "LOADING", "try again"]);
    assert!((30..45).contains(&ended.took.as_secs()), "{ended}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_loads_for_a_moment_is_waited_for() {
    let server = Server::start(&DIGEST).await.unwrap();
    let place = TestDeployment::standalone(&server).await;
    let stale = place.seed(2_000).await;
    // A pause of so many microseconds per key, during which the server replies that it is loading.
    place.all("CONFIG SET loading-process-events-interval-bytes 1024 key-load-delay 1000").await;
    let conn = server.conn().await.unwrap();
    let reload = conn.command_within(&[b"DEBUG", b"RELOAD"], Duration::from_secs(60));
    let run = async {
        let mut running = keysweep(&["run", "--yes", "--json", "--redis", place.url()]).start();
        running.wait_for("waiting for it");
        running.end()
    };
    let (reloaded, ended) = tokio::join!(reload, run);
    reloaded.unwrap();
    ended.exits(0).log_contains(&["is not ready"]);
    assert_eq!(ended.result("completed")["cleanedKeys"], stale, "{ended}");
}
