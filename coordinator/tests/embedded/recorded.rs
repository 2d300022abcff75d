//! Messages and records that earlier builds wrote, in `coordinator/tests/recorded/`: this build reads all of them, and folds
//! each recorded run to the result that the earlier build had. A change that a mixed fleet would not survive fails here.
//!
//! A release adds a file: `cargo test --package coordinator --test embedded record_the_messages -- --ignored`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use coordinator::options::Options;
use keysweep_model::ids::RunId;
use keysweep_model::messages::{Action, ReapBatch, ScanTask, Verify};
use keysweep_model::result::CleanupResult;
use keysweep_model::wire;
use keysweep_runtime::context::{Context, Timing};
use keysweep_servers::Server;
use keysweep_storage::queue::Topic;
use keysweep_storage::store;
use keysweep_testkit::kit;
use keysweep_testkit::kit::ground_truth::GroundTruth;
use keysweep_testkit::kit::intercept::Intercept;
use keysweep_testkit::kit::population::{self, Population};
use keysweep_testkit::kit::rule_truth::RuleTruth;
use serde_json::{Value, json};

use crate::without_scripts::RENAMED;

/// Together they reach all wire formats.
const RUNS: [&str; 5] =
    ["delete on a cluster", "expire", "verify in transactions", "inactive users", "rules"];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recorded")
}

/// The recordings, by version.
fn recordings() -> Vec<(String, Value)> {
    let files = std::fs::read_dir(folder()).expect("the folder is there").map(|file| file.unwrap().path());
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap();
        (path.display().to_string(), serde_json::from_str(&text).unwrap())
    };
    files.map(read).collect()
}

fn bytes(text: &Value) -> Vec<u8> {
    BASE64.decode(text.as_str().expect("a text")).expect("base64")
}

fn pairs<'a>(of: &'a Value, what: &str) -> impl Iterator<Item = (&'a str, Vec<u8>)> {
    of[what]
        .as_array()
        .expect("a list")
        .iter()
        .map(|pair| (pair[0].as_str().expect("a name"), bytes(&pair[1])))
}

/// What the outcome of a run says that does not depend on the time or the state of the servers.
fn compared(result: &CleanupResult) -> Value {
    json!({
        "status": result.status, "scanned": result.scanned_keys, "cleaned": result.cleaned_keys,
        "stale": result.stale_ttl_keys, "inactive": result.inactive_user_caches, "accounting": result.accounting,
        "coverage": result.coverage, "rules": result.rules, "nodes": result.nodes, "freed": result.freed_bytes,
        "backend": result.delete_backend, "failover": result.failover,
    })
}

#[tokio::test]
async fn runs_that_earlier_builds_recorded_have_the_same_result() {
    let mut formats = BTreeSet::new();
    let all = recordings();
    assert!(!all.is_empty(), "nothing is recorded");
    for (file, recording) in &all {
        let runs = recording["runs"].as_array().expect("runs");
        assert_eq!(runs.len(), RUNS.len(), "{file}");
        for run in runs {
            let (what, id) = (&run["what"], run["run"].as_str().expect("an id"));
            let mut batches = 0;
            for (topic, payload) in pairs(run, "messages") {
                formats.insert(payload[0]);
                let read = match topic {
                    "tasks" => wire::decode::<ScanTask>(&payload).map(|task| task.run),
                    _ => wire::decode::<ReapBatch>(&payload).map(|batch| batch.run),
                };
                batches += usize::from(topic == "batches");
                assert_eq!(read.unwrap_or_else(|e| panic!("{file}, {what}: {e}")).to_string(), id);
            }
            assert!(batches > 0, "{file}, {what}");
            let context = Context::in_process(std::collections::BTreeMap::new(), Timing::default());
            let mut result = None;
            for (key, value) in pairs(run, "records") {
                formats.insert(value[0]);
                if key == format!("runs/{id}/result") {
                    result = Some(wire::decode::<CleanupResult>(&value).unwrap());
                } else {
                    context.store.create(key, value).await.unwrap();
                }
            }
            let (id, result): (RunId, _) = (id.parse().unwrap(), result.expect("a result"));
            let folded = kit::in_time(reporter::report(&context, id, || 1)).await.unwrap();
            assert_eq!(compared(&folded), compared(&result), "{file}, {what}");
        }
    }
    assert_eq!(formats, (wire::FORMAT..=wire::FORMAT_LATEST).collect(), "a format that no recording has");
}

/// Carries out a run and returns what was sent and stored.
async fn recorded(what: &str, options: &Options) -> Value {
    let preflight = kit::preflight_of(options).await;
    let mut env = kit::env(options, Timing::default());
    let messages = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&messages);
    env.queue = Arc::new(Intercept::new(&env.queue).on_publish(move |call| {
        let topic = if call.topic == Topic::Tasks { "tasks" } else { "batches" };
        seen.lock().unwrap().push(json!([topic, BASE64.encode(&call.payload)]));
        call.forward()
    }));
    let result = kit::run_in(&env, options, &preflight).await.unwrap();
    assert!(result.cleaned_keys > 0 || result.accounting.balanced, "{result:?}");
    let records = store::all(&*env.store, "runs/").await.unwrap();
    let records: Vec<Value> =
        records.iter().map(|entry| json!([entry.key, BASE64.encode(&entry.value)])).collect();
    let messages = messages.lock().unwrap().clone();
    json!({"what": what, "run": result.run_id, "messages": messages, "records": records})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "writes the recording of this version, for a release"]
async fn record_the_messages() {
    let cluster = kit::cluster().await;
    let mut runs = Vec::new();
    let options = kit::options(cluster.urls());
    GroundTruth::mixture(300, "").seed(&options.access).await;
    runs.push(recorded(RUNS[0], &options).await);
    let server = kit::standalone().await;
    let mut options = kit::options(vec![server.url()]);
    options.rules.action = Action::Expire { ttl_ms: 3_600_000, jitter_ms: 0 };
    GroundTruth::mixture(200, "").seed(&options.access).await;
    runs.push(recorded(RUNS[1], &options).await);
    let server = Server::start(&RENAMED).await.unwrap();
    let mut options = kit::options(vec![server.url()]);
    options.rules.verify = Verify::Value;
    GroundTruth::mixture(200, "").seed(&options.access).await;
    runs.push(recorded(RUNS[2], &options).await);
    let server = kit::standalone().await;
    let options = population::options(vec![server.url()], population::zset());
    Population::of(100).seed(&options.access).await;
    runs.push(recorded(RUNS[3], &options).await);
    let server = kit::standalone().await;
    let plain = kit::options(vec![server.url()]);
    let options = Options { rules: RuleTruth::rules(false), max_delete_percent: 100, ..plain };
    RuleTruth::of(500).seed(&options.access).await;
    runs.push(recorded(RUNS[4], &options).await);
    std::fs::create_dir_all(folder()).unwrap();
    let text = serde_json::to_string(&json!({"runs": runs})).unwrap();
    let file = folder().join(format!("{}.json", env!("CARGO_PKG_VERSION")));
    std::fs::write(&file, text + "\n").unwrap();
    println!("{}", file.display());
}
