//! Passwords and permissions: the denied command, its user, and the ACL rule that allows it; and that nothing was
//! changed.

use std::path::Path;

use keysweep_servers::{ClusterServers, Server};

use crate::cli::deployment::{DIGEST, TestDeployment};
use crate::cli::{Ended, SECRET, keysweep};

const FILE: &str = "redis.acl";

/// A users file for operators.
pub fn users_file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The rules of that file as they follow `ACL SETUSER <name>`, with the password of the tests.
pub fn rules(file: &str) -> String {
    let line = users_file(file);
    let rules = line.trim().strip_prefix("user keysweep ").expect("one line for the user keysweep");
    rules.replace(">replace-this-password", &format!(">{SECRET}"))
}

/// Creates a user with the permissions of the file except `less`, which is a rule that removes one, or the key pattern
/// to omit.
async fn user(place: &TestDeployment, name: &str, less: &str) {
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
    let place = TestDeployment::standalone(&server).await;
    place.seed(300).await;
    let before = place.digest().await;
    let hint = "check `--user`, and the password";
    // An unneeded password, for a user that does not exist.
    run(&place.url_of("absent"), &[])
        .fails(2, &[&place.url()[8..], "refused the user or the password", hint]);
    place.all("CONFIG SET requirepass another").await;
    run(&place.url_of(""), &[]).fails(2, &["refused the user or the password", hint]);
    run(place.url(), &[]).fails(2, &["refused the user or the password", "NOAUTH", hint]);
    assert_eq!(place.digest().await, before);
    // The right one, from each possible source.
    place.all(&format!("CONFIG SET requirepass {SECRET}")).await;
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("password");
    std::fs::write(&file, format!("{SECRET}\n")).unwrap();
    let file = file.to_str().expect("the path is UTF-8");
    run(place.url(), &["--dry-run", "--password-file", file]).exits(0).result("completed");
    let args = ["plan", "--json", "-vv", "--redis", place.url()];
    assert_eq!(keysweep(&args).env("REDISCLI_AUTH", SECRET).run().exits(0).json()["staleTTLKeys"], 30);
    assert_eq!(run(&place.url_of(""), &[]).exits(0).result("completed")["cleanedKeys"], 30);
}

/// A run is refused because one permission is missing, which it names with its rule, and changes nothing.
async fn refused(place: &TestDeployment, less: &str, rule: &str, more: &[&str]) {
    user(place, "lacking", less).await;
    let before = place.digest().await;
    let ended = run(&place.url_of("lacking"), more);
    // In the words of Redis 7.0, or of newer versions: `has no permissions to`, `No permissions to`.
    ended.fails(4, &["127.0.0.1:", "o permissions to", rule]);
    assert!(!ended.stdout.contains("ACL SETUSER default"), "{ended}");
    assert_eq!(place.digest().await, before, "{less}: something was changed");
    place.all("ACL DELUSER lacking").await;
}

const EVERYWHERE: [&str; 11] =
    ["info", "time", "pttl", "scan", "set", "get", "unlink", "eval", "evalsha", "script|load", "pexpire"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_right_on_a_standalone_server() {
    let server = Server::start(&DIGEST).await.unwrap();
    let place = TestDeployment::standalone(&server).await;
    let stale = place.seed(300).await;
    for right in EVERYWHERE {
        let rule = if right == "script|load" { "-script".to_owned() } else { format!("-{right}") };
        refused(&place, &rule, &format!("+{right}"), &[]).await;
    }
    refused(&place, "-select", "+select", &["--db", "3"]).await;
    let folder = concat!(env!("CARGO_TARGET_TMPDIR"), "/rights-backup");
    // From an earlier run of the tests, if it exists.
    let _ = std::fs::remove_dir_all(folder);
    refused(&place, "-getrange", "+getrange", &["--backup", folder]).await;
    refused(&place, "-dump", "+dump", &["--backup", folder]).await;
    refused(&place, "-memory", "+memory|usage", &["--backup", folder]).await;
    refused(&place, "-getrange", "+getrange", &["--verify", "value"]).await;
    refused(&place, "-dump", "+dump", &["--verify", "value"]).await;
    refused(&place, "~keysweep:*", "~keysweep:*", &[]).await;
    refused(&place, "~permissions:*", "~permissions:*", &[]).await;
    // Two are named at once, with the user.
    user(&place, "poor", "-unlink -set").await;
    let both = "`ACL SETUSER poor +set +unlink`";
    run(&place.url_of("poor"), &[]).fails(4, &["user `poor` lacks rights", both]);
    // A dry run and a plan need fewer.
    place.user("looker", &rules("redis-read-only.acl")).await;
    let looked = run(&place.url_of("looker"), &["--dry-run"]);
    assert_eq!(looked.exits(0).result("completed")["staleTTLKeys"], stale);
    keysweep(&["plan", "--json", "--redis", &place.url_of("looker")]).run().exits(0);
    user(&place, "keysweep", "").await;
    let before = place.digest().await;
    let ended = run(&place.url_of("keysweep"), &["--backup", folder]);
    assert_eq!(ended.exits(0).result("completed")["cleanedKeys"], stale);
    // Deleted keys are restored with the same permissions.
    let restore =
        |user: &str| keysweep(&["restore", folder, "--yes", "--json", "--redis", &place.url_of(user)]).run();
    user(&place, "poor", "-restore").await;
    restore("poor").fails(4, &["has no permissions to", "the ACL rule `+restore`"]);
    assert_eq!(restore("keysweep").exits(0).json()["restored"], stale);
    assert_eq!(place.digest().await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_right_on_a_cluster() {
    let cluster = ClusterServers::start_with(3, 0, &DIGEST, None).await.unwrap();
    let place = TestDeployment::cluster(&cluster).await;
    let stale = place.seed(600).await;
    // A subcommand cannot be removed from a user whose other subcommands were allowed individually.
    let without = |names: &[&str]| {
        let all = ["slots", "shards", "nodes", "info", "myid", "countkeysinslot", "getkeysinslot"];
        let rest = all.iter().filter(|name| !names.contains(name));
        rest.fold("-cluster".to_owned(), |rules, name| format!("{rules} +cluster|{name}"))
    };
    for name in ["nodes", "countkeysinslot", "getkeysinslot"] {
        refused(&place, &without(&[name]), &format!("+cluster|{name}"), &[]).await;
    }
    // Redis 6.2 does not report which subcommand it denies.
    let rule = if place.is_older().await { "+cluster" } else { "+cluster|slots" };
    refused(&place, &without(&["slots", "shards"]), rule, &[]).await;
    refused(&place, "-unlink", "+unlink", &[]).await;
    refused(&place, "~keysweep:*", "~keysweep:*", &[]).await;
    place.user("looker", &rules("redis-read-only.acl")).await;
    run(&place.url_of("looker"), &["--dry-run"]).exits(0).result("completed");
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
    let known = TestDeployment::standalone(&Server::start(&[]).await.unwrap())
        .await
        .known_rules(&users_file(FILE))
        .await;
    std::fs::write(&file, known).unwrap();
    let server = Server::start(&["--aclfile", file.to_str().expect("the path is UTF-8")]).await.unwrap();
    let place = TestDeployment::standalone(&server).await;
    let stale = place.seed(300).await;
    let url = place.url().replace("redis://", "redis://keysweep:replace-this-password@");
    assert_eq!(run(&url, &[]).exits(0).result("completed")["cleanedKeys"], stale);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_that_were_renamed_away() {
    let start = async |commands: &[&str]| {
        let renamed = commands.iter().flat_map(|command| ["--rename-command", command, ""]);
        let args: Vec<&str> = renamed.chain(DIGEST).collect();
        Server::start(&args).await.unwrap()
    };
    // Without WATCH, there is no way around scripts.
    let server = start(&["UNLINK", "SCRIPT", "WATCH"]).await;
    let place = TestDeployment::standalone(&server).await;
    let stale = place.seed(300).await;
    let before = place.digest().await;
    let ended = run(place.url(), &[]);
    ended.fails(4, &[&place.url()[8..], "has no command `UNLINK`, `SCRIPT`", "rename-command"]);
    assert!(!ended.stdout.contains("ACL SETUSER"), "no right helps\n{ended}");
    assert_eq!(place.digest().await, before);
    // A dry run needs neither.
    assert_eq!(run(place.url(), &["--dry-run"]).exits(0).result("completed")["staleTTLKeys"], stale);
    // Without these, less is known of the keys, and the rest works.
    let server = start(&["MEMORY", "CLIENT"]).await;
    let place = TestDeployment::standalone(&server).await;
    let stale = place.seed(300).await;
    let ended = run(place.url(), &[]);
    let result = ended.exits(0).result("completed");
    assert_eq!(result["cleanedKeys"], stale, "{ended}");
    let problem = result["metrics"]["prefixes"]["problem"].as_str().unwrap_or_default();
    assert!(problem.contains("unknown command 'MEMORY'"), "{ended}");
    let server = start(&["INFO"]).await;
    let ended = run(&server.url(), &[]);
    ended.fails(4, &[&server.url()[8..], "unknown command", "rename-command"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_that_is_changed_half_way() {
    let server = Server::start(&DIGEST).await.unwrap();
    let place = TestDeployment::standalone(&server).await;
    let stale = place.seed(2_000).await;
    user(&place, "rotated", "").await;
    let url = place.url_of("rotated");
    let args = ["run", "--yes", "--json", "-vv", "--log-format", "text", "--grace", "4s", "--redis", &url];
    let mut running = keysweep(&args).start();
    running.wait_for("Deleting ");
    place.all(&format!("ACL SETUSER rotated resetpass >{SECRET}-new")).await;
    place.all("CLIENT KILL USER rotated").await;
    let ended = running.end();
    let result = ended.exits(3).result("partial");
    let accounting = |name: &str| result["accounting"][name].as_u64().unwrap_or_default();
    let (deleted, lost) =
        (accounting("deleted"), ["failed", "unreached", "unconfirmed"].map(accounting).iter().sum::<u64>());
    assert_eq!(deleted + lost, stale, "{ended}");
    let issues = result["issues"].to_string();
    for named in [&place.url()[8..], "refused the user or the password", "(user `rotated`)"] {
        assert!(issues.contains(named), "no issue names {named}\n{ended}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rights_to_fields_are_needed_where_fields_expire() {
    let server = Server::start(&DIGEST).await.unwrap();
    let place = TestDeployment::standalone(&server).await;
    if !place.knows("hpexpire").await {
        println!("skipped: this server knows no TTLs of fields");
        return;
    }
    let stale = place.seed(300).await;
    user(&place, "plain", "").await;
    run(&place.url_of("plain"), &["--dry-run"]).exits(0).result("completed");
    place.all("HSET permissions:hash a 1").await;
    place.all("HPEXPIRE permissions:hash 3600000 FIELDS 1 a").await;
    run(&place.url_of("plain"), &["--dry-run"]).fails(4, &["`ACL SETUSER plain +type +hrandfield +hpttl`"]);
    place.user("fields", &rules("redis-field-ttls.acl")).await;
    for right in ["type", "hrandfield", "hpttl"] {
        place.user("lacking", &format!("{} -{right}", rules("redis-field-ttls.acl"))).await;
        run(&place.url_of("lacking"), &[]).fails(4, &["o permissions to", &format!("+{right}")]);
    }
    let ended = run(&place.url_of("fields"), &[]);
    let result = ended.exits(0).result("completed");
    assert_eq!(result["cleanedKeys"], stale, "{ended}");
    assert_eq!(result["accounting"]["fieldTtl"], 1, "{ended}");
}
