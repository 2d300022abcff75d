//! Plans and dry runs send no write, and no script that could write: checked with the servers' own counters, in all
//! modes. And their reports on the permissions of a run.

use std::collections::BTreeSet;

use keysweep_redis::{Conn, Reply};
use keysweep_servers::{ClusterServers, Server};
use keysweep_testkit::nats_server::NatsServer;

use crate::cli::broker::{Broker, WORKERS};
use crate::cli::deployment::{DIGEST, TestDeployment};
use crate::cli::{Ended, keysweep};
use crate::rights::rules;

/// Commands that can write without being write commands.
const SCRIPTS: [&str; 4] = ["eval", "evalsha", "fcall", "script|load"];

/// The commands that a server has counted since its counters were reset.
async fn sent(conn: &Conn) -> BTreeSet<String> {
    let Reply::BulkString(text) = conn.info_text("INFO commandstats").await.unwrap() else {
        panic!("no text")
    };
    let text = String::from_utf8(text).unwrap();
    text.lines()
        .filter_map(|line| Some(line.strip_prefix("cmdstat_")?.split(':').next()?.to_owned()))
        .collect()
}

/// Whether the server classifies it as a write command.
async fn writes(conn: &Conn, command: &str) -> bool {
    let said = conn.info_text(&format!("COMMAND INFO {command}")).await.unwrap();
    format!("{said:?}").contains("\"write\"")
}

/// Checks that `look`, which ends with `code`, sends no write to the servers of `place`.
async fn only_looks(place: &TestDeployment, look: impl Fn() -> Ended, code: i32) {
    assert!(writes(&place.conns()[0], "unlink").await, "the server tells");
    place.all("CONFIG RESETSTAT").await;
    let before = place.digest().await;
    let ended = look();
    ended.exits(code);
    let mut asked = BTreeSet::new();
    for conn in place.conns() {
        for command in sent(conn).await {
            assert!(!SCRIPTS.contains(&command.as_str()), "{command}\n{ended}");
            assert!(!writes(conn, &command).await, "{command}\n{ended}");
            asked.insert(command);
        }
    }
    assert!(asked.contains("pttl") || asked.contains("pexpiretime"), "it looked: {asked:?}\n{ended}");
    assert_eq!(place.digest().await, before);
}

async fn every_look(place: &TestDeployment) {
    place.seed(600).await;
    let folder = concat!(env!("CARGO_TARGET_TMPDIR"), "/looks-only-backup");
    let look = |args: &[&str]| {
        let at = ["--redis", place.url()];
        keysweep(&[args, &at].concat()).run()
    };
    let idle = ["--aggressive", "--activity", "idletime"];
    let repair = ["--action", "expire", "--expire-ttl", "1h"];
    for more in
        [&[][..], &["--json"], &["--dry-run"], &repair, &["--backup", folder], &idle, &["--full-scan"]]
    {
        only_looks(place, || look(&[&["plan"], more].concat()), 0).await;
    }
    for more in [&["--json"][..], &repair, &["--backup", folder], &idle, &["--full-scan", "--max-speed"]] {
        only_looks(place, || look(&[&["run", "--dry-run"], more].concat()), 0).await;
    }
    for more in [&[][..], &["--json", "--max-speed"]] {
        only_looks(place, || look(&[&["inspect"], more].concat()), 0).await;
    }
    only_looks(place, || look(&["run", "--action", "report"]), 0).await;
    // A run without confirmation has only read, too.
    only_looks(place, || look(&["run"]), 4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_command_writes_to_a_standalone_server() {
    let server = Server::start(&DIGEST).await.unwrap();
    Box::pin(every_look(&TestDeployment::standalone(&server).await)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_command_writes_to_a_cluster() {
    let cluster = ClusterServers::start_with(3, 0, &DIGEST, None).await.unwrap();
    Box::pin(every_look(&TestDeployment::cluster(&cluster).await)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_dry_run_over_nats_writes() {
    let nats = NatsServer::start("").await.unwrap();
    let broker = Broker::start(&["--nats", &nats.url()]).await;
    broker.command(&["nats", "setup"], &["--apply"]).run().exits(0);
    let workers: Vec<_> = WORKERS.into_iter().map(|name| broker.role(name)).collect();
    only_looks(&broker.place, || broker.command(&["plan"], &[]).run(), 0).await;
    only_looks(&broker.place, || broker.run(&["--dry-run"]), 0).await;
    for worker in workers {
        worker.signal("TERM");
        worker.end().exits(0);
    }
}

/// What a plan reports on delete backend and permissions.
fn plan(place: &TestDeployment, user: &str) -> (serde_json::Value, String) {
    let json = keysweep(&["plan", "--json", "--redis", &place.url_of(user)]).run().exits(0).json();
    (json, keysweep(&["plan", "--redis", &place.url_of(user)]).run().exits(0).stdout.clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_reports_whether_it_could_check_the_rights() {
    let server = Server::start(&DIGEST).await.unwrap();
    let place = TestDeployment::standalone(&server).await;
    let stale = place.seed(300).await;
    let asks = !place.is_older().await;
    let all = rules("redis.acl");
    // By a script, by the server's own dry run, and by neither.
    for (name, less) in [("script", ""), ("dry-run", "-eval_ro +acl|dryrun"), ("neither", "-eval_ro")] {
        let less = if asks { less } else { "" };
        place.user(name, &format!("{all} {less}")).await;
        let (json, page) = plan(&place, name);
        let unknown = name == "neither" || !asks;
        assert_eq!(json["rightsUnchecked"].is_string(), unknown, "{name}: {json}");
        assert_eq!(page.contains("RIGHTS NOT CHECKED"), unknown, "{page}");
        assert_eq!(
            json["deleteBackend"],
            if unknown { serde_json::Value::Null } else { "lua".into() },
            "{name}"
        );
    }
    // What the plan could not check is tried by the run.
    let run = |user: &str| {
        keysweep(&["run", "--yes", "--json", "--grace", "0s", "--redis", &place.url_of(user)]).run()
    };
    let before = place.digest().await;
    let neither = if asks { "-eval_ro" } else { "" };
    place.user("poor", &format!("{all} {neither} -unlink")).await;
    run("poor").fails(4, &["user `poor` lacks rights", "+unlink"]);
    assert_eq!(place.digest().await, before);
    assert_eq!(run("neither").exits(0).result("completed")["cleanedKeys"], stale);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_names_each_right_that_a_run_would_lack() {
    let server = Server::start(&DIGEST).await.unwrap();
    let place = TestDeployment::standalone(&server).await;
    place.seed(300).await;
    if place.is_older().await {
        println!("skipped: this server does not tell rights without a write");
        return;
    }
    let all = rules("redis.acl");
    for asking in ["", "-eval_ro +acl|dryrun"] {
        for right in ["set", "get", "unlink", "pexpire", "eval", "evalsha", "script"] {
            place.user("lacking", &format!("{all} {asking} -{right}")).await;
            let plan = keysweep(&["plan", "--json", "--redis", &place.url_of("lacking")]).run();
            let rule = if right == "script" { "+script|load".to_owned() } else { format!("+{right}") };
            plan.fails(4, &["user `lacking` lacks rights", "ermissions to run", &rule]);
        }
        for keys in ["~keysweep:*", "~permissions:*"] {
            place.user("lacking", &format!("{} {asking}", all.replace(&format!("{keys} "), ""))).await;
            let plan = keysweep(&["plan", "--json", "--redis", &place.url_of("lacking")]).run();
            plan.fails(4, &["user `lacking` lacks rights", keys]);
            assert!(!plan.stdout.contains("+unlink"), "the command is not what is missing\n{plan}");
        }
        place.all("ACL DELUSER lacking").await;
    }
}
