//! `policy check` in a pipeline: its exit code and its forms of output; the workflow in `deploy/`.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use keysweep_servers::Server;
use serde_json::{Value, json};

use crate::cli::{Ended, Keysweep, SECRET, keysweep, typed};

/// Two rules that keys break, one that they keep, and one of which it is not known: strings have no length.
const RULES: &str = r#"
[[job]]
name = "hygiene"
[[job.rule]]
match = ["cache:*"]
ttl = "1h"
max_ttl = "1d"
owner = "web"
[[job.rule]]
match = ["cart:*"]
max_ttl = "1h"
[[job.rule]]
match = ["tmp:*"]
action = "delete"
[[job.rule]]
match = ["doc:*"]
where = "length > 5"
action = "report"
"#;

const FILL: &str = "for i = 1, 20 do redis.call('SET', 'cache:' .. i, 'x') end
    for i = 1, 10 do redis.call('SET', 'cache:l' .. i, 'x', 'EX', 900000) end
    for i = 1, 20 do redis.call('SET', 'cart:' .. i, 'x', 'EX', 900) end
    redis.call('SET', 'tmp:<&>%\\n\\r::error::\\27[31m', 'x')
    redis.call('SET', 'tmp:' .. string.rep('y', 100000), 'x')
    for i = 1, 4 do redis.call('SET', 'doc:' .. i, 'x') end
    for i = 1, 10 do redis.call('SET', 'other:' .. i, 'x') end";

/// A server with keys, and rules for it.
struct Pipeline {
    server: Server,
    rules: PathBuf,
}

impl Pipeline {
    async fn new(name: &str) -> Self {
        let (server, rules) = (Server::start(&[]).await.unwrap(), file(name, RULES));
        let conn = server.conn().await.unwrap();
        conn.command(&[b"EVAL", FILL.as_bytes(), b"0"]).await.unwrap();
        Self { server, rules }
    }

    fn check(&self, args: &[&str]) -> Ended {
        let (url, rules) = (self.server.url(), self.rules.to_str().unwrap());
        let all = [&["policy", "check", "--max-speed", "--redis", &url, "--config", rules], args].concat();
        keysweep(&all).run()
    }

    async fn remove(&self, pattern: &str) {
        let script = "for _, key in ipairs(redis.call('KEYS', ARGV[1])) do redis.call('DEL', key) end";
        let words = [b"EVAL".as_slice(), script.as_bytes(), b"0", pattern.as_bytes()];
        self.server.conn().await.unwrap().command(&words).await.unwrap();
    }
}

fn file(name: &str, text: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("formats-{name}"));
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join("keysweep.toml");
    fs::write(&path, text).unwrap();
    path
}

/// The document must be one that the readers of JUnit XML accept.
fn junit(of: &Ended) -> &str {
    let schema = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli/junit.xsd");
    let mut command = Command::new("xmllint");
    command
        .args(["--noout", "--nonet", "--schema", schema, "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped());
    let mut xmllint = command.spawn().expect("xmllint is installed");
    xmllint.stdin.take().unwrap().write_all(of.stdout.as_bytes()).unwrap();
    let ended = xmllint.wait_with_output().unwrap();
    assert!(ended.status.success(), "{}{of}", String::from_utf8_lossy(&ended.stderr));
    &of.stdout
}

fn contains(text: &str, parts: &[&str]) {
    parts.iter().for_each(|part| assert!(text.contains(part), "`{part}`: {text}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_rules_fail_a_pipeline_in_each_format() {
    let site = Pipeline::new("broken").await;
    let found = site.check(&["--json"]).exits(6).json();
    let of_rule = |at: usize| found["rules"][at].clone();
    assert_eq!(
        [&found["passes"], &found["breaches"], &found["undecided"]],
        [&json!(false), &json!(32), &json!(4)]
    );
    let samples = of_rule(0)["sampleKeys"].as_array().unwrap().clone();
    let reasons: Vec<&Value> = samples.iter().map(|one| &one["reason"]).collect();
    assert_eq!(reasons, ["stale", "stale", "stale", "longTtl", "longTtl", "longTtl"]);
    assert!(samples.iter().all(|one| one["key"].as_str().unwrap().starts_with("cache:")), "{found}");
    assert_eq!(of_rule(1)["sampleKeys"], json!([]));
    let names = of_rule(2)["sampleKeys"].to_string();
    assert!(names.contains("yyy…") && names.len() < 600, "{names}");

    let report = site.check(&["--format", "junit"]);
    contains(
        junit(report.exits(6)),
        &[
            r#"tests="6""#,
            r#"failures="2""#,
            r#"errors="1""#,
            r#"skipped="1""#,
            r#"name="rule 1: cache:*" classname="web""#,
            "30 of 30 keys: no TTL, or a longer TTL than `max_ttl`",
            r#"<testcase name="rule 2: cart:*" classname="keysweep"/>"#,
            "tmp:&lt;&amp;&gt;%",
            r#"message="of 4 keys it is unknown" type="unknown""#,
            r#"<skipped message="10 keys belong to no rule, 10 of them without TTL: other:{id} (10)"/>"#,
            r#"<testcase name="coverage" classname="keysweep"/>"#,
        ],
    );

    let github = site.check(&["--format", "github"]);
    let lines: Vec<&str> = github.exits(6).stdout.lines().collect();
    assert!(
        lines[0].starts_with("::error title=rule 1%3A cache%3A* (web)::30 of 30 keys: no TTL, or"),
        "{github}"
    );
    assert!(
        lines[1].starts_with("::error title=rule 3%3A tmp%3A*::2 of 2 keys: no TTL; to be deleted%0Atmp"),
        "{github}"
    );
    assert_eq!(lines[2], "::error title=rule 4%3A doc%3A*::of 4 keys it is unknown");
    assert!(lines[3].starts_with("::notice title=keysweep::10 keys belong to no rule"), "{github}");
    assert_eq!(lines[4..], ["hygiene: 32 keys break 2 of 4 rules; of 4 keys it is unknown"]);

    let text = site.check(&[]);
    contains(
        &text.exits(6).stdout,
        &["32 keys break 2 of 4 rules", "Unknown", "10 keys belong to no rule", "yyy…"],
    );
    assert!(text.stdout.lines().all(|line| line.chars().count() <= 80 && !line.contains('\u{1b}')), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipeline_does_not_pass_while_facts_are_unknown() {
    let site = Pipeline::new("unknown").await;
    for pattern in ["cache:*", "tmp:*"] {
        site.remove(pattern).await;
    }
    let found = site.check(&["--json"]).exits(3).json();
    assert_eq!(
        [&found["passes"], &found["breaches"], &found["undecided"]],
        [&json!(null), &json!(0), &json!(4)]
    );
    let report = site.check(&["--format", "junit"]);
    contains(junit(report.exits(3)), &[r#"failures="0" errors="1""#, "of 4 keys it is unknown"]);
    let github = site.check(&["--format", "github"]);
    assert!(github.exits(3).stdout.starts_with("::error title=rule 4%3A doc%3A*::of 4 keys"), "{github}");
    contains(
        &site.check(&[]).exits(3).stdout,
        &["no key is known to break any of 4 rules; of 4 keys it is unknown"],
    );

    // Even if all of them break the rule, no more do than may.
    let report = site.check(&["--allow", "4", "--format", "junit"]);
    contains(junit(report.exits(0)), &[r#"failures="0" errors="0""#, "allowed: of 4 keys it is unknown"]);
    site.check(&["--allow", "3"]).exits(3);
    let github = site.check(&["--allow", "4", "--format", "github"]);
    assert!(github.exits(0).stdout.starts_with("::warning title=rule 4"), "{github}");
    site.remove("doc:*").await;
    contains(&site.check(&[]).exits(0).stdout, &["hygiene: no key breaks any of 4 rules\n"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_of_keys_can_be_hidden_and_no_memory_is_measured() {
    let site = Pipeline::new("hidden").await;
    for format in ["text", "json", "junit", "github"] {
        let ended = site.check(&["--format", format, "--sample-keys", "0"]);
        let shown = ended.exits(6).stdout.replace("\\u003c", "<");
        assert!(!shown.contains("yyy") && !shown.contains("<&>"), "{shown}");
    }
    let hidden = site.check(&["--json", "--sample-keys", "0"]).json();
    assert_eq!(hidden["rules"][0]["sampleKeys"], json!(null));
    let all = site.check(&["--json", "--sample-keys", "10"]).json();
    assert_eq!(all["rules"][0]["sampleKeys"].as_array().unwrap().len(), 20);
    site.check(&["--sample-keys", "11"]).exits(2);
    let conn = site.server.conn().await.unwrap();
    let sent = conn.info_text("INFO commandstats").await.unwrap();
    assert!(!format!("{sent:?}").contains("memory|usage"), "{sent:?}");
}

/// The steps of the workflow, as its runner would execute them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_workflow_fails_where_keys_break_rules() {
    let site = Pipeline::new("workflow").await;
    let conn = site.server.conn().await.unwrap();
    let password = [b"CONFIG".as_slice(), b"SET", b"requirepass", SECRET.as_bytes()];
    conn.command(&password).await.unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/github-policy-check.yml");
    let workflow = fs::read_to_string(path).unwrap();
    let workflow = workflow.replace("redis://cache.staging:6379", &site.server.url());
    let workflow = workflow.replace("${{ secrets.REDIS_PASSWORD }}", SECRET);
    let of = |key: &str| {
        let lines = workflow.lines().map(|line| line.trim_start().trim_start_matches("- "));
        lines.filter_map(|line| line.strip_prefix(key)).map(str::to_owned).collect::<Vec<_>>()
    };
    let (variables, steps) = (of("KEYSWEEP_"), of("run: "));
    assert_eq!((variables.len(), steps.len()), (2, 2), "{workflow}");
    let run = |step: &str| {
        let variables = variables.iter().filter_map(|line| line.split_once(": "));
        let set =
            |command: Keysweep, (name, value): (&str, &str)| command.env(&format!("KEYSWEEP_{name}"), value);
        variables.fold(typed(step, site.rules.parent().unwrap()), set).run()
    };
    run(&steps[0]).exits(0);
    let found = run(&steps[1]);
    assert!(found.exits(6).stdout.starts_with("::error title=rule 1"), "{found}");
}
