//! `keysweep ttl advise` on a real server with an application whose requests are random: its advice is followed, and the hit
//! rate must then be what was promised.

use std::thread;
use std::time::Duration;

use keysweep_servers::Server;
use serde_json::Value;

use crate::cli::cache_client::CacheClient;
use crate::cli::state::State;

const KEYS: usize = 4_000;
const TTL: Duration = Duration::from_secs(3);

/// Ticks and replies cost the application some time, and misses of one key are not independent.
const SLACK_POINTS: f64 = 1.0;

fn advice(state: &State, server: &Server, more: &[&str]) -> Value {
    let url = server.url();
    let args = [&["ttl", "advise", "--redis", &url, "--json"], more].concat();
    state.command(&args).run().exits(0).json()
}

/// The point of the curve with this TTL, in seconds.
#[track_caller]
fn point(advice: &Value, ttl: f64) -> &Value {
    let points = advice["curve"].as_array().unwrap();
    let found = points.iter().find(|point| point["ttlSeconds"] == ttl);
    found.unwrap_or_else(|| panic!("{ttl} s: {advice:#}"))
}

#[track_caller]
fn interval(of: &Value) -> (f64, f64, f64) {
    let number = |name: &str| of[name].as_f64().unwrap_or_else(|| panic!("{name}: {of}"));
    let (low, estimate, high) = (number("low"), number("estimate"), number("high"));
    assert!(low <= estimate && estimate <= high, "{of}");
    (low, estimate, high)
}

/// Follows an advice to write with `ttl`, and compares the hit rate with the promised one.
fn follow(application: &CacheClient, advice: &Value, ttl: Duration) {
    let (low, estimate, high) = interval(&point(advice, ttl.as_secs_f64())["hitRate"]);
    assert!(high - low < 12.0, "an interval that says something: {low}..{high}");
    application.set_ttl(ttl);
    // Until all entries are written with it.
    thread::sleep(TTL + ttl);
    let found = application.hit_rate_of(ttl);
    println!("with {ttl:?}: {found:.1} %, promised {estimate:.1} % ({low:.1} to {high:.1})");
    assert!(
        (low - SLACK_POINTS..=high + SLACK_POINTS).contains(&found),
        "{found} of {low}..{high}: {advice:#}"
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "its application needs the machine to itself, and a healthy cache is refused by chance now and then; cargo xtask soak runs it"]
async fn soak_advice_that_is_followed_keeps_its_promise() {
    let _turn = super::TURN.lock().await;
    let (server, state) = (Server::start(&[]).await.unwrap(), State::new());
    let application = CacheClient::start(&server, KEYS, TTL);
    thread::sleep(TTL + Duration::from_secs(1));
    let first = advice(&state, &server, &[]);
    let why = first["refused"].as_str().unwrap();
    assert!(why.contains("need two looks") && why.contains("look again in 2 s"), "{why}");
    assert_eq!((&first["recommended"], first["curve"].as_array().map(Vec::len)), (&Value::Null, Some(0)));
    assert_eq!(
        (&first["diagnostics"]["currentTtlSeconds"], &first["diagnostics"]["ttlFrom"]),
        (&3.0.into(), &"keys".into())
    );

    let before = application.counted();
    thread::sleep(Duration::from_secs(5));
    let second = advice(&state, &server, &[]);
    let after = application.counted();
    assert_eq!(second["refused"], Value::Null, "{second:#}");
    let known = &second["diagnostics"];
    let requests = known["requests"].as_u64().unwrap() as f64;
    let counted = (after.0 + after.1 - before.0 - before.1) as f64;
    // The looks are a little earlier than the calls return; thousands of look-ups of their own are left out.
    assert!((requests / counted - 1.0).abs() < 0.1, "{requests} of {counted}");
    let live = known["liveKeys"].as_u64().unwrap();
    assert!((1_200..1_800).contains(&live), "{live}");
    assert_eq!(interval(&point(&second, 3.0)["misses"]), (1.0, 1.0, 1.0));
    let bytes = interval(&point(&second, 6.0)["bytes"]).1;
    assert!((100.0..400.0).contains(&(bytes / interval(&point(&second, 6.0)["keys"]).1)), "{second:#}");
    // Nothing shorter than 2 s is estimated, and without keys that were followed nothing beyond 6 s.
    assert_eq!(second["curve"].as_array().unwrap().len(), 2, "{second:#}");
    let recommended = second["recommended"]["ttlSeconds"].as_f64().unwrap();
    assert!([3.0, 6.0].contains(&recommended), "{second:#}");
    follow(&application, &second, 2 * TTL);
}

/// The advice about the keys of one namespace.
#[track_caller]
fn group<'a>(advice: &'a Value, keys: &str) -> &'a Value {
    let groups = advice["groups"].as_array().unwrap_or_else(|| panic!("{advice:#}"));
    groups.iter().find(|group| group["keys"] == keys).unwrap_or_else(|| panic!("{keys}: {advice:#}"))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "its applications need the machine to themselves; cargo xtask soak runs it"]
async fn soak_keys_with_several_ttls_are_grouped() {
    let _turn = super::TURN.lock().await;
    let (server, state) = (Server::start(&[]).await.unwrap(), State::new());
    let pages = CacheClient::start(&server, KEYS, TTL);
    let sessions = CacheClient::named(&server, "session", KEYS, 2 * TTL);
    thread::sleep(2 * TTL + Duration::from_secs(1));
    let first = advice(&state, &server, &[]);
    assert_eq!(first["refusal"], "severalTtls", "{first:#}");
    for (keys, ttl) in [("page:{id}", 3.0), ("session:{id}", 6.0)] {
        let group = group(&first, keys);
        assert_eq!((&group["by"], &group["refusal"]), (&"namespace".into(), &"firstLook".into()));
        assert_eq!(group["diagnostics"]["currentTtlSeconds"], ttl, "{group:#}");
    }
    let before = (pages.counted(), sessions.counted());
    thread::sleep(Duration::from_secs(4));
    let (mut second, mut tries) = (advice(&state, &server, &[]), 0);
    let is_refused = |advice: &Value, keys| !group(advice, keys)["refused"].is_null();
    // By chance, one in a hundred is.
    while tries < 3 && (is_refused(&second, "page:{id}") || is_refused(&second, "session:{id}")) {
        tries += 1;
        thread::sleep(Duration::from_secs(1));
        second = advice(&state, &server, &[]);
    }
    let misses = |now: (u64, u64), before: (u64, u64)| (now.1 - before.1) as f64;
    let of_pages = misses(pages.counted(), before.0);
    let share = 100.0 * of_pages / (of_pages + misses(sessions.counted(), before.1));
    for (keys, share) in [("page:{id}", share), ("session:{id}", 100.0 - share)] {
        let of = group(&second, keys);
        let (low, estimate, high) = interval(&of["diagnostics"]["shareOfMisses"]);
        println!("{keys}: {share:.1} % of the misses, estimated {estimate:.1} ({low:.1} to {high:.1})");
        assert!((low..=high).contains(&share), "{of:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a minute; cargo xtask soak runs it"]
async fn soak_followed_keys_tell_of_four_times_the_ttl() {
    let _turn = super::TURN.lock().await;
    let (server, state) = (Server::start(&[]).await.unwrap(), State::new());
    let application = CacheClient::start(&server, KEYS, TTL);
    // Waves of the first entries have faded by then; before, the ages are refused.
    thread::sleep(8 * TTL);
    let found = advice(&state, &server, &["--for", "14s"]);
    assert_eq!(found["diagnostics"]["method"], "panel", "{found:#}");
    follow(&application, &found, 4 * TTL);
}
