//! A service whose cache has an application with random requests: its advice is what the application measures, and it is in
//! the API, in metrics, and in the result and the report of a run.

use std::thread;
use std::time::{Duration, Instant};

use keysweep_servers::Server;
use serde_json::{Value, json};

use crate::cli::SECRET;
use crate::cli::api::Api;
use crate::cli::cache_client::CacheClient;
use crate::cli::state::State;

const KEYS: usize = 4_000;
const TTL: Duration = Duration::from_secs(3);

/// The latest advice with a curve.
fn advice(api: &Api) -> Value {
    let began = Instant::now();
    loop {
        let answer = api.get("/api/ttl-advice").json(200);
        if answer["advice"]["refused"].is_null() && answer["advice"]["curve"].is_array() {
            return answer["advice"].clone();
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{answer:#}");
        thread::sleep(Duration::from_millis(200));
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "its application needs the machine to itself; cargo xtask soak runs it"]
async fn soak_a_service_tells_what_other_ttls_would_do() {
    let _turn = super::TURN.lock().await;
    let (server, state) = (Server::start(&[]).await.unwrap(), State::new());
    let application = CacheClient::start(&server, KEYS, TTL);
    thread::sleep(TTL + Duration::from_secs(1));
    let url = server.url();
    let serve = ["serve", "--redis", &url, "--admin-addr", "127.0.0.1:0"];
    let command = state.command(&serve).env("KEYSWEEP_SCHEDULE", "0 0 1 1 *");
    let command = command.env("KEYSWEEP_TTL_LOOK_EVERY", "2s").env("KEYSWEEP_API_TOKEN", SECRET);
    let mut service = command.start();
    service.wait_for("the service is ready");
    let api = Api { address: service.admin_address(), token: Some(SECRET) };
    let before = application.counted();
    let advice = advice(&api);
    let after = application.counted();
    let (hits, misses) = (after.0 - before.0, after.1 - before.1);
    let measured = hits as f64 * 100.0 / (hits + misses) as f64;
    let (known, curve) = (&advice["diagnostics"], advice["curve"].as_array().unwrap());
    assert_eq!(known["currentTtlSeconds"], 3.0, "{advice:#}");
    assert!((known["hitRate"].as_f64().unwrap() - measured).abs() < 3.0, "{measured}: {advice:#}");
    assert!(curve.iter().any(|point| point["ttlSeconds"] == 6.0), "{advice:#}");

    let metrics = api.get("/metrics").body;
    assert!(metrics.contains("keysweep_ttl_current_seconds{cleanup_job="), "{metrics}");
    let run = api.post("/api/runs", &json!({ "dryRun": true })).json(202)["runId"].clone();
    let result = &api.ended(&run)["result"];
    assert!(result["metrics"]["ttlAdvice"]["at"].is_string(), "{result:#}");
    let events = state.command(&["events", "--json"]).run();
    events.exits(0);
    assert!(events.stdout.contains("dev.keysweep.ttl_advice.v1"), "{}", events.stdout);
}
