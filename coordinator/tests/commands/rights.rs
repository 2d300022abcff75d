//! Passwords and rights: what is refused, by whom, and the ACL rule that allows it; and that nothing was changed.

use std::path::Path;

use crate::cli::place::{DIGEST, Place};
use crate::cli::{Ended, SECRET, keysweep};
use shared::servers::{ClusterServers, Server};

const FILE: &str = "redis.acl";

/// A users file that operators are given.
pub fn users_file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The rules of that file as they follow `ACL SETUSER <name>`, with the password of the tests.
pub fn rules(file: &str) -> String {
    let line = users_file(file);
    let rules = line.trim().strip_prefix("user keysweep ").expect("one line for the user keysweep");
    rules.replace(">replace-this-password", &format!(">{SECRET}"))
}

/// Makes a user who has the rights of the file but for `less`, which is a rule that takes one away, or the key
/// pattern to leave out.
async fn user(place: &Place, name: &str, less: &str) {
    let rules = match less.starts_with('~') {
        true => rules(FILE).replace(&format!("{less} "), ""),
        false => format!("{} {less}", rules(FILE)),
    };
    place.user(name, &rules).await;
}

fn run(url: &str, more: &[&str]) -> Ended {
    let args = ["run", "--yes", "--json", "-vv", "--grace", "0s", "--redis", url];
    keysweep(&args.iter().chain(more).copied().collect::<Vec<_>>()).run()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passwords() {
    let server = Server::start(&DIGEST).await.unwrap();
    let place = Place::standalone(&server).await;
    place.seed(300).await;
    let before = place.digest().await;
    let hint = "check `--user`, and the password";
    // A password that nobody asked for, of a user that there is not.
    run(&place.url_of("nobody"), &[])
        .fails(2, &[&place.url()[8..], "refused the user or the password", hint]);
    place.all("CONFIG SET requirepass another").await;
    run(&place.url_of(""), &[]).fails(2, &["refused the user or the password", hint]);
    run(place.url(), &[]).fails(2, &["refused the user or the password", "NOAUTH", hint]);
    assert_eq!(place.digest().await, before);
    // The right one, from each place that it may come from.
    place.all(&format!("CONFIG SET requirepass {SECRET}")).await;
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("password");
    std::fs::write(&file, format!("{SECRET}\n")).unwrap();
    let file = file.to_str().expect("the path is UTF-8");
    run(place.url(), &["--dry-run", "--password-file", file]).exits(0).result("completed");
    let args = ["plan", "--json", "-vv", "--redis", place.url()];
    assert_eq!(keysweep(&args).env("REDISCLI_AUTH", SECRET).run().exits(0).json()["staleTTLKeys"], 30);
    assert_eq!(run(&place.url_of(""), &[]).exits(0).result("completed")["cleanedKeys"], 30);
}

/// A run is refused for lack of one right, whose name and rule it gives, and changes nothing.
async fn refused(place: &Place, less: &str, rule: &str, more: &[&str]) {
    user(place, "lacking", less).await;
    let before = place.digest().await;
    let ended = run(&place.url_of("lacking"), more);
    ended.fails(4, &["127.0.0.1:", "has no permissions to", rule]);
    assert!(!ended.stdout.contains("ACL SETUSER default"), "{ended}");
    assert_eq!(place.digest().await, before, "{less}: something was changed");
    place.all("ACL DELUSER lacking").await;
}

const EVERYWHERE: [&str; 10] =
    ["info", "time", "pttl", "scan", "set", "get", "unlink", "eval", "evalsha", "script|load"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_right_on_a_standalone_server() {
    let server = Server::start(&DIGEST).await.unwrap();
    let place = Place::standalone(&server).await;
    let stale = place.seed(300).await;
    for right in EVERYWHERE {
        let rule = if right == "script|load" { "-script".to_owned() } else { format!("-{right}") };
        refused(&place, &rule, &format!("+{right}"), &[]).await;
    }
    // Only who repairs keys gives them a TTL.
    refused(&place, "-pexpire", "+pexpire", &["--action", "expire", "--expire-ttl", "1h"]).await;
    refused(&place, "-select", "+select", &["--db", "3"]).await;
    refused(&place, "~keysweep:*", "~keysweep:*", &[]).await;
    refused(&place, "~permissions:*", "~permissions:*", &[]).await;
    // Two are named at once, with the user who lacks them.
    user(&place, "poor", "-unlink -set").await;
    let both = "`ACL SETUSER poor +set +unlink`";
    run(&place.url_of("poor"), &[]).fails(4, &["user `poor` lacks rights", both]);
    // Looking takes less.
    user(&place, "looker", "-pexpire -expire -unlink -set -get -eval -evalsha -script").await;
    let looked = run(&place.url_of("looker"), &["--dry-run"]);
    assert_eq!(looked.exits(0).result("completed")["staleTTLKeys"], stale);
    user(&place, "keysweep", "").await;
    assert_eq!(run(&place.url_of("keysweep"), &[]).exits(0).result("completed")["cleanedKeys"], stale);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_right_on_a_cluster() {
    let cluster = ClusterServers::start_with(3, 0, &DIGEST, None).await.unwrap();
    let place = Place::cluster(&cluster).await;
    let stale = place.seed(600).await;
    // A subcommand cannot be taken away from a user whose other subcommands were allowed one by one.
    let without = |names: &[&str]| {
        let all = ["slots", "shards", "nodes", "info", "myid", "countkeysinslot", "getkeysinslot"];
        let rest = all.iter().filter(|name| !names.contains(name));
        rest.fold("-cluster".to_owned(), |rules, name| format!("{rules} +cluster|{name}"))
    };
    for name in ["nodes", "countkeysinslot", "getkeysinslot"] {
        refused(&place, &without(&[name]), &format!("+cluster|{name}"), &[]).await;
    }
    refused(&place, &without(&["slots", "shards"]), "+cluster|slots", &[]).await;
    refused(&place, "-unlink", "+unlink", &[]).await;
    refused(&place, "~keysweep:*", "~keysweep:*", &[]).await;
    // One of the two is enough.
    user(&place, "older", &without(&["shards"])).await;
    run(&place.url_of("older"), &["--dry-run"]).exits(0).result("completed");
    user(&place, "keysweep", "").await;
    assert_eq!(run(&place.url_of("keysweep"), &[]).exits(0).result("completed")["cleanedKeys"], stale);
    assert_eq!(place.keys("keysweep:*").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_users_file_is_one_that_redis_loads() {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("users.acl");
    std::fs::write(&file, users_file(FILE)).unwrap();
    let server = Server::start(&["--aclfile", file.to_str().expect("the path is UTF-8")]).await.unwrap();
    let place = Place::standalone(&server).await;
    let stale = place.seed(300).await;
    let url = place.url().replace("redis://", "redis://keysweep:replace-this-password@");
    assert_eq!(run(&url, &[]).exits(0).result("completed")["cleanedKeys"], stale);
}
