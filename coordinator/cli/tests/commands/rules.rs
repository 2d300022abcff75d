//! A job file with rules, from the plan to the result, as its user types it.

use std::fs;
use std::path::Path;

use keysweep_servers::{Seeder, Server};
use keysweep_testkit::receiver::{CannedReply, Receiver};
use serde_json::{Value, json};

use crate::cli::keysweep;
use crate::cli::schemas::event_errors;

const JOB: &str = r#"
[[job]]
name = "hygiene"
redis = "main"
grace = "0s"
backup = "BACKUP"

[[job.rule]]
match = ["user:*:profile"]
durable = true
owner = "accounts"

[[job.rule]]
match = ["cache:*"]
except = ["cache:home"]
ttl = "1h"
max_ttl = "7d"
owner = "web"

[[job.rule]]
match = ["tmp:*"]
where = 'type = string and not key ~ "keep$" and ttl > 1h'
action = "delete"
max_delete_percent = 100

[redis.main]
urls = ["REDIS"]
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_file_with_rules_runs_from_the_plan_to_the_restored_backup() {
    let server = Server::start(&[]).await.unwrap();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("rules-{}", uuid::Uuid::now_v7()));
    fs::create_dir(&folder).unwrap();
    let (file, saved) = (folder.join("keysweep.toml"), folder.join("saved"));
    let text = JOB.replace("REDIS", &server.url()).replace("BACKUP", &saved.display().to_string());
    fs::write(&file, text).unwrap();
    let mut seeder = Seeder::connect(&[server.url()]).await.unwrap();
    let day = Some(86_400_000);
    for (key, ttl) in [
        ("user:1:profile", None),
        ("cache:1", None),
        ("cache:2", Some(30 * 86_400_000)),
        ("cache:home", None),
        ("tmp:1", day),
        ("tmp:keep", day),
        ("tmp:2", None),
    ] {
        seeder.set(key.as_bytes(), b"value", ttl).await.unwrap();
    }
    seeder.finish().await.unwrap();
    let config = file.display().to_string();
    let state = folder.join("state").display().to_string();
    let with = |command: &[&str]| {
        let args = [command, &["--config", &config, "--job", "hygiene", "--state-dir", &state]].concat();
        keysweep(&args).run()
    };
    let plan = with(&["plan"]);
    plan.exits(0);
    assert!(plan.stdout.lines().all(|line| line.chars().count() <= 80 || line.contains("saved")), "{plan}");
    let page = plan.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    for text in
        ["3 rules", "cache:*", "give a TTL, shorten longer ones", "1 condition on names is not checked again"]
    {
        assert!(page.contains(text), "{text}: {plan}");
    }
    let ended = with(&["run", "--yes", "--json"]);
    let result = ended.exits(0).json();
    let rules = result["rules"].as_array().unwrap();
    let numbers = |at: usize, names: [&str; 5]| names.map(|name| rules[at][name].as_u64().unwrap());
    let names = ["scanned", "candidates", "deleted", "expired", "clamped"];
    assert_eq!(numbers(0, names), [1, 0, 0, 0, 0], "{ended}");
    assert_eq!(numbers(1, names), [2, 2, 0, 1, 1], "{ended}");
    assert_eq!(numbers(2, names), [3, 1, 1, 0, 0], "{ended}");
    assert_eq!((&rules[1]["owner"], &rules[1]["match"][0]), (&"web".into(), &"cache:*".into()));
    let shown = keysweep(&["runs", "show", "last", "--state-dir", &state]).run();
    shown.exits(0);
    assert!(shown.stdout.lines().all(|line| line.chars().count() <= 80 || line.contains("saved")), "{shown}");
    assert!(shown.stdout.contains("2 cache:*"), "{shown}");
    let trail = keysweep(&["runs", "audit", "--state-dir", &state]).run();
    let lines: Vec<&str> = trail.stdout.lines().collect();
    assert!(lines.iter().any(|line| line.contains("tmp:1") && line.contains("\"rule\":3")), "{trail}");
    // What a rule deleted although it had a TTL gets that TTL again.
    let restored =
        keysweep(&["restore", &saved.display().to_string(), "--redis", &server.url(), "--yes"]).run();
    restored.exits(0);
    let conn = server.conn().await.unwrap();
    let left = conn.info_text("PTTL tmp:1").await.unwrap();
    assert!(matches!(left, keysweep_redis::Reply::Int(ms) if ms > 80_000_000), "{left:?}");
    fs::remove_dir_all(folder).unwrap();
}

/// From a rule in a job file to the one who answers for its keys: in the result, in events and at a webhook.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_about_a_rule_reaches_its_owner() {
    let (server, receiver) =
        (Server::start(&[]).await.unwrap(), Receiver::start([CannedReply::status(204)]).await);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("owner-{}", uuid::Uuid::now_v7()));
    fs::create_dir(&folder).unwrap();
    let file = folder.join("keysweep.toml");
    let job = format!(
        "[[job]]\nname = \"hygiene\"\nredis = \"main\"\ngrace = \"0s\"\nwebhooks = [\"{}\"]\n\
         [[job.rule]]\nmatch = [\"cache:page:*\"]\nttl = \"1h\"\nowner = \"web\"\n\
         [[job.rule]]\nmatch = [\"tmp:*\"]\naction = \"delete\"\n\
         [redis.main]\nurls = [\"{}\"]\n",
        receiver.url(),
        server.url()
    );
    fs::write(&file, job).unwrap();
    let (config, state) = (file.display().to_string(), folder.join("state").display().to_string());
    let run = async |prefix: &str, keys: u64| {
        let mut seeder = Seeder::connect(&[server.url()]).await.unwrap();
        for n in 0..keys {
            seeder.set(format!("cache:page:{prefix}{n}").as_bytes(), b"value", None).await.unwrap();
        }
        seeder.finish().await.unwrap();
        keysweep(&["run", "--yes", "--json", "--config", &config, "--job", "hygiene", "--state-dir", &state])
            .run()
    };
    let web = json!({ "index": 1, "match": ["cache:page:*"], "owner": "web" });
    let named = |ended: &crate::cli::Ended, name: &str| {
        let result = ended.exits(0).json();
        let findings = result["findings"].as_array().unwrap();
        findings.iter().find(|finding| finding["rule"] == name).map(|finding| finding["policyRule"].clone())
    };
    let first = run("a", 12).await;
    assert_eq!(named(&first, "rule-breached"), Some(web.clone()), "{first}");
    assert_eq!(
        named(&first, "rule-without-keys").map(|rule| rule["index"].clone()),
        Some(json!(2)),
        "{first}"
    );
    assert_eq!(named(&first, "stale-keys"), None, "{first}");
    let alert = first.json()["alerts"][0].clone();
    assert_eq!((&alert["alert"], &alert["policyRule"]), (&json!("rule-breached"), &web));
    let posted: Value = serde_json::from_slice(&receiver.sent()[0].body).unwrap();
    assert_eq!((&posted["data"]["policyRule"], event_errors(&posted)), (&web, String::new()), "{posted:#}");
    let second = run("b", 150).await;
    assert_eq!(named(&second, "rule-breaches-grew"), Some(web.clone()), "{second}");
    assert_eq!(receiver.sent().len(), 1, "it goes on firing");
    let events = keysweep(&["events", "--json", "--state-dir", &state]).run();
    let issues: Vec<Value> =
        events.exits(0).stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of_web =
        |event: &&Value| event["type"] == "dev.keysweep.run.issue.v1" && event["data"]["policyRule"] == web;
    assert_eq!(issues.iter().filter(of_web).count(), 2, "{events}");
    issues.iter().for_each(|event| assert_eq!(event_errors(event), "", "{event:#}"));
    // A run that finds no breach resolves it.
    let third = run("c", 0).await;
    assert_eq!(third.exits(0).json()["alerts"], json!([]), "{third}");
    assert_eq!(receiver.sent().len(), 2);
    fs::remove_dir_all(folder).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_that_the_server_cannot_answer_is_named_with_its_line() {
    let server = Server::start(&["--maxmemory-policy", "allkeys-lfu"]).await.unwrap();
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("lfu.toml");
    let text = "[[job]]\nname = \"hygiene\"\n\n[[job.rule]]\nmatch = [\"a:*\"]\ndurable = true\n\n\
                [[job.rule]]\nmatch = [\"b:*\"]\nwhere = \"idle > 7d\"\naction = \"report\"\n";
    fs::write(&file, text).unwrap();
    let path = file.to_str().unwrap();
    for command in [&["plan"][..], &["run", "--yes"], &["policy", "check"]] {
        let args = [command, &["--redis", &server.url(), "--config", path, "--state-dir", "none", "--json"]];
        let place = format!("{path}:8: rule 2 cannot be carried out on redis at");
        keysweep(&args.concat()).run().fails(2, &[&place, "`idle`", "allkeys-lfu"]);
    }
}
