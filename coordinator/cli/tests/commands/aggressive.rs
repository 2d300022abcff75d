//! Deletion of inactive users' caches on the command line: its messages, the permissions that it needs, and that the
//! keys which keysweep reads from are never touched.

use std::path::Path;

use keysweep_servers::Server;
use serde_json::Value;

use crate::cli::deployment::TestDeployment;
use crate::cli::{Ended, SECRET, keysweep};

/// A server with caches of an active and an inactive user, and a stale key.
struct Scene {
    _server: Server,
    place: TestDeployment,
}

const CACHES: u64 = 20;

impl Scene {
    async fn set() -> Self {
        let server = Server::start(&[]).await.unwrap();
        let place = TestDeployment::standalone(&server).await;
        let scene = Self { _server: server, place };
        scene.fill().await;
        scene
    }

    async fn fill(&self) {
        for n in 0..CACHES {
            for user in ["alice", "bob"] {
                self.place.all(&format!("SET permissions:{user}:{n} read PX 3600000")).await;
            }
        }
        self.place.all("SET permissions:alice:stale read").await;
    }

    async fn warm(&self) {
        let now_s = keysweep_model::time::now_ms() / 1_000;
        self.place.all(&format!("ZADD permissions:warming {now_s} alice 1500000000 bob")).await;
    }

    fn command(&self, word: &str, user: &str, more: &[&str]) -> Ended {
        let url = if user.is_empty() { self.place.url().to_owned() } else { self.place.url_of(user) };
        let common = [word, "-v", "--grace", "0s", "--max-delete-percent", "90", "--redis", &url];
        let yes: &[&str] = if word == "run" { &["--yes"] } else { &[] };
        keysweep(&[&common, yes, more].concat()).run()
    }

    fn aggressive(&self, word: &str, user: &str, more: &[&str]) -> Ended {
        let flags = ["--aggressive", "--activity", "zset:permissions:warming"];
        let identity = ["--identity", "permissions:{user}:*"];
        self.command(word, user, &[&flags[..], &identity, more].concat())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plan_and_run_report_known_counts() {
    let scene = Scene::set().await;
    scene.warm().await;
    let plan = scene.aggressive("plan", "", &[]);
    let page = plan.exits(0).stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    for line in [
        "delete keys without TTL, and keys of inactive users",
        "zset:permissions:warming: 1 users were active within 30 days",
        "20 have a TTL and belong to inactive users: counted",
        "50.0% of the 40 sampled keys with a TTL and a user belong to active users",
        "21 keys would be deleted (51.2%), within the limit of 90%",
    ] {
        assert!(page.contains(line), "{line}\n{page}");
    }
    let plan = scene.aggressive("plan", "", &["--json"]).exits(0).json();
    assert_eq!((&plan["inactiveKeys"], &plan["activeUsers"]), (&Value::from(20), &Value::from(1)));
    assert_eq!(
        (&plan["sampledUserKeys"], &plan["sampledActivePercent"]),
        (&Value::from(40), &Value::from(50.0))
    );
    let plain = scene.command("plan", "", &["--json"]).exits(0).json();
    for unknown in ["inactiveKeys", "sampledUserKeys", "sampledActivePercent"] {
        assert_eq!(plain[unknown], Value::Null, "they were not looked for: {plain:#}");
    }
    let ended = scene.aggressive("run", "", &["--json", "--log-format", "text"]);
    ended.log_contains(&["Aggressive cleanup: true"]);
    let result = ended.exits(0).result("completed");
    assert_eq!((&result["inactiveUserCaches"], &result["cleanedKeys"]), (&Value::from(20), &Value::from(21)));
    let inactive = &result["inactive"];
    assert_eq!((&inactive["searched"], &inactive["activeUsers"]), (&Value::from(true), &Value::from(1)));
    assert_eq!((&inactive["found"], &inactive["activeUser"]), (&Value::from(20), &Value::from(20)));
    assert_eq!(inactive["sampledActivePercent"], Value::from(50.0));
    let plain = scene.command("run", "", &["--json", "--dry-run"]).exits(0).result("completed");
    for unknown in ["found", "activeUser", "nearExpiry", "sampledActivePercent"] {
        assert_eq!(plain["inactive"][unknown], Value::Null, "they were not looked for: {plain:#}");
    }
    scene.fill().await;
    let ended = scene.aggressive("run", "", &[]);
    let page = &ended.exits(0).stdout;
    assert!(page.contains("inactive"), "{page}");
    assert!(page.lines().all(|line| line.chars().count() <= 80), "{page}");
    assert_eq!(scene.place.keys("permissions:warming").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_are_reported_in_plan_log_and_result() {
    let scene = Scene::set().await;
    let why = "an empty set must never mean that everyone is inactive";
    let page = scene.aggressive("plan", "", &[]).exits(0).stdout.replace("\n  ", " ");
    assert!(page.contains("Aggressive cleanup is REFUSED") && page.contains(why), "{page}");
    let plan = scene.aggressive("plan", "", &["--json"]).exits(0).json();
    assert!(plan["aggressiveCleanupRefused"].as_str().is_some_and(|text| text.contains(why)), "{plan}");
    let ended = scene.aggressive("run", "", &["--json", "--log-format", "text"]);
    ended.log_contains(&["Aggressive cleanup: true", "Aggressive cleanup was refused"]);
    let result = ended.exits(0).result("completed");
    assert_eq!((&result["inactiveUserCaches"], &result["cleanedKeys"]), (&Value::from(0), &Value::from(1)));
    assert!(result["issues"].to_string().contains(why), "{result}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_keysweep_reads_from_are_never_touched() {
    let scene = Scene::set().await;
    scene.place.all("HSET permissions:stats hits 1 misses 1").await;
    scene.place.all("SADD permissions:[w]* alice").await;
    scene.place.all("SET permissions:w1 stale").await;
    // Aggressive mode is off: the keys are configured all the same.
    let flags = ["--activity", "set:permissions:[w]*", "--hit-rate", "hash:permissions:stats", "--json"];
    for more in [&[][..], &["--action", "expire"], &["--protect", "none"]] {
        let result = scene.command("run", "", &[&flags[..], more].concat()).exits(0).result("completed");
        assert_eq!(result["accounting"]["protected"], 0, "{result}");
        assert!(result["staleTTLKeys"].as_u64() <= Some(2), "sources are no caching bug: {result}");
    }
    assert_eq!(scene.place.keys("permissions:stats").await, 1);
    assert_eq!(scene.place.keys(r"permissions:\[w\]\*").await, 1);
    assert_eq!(scene.place.keys("permissions:w1").await, 0, "names are taken literally");
}

/// The rules of the users file for operators, with the password of the tests.
fn rules() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/redis.acl");
    let line = std::fs::read_to_string(path).expect("deploy/redis.acl is there");
    let rules = line.trim().strip_prefix("user keysweep ").expect("one line for the user keysweep");
    rules.replace(">replace-this-password", &format!(">{SECRET}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rights() {
    let scene = Scene::set().await;
    scene.warm().await;
    let user = async |name: &str, less: &str| {
        scene.place.all(&format!("ACL SETUSER {name} reset {} {less}", rules())).await;
    };
    user("lacking", "-pexpiretime").await;
    scene.aggressive("run", "lacking", &["--json"]).fails(4, &["has no permissions to", "+pexpiretime"]);
    scene.command("run", "lacking", &["--dry-run", "--json"]).exits(0).result("completed");
    user("lacking", "-object").await;
    let idle = ["--aggressive", "--activity", "idletime", "--json"];
    scene.command("run", "lacking", &idle).fails(4, &["has no permissions to", "+object|idletime"]);
    scene.command("run", "lacking", &["--dry-run", "--json"]).exits(0).result("completed");
    user("lacking", "-zscan").await;
    let result = scene.aggressive("run", "lacking", &["--dry-run", "--json"]).exits(0).result("completed");
    assert!(result["issues"].to_string().contains("`+zscan`"), "{result}");
    // With the whole file, everything works.
    user("keysweep", "").await;
    let result = scene.aggressive("run", "keysweep", &["--json"]).exits(0).result("completed");
    assert_eq!((&result["inactiveUserCaches"], &result["cleanedKeys"]), (&Value::from(20), &Value::from(21)));
    let result = scene.command("run", "keysweep", &idle).exits(0).result("completed");
    assert_eq!(
        (&result["inactive"]["found"], &result["inactive"]["searched"]),
        (&Value::from(0), &Value::from(true))
    );
}
