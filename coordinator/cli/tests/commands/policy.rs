//! From a server that its user does not know to rules: what `inspect --write-policy` writes is accepted, and changes
//! nothing; `policy check` counts the keys that break rules; a run repairs them.

use std::path::{Path, PathBuf};

use keysweep_redis::{Conn, Reply};
use keysweep_servers::Server;
use keysweep_testkit::populations::{POPULATIONS, PopulationKey, TtlShape};
use serde_json::json;

use crate::cli::keysweep;
use crate::inspect::written;

/// A path for a file of a test, without a file.
fn absent(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_file(&path);
    path
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn written_rules_are_accepted_and_never_replaced() {
    let server = Server::start(&[]).await.unwrap();
    let url = server.url();
    for population in POPULATIONS {
        written(&[server.url()], population).await;
        let path = absent(&format!("policy-{}.toml", population.name));
        let file = path.to_str().unwrap();
        let write = ["inspect", "--max-speed", "--redis", &url, "--write-policy", file];
        keysweep(&write).run().exits(0);
        let text = std::fs::read_to_string(&path).unwrap();
        keysweep(&["config", "check", file]).run().exits(0);
        for listed in population.namespaces {
            let names = text.contains(&format!("\"{}\"", listed.pattern));
            assert!(names || listed.share < 10, "{}: {text}", listed.pattern);
        }
        assert!(!text.contains("\naction = \"delete\"") && !text.contains("\nttl ="), "{text}");
        keysweep(&[&write[..], &["--json"]].concat()).run().fails(2, &["exists"]);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }
    // A job without rules would delete by its default patterns.
    server.conn().await.unwrap().info_text("FLUSHALL").await.unwrap();
    let path = absent("policy-empty.toml");
    let empty = keysweep(&["inspect", "--redis", &url, "--write-policy", path.to_str().unwrap()]).run();
    assert!(empty.exits(0).stderr.contains("no rule was written") && !path.exists(), "{empty}");
}

/// How many keys there are.
async fn size(conn: &Conn) -> u64 {
    let Reply::Int(keys) = conn.info_text("DBSIZE").await.unwrap() else { panic!("not a number") };
    u64::try_from(keys).unwrap()
}

/// The keys of namespaces of which some were written without TTL by mistake, those without TTL.
fn forgotten(keys: &[PopulationKey], namespaces: &[keysweep_testkit::populations::Namespace]) -> u64 {
    let is_forgotten = |key: &&PopulationKey| {
        let shape = key.namespace.map(|index| namespaces[index].ttl);
        key.entry.ttl_ms.is_none() && matches!(shape, Some(TtlShape::Forgotten(..)))
    };
    keys.iter().filter(is_forgotten).count() as u64
}

/// As the README says: inspect, read, state TTLs, check, run. No key is lost, and those without TTL by mistake have one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_user_repairs_what_was_forgotten_and_loses_nothing() {
    let server = Server::start(&[]).await.unwrap();
    let (url, conn) = (server.url(), server.conn().await.unwrap());
    for population in POPULATIONS {
        let keys = written(&[server.url()], population).await;
        let count = keys.len() as u64;
        let path = absent(&format!("repair-{}.toml", population.name));
        let file = path.to_str().unwrap();
        keysweep(&["inspect", "--max-speed", "--redis", &url, "--write-policy", file]).run().exits(0);
        let flags = ["--max-speed", "--redis", url.as_str(), "--config", file];
        let run = |words: &[&str]| keysweep(&[words, &flags].concat()).run();
        let wrong = forgotten(&keys, population.namespaces);

        let found = run(&["policy", "check", "--json"]);
        let found = if wrong > 0 { found.exits(6).json() } else { found.exits(0).json() };
        assert_eq!((&found["breaches"], &found["complete"]), (&json!(wrong), &json!(true)), "{found}");
        let owned: u64 =
            found["rules"].as_array().unwrap().iter().map(|rule| rule["scanned"].as_u64().unwrap()).sum();
        assert_eq!(owned + found["unowned"]["keys"].as_u64().unwrap(), count, "{found}");
        let allowed = run(&["policy", "check", "--allow", &wrong.to_string()]);
        assert!(allowed.exits(0).stdout.contains("Break it"), "{allowed}");

        // As it was written, nothing changes.
        run(&["run", "--yes"]).exits(0);
        assert_eq!(size(&conn).await, count);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replace("action = \"report\"\n# ttl", "ttl")).unwrap();
        let repaired = run(&["run", "--yes", "--json", "--grace", "0s"]).exits(0).json();
        assert_eq!(repaired["accounting"]["expired"], wrong, "{repaired}");
        assert_eq!(size(&conn).await, count);
        assert_eq!(run(&["policy", "check", "--json"]).exits(0).json()["breaches"], 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_break_rules_fail_a_pipeline() {
    let server = Server::start(&[]).await.unwrap();
    let (url, conn) = (server.url(), server.conn().await.unwrap());
    let fill = "for i = 1, 30 do redis.call('SET', 'cache:' .. i, 'x') end
                for i = 1, 20 do redis.call('SET', 'cart:' .. i, 'x', 'EX', 900) end
                for i = 1, 10 do redis.call('SET', 'tmp:' .. i, 'x') end";
    conn.command(&[b"EVAL", fill.as_bytes(), b"0"]).await.unwrap();
    let path = absent("pipeline.toml");
    let rules = "[[job]]\nname = \"hygiene\"\n[[job.rule]]\nmatch = [\"cache:*\"]\nttl = \"1h\"\nowner = \"web\"\n\
                 [[job.rule]]\nmatch = [\"cart:*\"]\nmax_ttl = \"1h\"\n";
    std::fs::write(&path, rules).unwrap();
    let check = ["policy", "check", "--redis", &url, "--config", path.to_str().unwrap(), "--format"];
    let run = |format: &str| keysweep(&[&check[..], &[format]].concat()).run().exits(6).stdout.clone();
    let (junit, github, text) = (run("junit"), run("github"), run("text"));
    for part in ["tests=\"2\"", "failures=\"1\"", "classname=\"web\"", "rule 1: cache:*", "30 of 30 keys"] {
        assert!(junit.contains(part), "{part}: {junit}");
    }
    assert!(github.starts_with("::error title=rule 1%3A cache%3A* (web)::30 of 30 keys"), "{github}");
    assert!(
        text.contains("30 keys break 1 of 2 rules") && text.contains("10 keys belong to no rule"),
        "{text}"
    );
    let short = keysweep(&["policy", "check", "--redis", &url, "--json"]).run();
    short.fails(2, &["has no rules", "--write-policy"]);
}
