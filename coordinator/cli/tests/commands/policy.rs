//! From a server that its user does not know to rules: what `inspect --write-policy` writes is accepted, and changes
//! nothing; `policy check` counts the keys that break rules; a run repairs or deletes them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use keysweep_redis::{Conn, Reply};
use keysweep_servers::Server;
use keysweep_testkit::populations::{POPULATIONS, PopulationKey};
use serde_json::json;

use crate::cli::{Ended, keysweep, typed};
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

/// The names of all keys.
async fn names(conn: &Conn) -> BTreeSet<Vec<u8>> {
    let (mut names, mut cursor) = (BTreeSet::new(), b"0".to_vec());
    loop {
        let page = conn.command(&[b"SCAN", &cursor, b"COUNT", b"1000"]).await.unwrap();
        let Reply::Array(page) = page else { panic!("not a page") };
        let [Reply::BulkString(next), Reply::Array(keys)] = page.as_slice() else { panic!("not a page") };
        names.extend(keys.iter().map(|key| match key {
            Reply::BulkString(name) => name.clone(),
            other => panic!("not a name: {other:?}"),
        }));
        next.clone_into(&mut cursor);
        if cursor == b"0" {
            return names;
        }
    }
}

/// How many keys were written without TTL by mistake: all that the application does not need.
fn forgotten(keys: &[PopulationKey]) -> u64 {
    assert!(keys.iter().all(|key| key.wanted || key.entry.ttl_ms.is_none()));
    keys.iter().filter(|key| !key.wanted).count() as u64
}

/// The first steps of the README in a folder of their own, for a server at `url`.
struct FirstSteps {
    url: String,
    folder: PathBuf,
    /// The commands of the README.
    lines: Vec<String>,
}

impl FirstSteps {
    fn new(url: String, name: &str) -> Self {
        let folder =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("first-{name}-{}", uuid::Uuid::now_v7()));
        fs::create_dir(&folder).unwrap();
        let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
        let readme = fs::read_to_string(readme).expect("the page exists");
        let (_, block) = readme.split_once("export KEYSWEEP_REDIS=").expect("the first steps");
        let (block, _) = block.split_once("```").expect("their end");
        let command = |line: &str| line.split('#').next().unwrap_or_default().trim().to_owned();
        let lines: Vec<String> =
            block.lines().map(command).filter(|line| line.starts_with("keysweep ")).collect();
        let expected = ["inspect --write-policy keysweep.toml", "policy check", "plan", "run"];
        assert_eq!(lines, expected.map(|words| format!("keysweep {words}")));
        Self { url, folder, lines }
    }

    /// Executes the line that contains `word`, with more flags.
    fn step(&self, word: &str, more: &str) -> Ended {
        let line = self.lines.iter().find(|line| line.contains(word)).expect("a step");
        let command = typed(&format!("{line} {more}"), &self.folder).env("KEYSWEEP_REDIS", &self.url);
        command.env("KEYSWEEP_MAX_SPEED", "true").env("KEYSWEEP_GRACE", "0s").run()
    }

    /// What the user edits.
    fn edit(&self, from: &str, to: &str) {
        let file = self.folder.join("keysweep.toml");
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(&file, text.replace(from, to)).unwrap();
    }
}

/// On each population, as the README says: inspect, read, check, plan, run. First the rules change nothing, as they were
/// written. Then they state TTLs: what was forgotten is given one, and no key is lost. Then they delete: what was forgotten
/// goes, and no key that the population calls wanted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_user_repairs_or_deletes_what_was_forgotten_and_loses_nothing() {
    let server = Server::start(&[]).await.unwrap();
    let conn = server.conn().await.unwrap();
    for population in POPULATIONS {
        let keys = written(&[server.url()], population).await;
        let (all, wrong) = (names(&conn).await, forgotten(&keys));
        assert!(all.len() == keys.len() && wrong > 100, "{}: {wrong}", population.name);
        let user = FirstSteps::new(server.url(), population.name);
        user.step("inspect", "").exits(0);

        let found = user.step("check", "--json").exits(6).json();
        assert_eq!((&found["breaches"], &found["complete"]), (&json!(wrong), &json!(true)), "{found}");
        let of_rules =
            found["rules"].as_array().unwrap().iter().map(|rule| rule["scanned"].as_u64().unwrap());
        assert_eq!(
            of_rules.sum::<u64>() + found["unowned"]["keys"].as_u64().unwrap(),
            all.len() as u64,
            "{found}"
        );
        user.step("check", &format!("--allow {wrong}")).exits(0);
        user.step("plan", "").exits(0);
        user.step("run", "--yes").exits(0);
        assert_eq!(names(&conn).await, all, "{}", population.name);

        user.edit("action = \"report\"\n# ttl", "ttl");
        let repaired = user.step("run", "--yes --json").exits(0).json();
        assert_eq!(repaired["accounting"]["expired"], wrong, "{repaired}");
        assert_eq!(names(&conn).await, all, "{}", population.name);
        assert_eq!(user.step("check", "--json").exits(0).json()["breaches"], 0);

        let keys = written(&[server.url()], population).await;
        user.edit("\nttl = ", "\naction = \"delete\"\n# ttl = ");
        user.step("plan", "").exits(0);
        let deleted = user.step("run", "--yes --json").exits(0).json();
        assert_eq!(deleted["accounting"]["deleted"], wrong, "{deleted}");
        let wanted = keys.into_iter().filter(|key| key.wanted).map(|key| key.entry.key);
        assert_eq!(names(&conn).await, wanted.collect(), "{}", population.name);
        fs::remove_dir_all(user.folder).unwrap();
    }
}

#[tokio::test]
async fn a_job_without_rules_has_nothing_to_check() {
    let server = Server::start(&[]).await.unwrap();
    let short = keysweep(&["policy", "check", "--redis", &server.url(), "--json"]).run();
    short.fails(2, &["has no rules", "--write-policy"]);
}
