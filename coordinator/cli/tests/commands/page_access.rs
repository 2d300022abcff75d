//! Who may use the page and the API of a service through a browser: logins, roles, other sites, foreign hosts.

use std::time::{Duration, Instant};

use serde_json::json;

use super::service::{Machine, stopped};
use crate::cli::api::Api;
use crate::cli::browser::Browser;
use crate::cli::{Running, SECRET};

/// A token that only reads.
const VIEW: &str = "hunter2-reads";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_logs_in_and_out() {
    let machine = Machine::start().await;
    machine.place.seed(100).await;
    let (service, api) = machine.service_with(&[("KEYSWEEP_VIEW_TOKEN", VIEW)], &[]);
    let mut browser = Browser::at(&api);
    let page = browser.get("/");
    assert!(page.status == 200 && page.body.contains("id=\"login\""), "{page:?}");
    assert!(!page.body.contains("id=\"runs\""), "{page:?}");
    browser.get("/api/runs").refused(401, "token");
    let answer = browser.log_in("hunter2-wrong");
    answer.refused(401, "token");
    assert_eq!(answer.header("set-cookie"), "");
    browser.post("/login", &json!({})).refused(400, "");
    browser.post("/login", &json!({ "token": SECRET, "more": 1 })).refused(400, "unknown field");

    let answer = browser.log_in(SECRET);
    assert_eq!(answer.json(200), json!({ "role": "act" }));
    let cookie = answer.header("set-cookie");
    assert!(cookie.ends_with("; HttpOnly; SameSite=Strict; Path=/; Max-Age=43200"), "{cookie}");
    let port = api.address.rsplit(':').next().unwrap();
    let name = format!("keysweep_session_{port}=");
    assert_eq!(cookie.split(';').next().unwrap().len(), name.len() + 64);
    assert!(cookie.starts_with(&name), "{cookie}");
    let page = browser.get("/");
    assert!(page.body.contains("id=\"start\"") && page.body.contains("data-role=\"act\""), "{page:?}");
    assert_eq!(browser.get("/api/runs").json(200), json!({ "runs": [] }));
    let run = browser.post("/api/runs", &json!({ "dryRun": true })).json(202)["runId"].clone();
    api.ended(&run);

    let mut reader = Browser::at(&api);
    assert_eq!(reader.log_in(VIEW).json(200), json!({ "role": "view" }));
    let report = format!("api/runs/{}/report", run.as_str().unwrap());
    let until = Instant::now() + Duration::from_secs(30);
    // What the page shows may be half a second old.
    let page = loop {
        let page = reader.get("/");
        if page.body.contains(&report) || Instant::now() > until {
            break page;
        }
    };
    assert!(page.body.contains(&report) && page.body.contains("permission-cache-cleanup"), "{page:?}");
    assert!(!page.body.contains("id=\"start\""), "{page:?}");

    let answer = browser.post("/logout", &json!({}));
    assert!(answer.header("set-cookie").contains("Max-Age=0"), "{answer:?}");
    browser.get("/api/runs").refused(401, "token");
    assert!(browser.get("/").body.contains("id=\"login\""));
    assert_eq!(reader.get("/api/runs").status, 200);
    stopped(service);
}

/// Browsers send the cookies of a host to all of its ports, and keep one for each name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_at_two_ports_keep_their_sessions_apart() {
    let [one, other] = [Machine::start().await, Machine::start().await];
    let (first, first_api) = one.service_with(&[], &[]);
    let (second, second_api) = other.service_with(&[], &[]);
    let sessions = [&first_api, &second_api].map(|api| Browser::logged_in(api, SECRET));
    let both = sessions.each_ref().map(Browser::cookie).join("; ");
    assert_eq!(both.matches("keysweep_session_").count(), 2, "{both}");
    for api in [&first_api, &second_api] {
        let headers = [("Host", api.address.as_str()), ("Cookie", &both)];
        assert_eq!(api.send("GET", "/api/runs", &headers, "").json(200), json!({ "runs": [] }));
    }
    for service in [first, second] {
        stopped(service);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_read_change_nothing() {
    let machine = Machine::start().await;
    machine.place.seed(100).await;
    let (service, api) = machine.service_with(&[("KEYSWEEP_VIEW_TOKEN", VIEW)], &[]);
    let (program, browser) = (api.with(Some(VIEW)), Browser::logged_in(&api, VIEW));
    let nowhere = "/api/runs/01980a1c-0000-7000-8000-000000000000/cancel";
    for path in ["/api/runs", nowhere, "/api/elsewhere"] {
        program.post(path, &json!({})).refused(403, "may only read");
        browser.post(path, &json!({})).refused(403, "may only read");
    }
    for method in ["DELETE", "PUT", "PATCH"] {
        program.ask(method, "/api/runs", "").refused(403, "may only read");
    }
    assert_eq!(program.get("/api/runs").json(200), json!({ "runs": [] }));
    assert_eq!(browser.get("/api/runs").json(200), json!({ "runs": [] }));
    stopped(service);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_sites_do_nothing_through_a_browser() {
    let machine = Machine::start().await;
    machine.place.seed(100).await;
    let (service, api) = machine.service_with(&[("KEYSWEEP_HOSTS", "sweep.example")], &[]);
    let browser = Browser::logged_in(&api, SECRET);
    let (json_type, own) = (("Content-Type", "application/json"), ("X-Keysweep", "page"));
    let same_site = ("Sec-Fetch-Site", "same-site");
    let cases: [(&[(&str, &str)], u16); 8] = [
        (&[], 415),
        (&[("Content-Type", "text/plain"), own], 415),
        (&[("Content-Type", "application/x-www-form-urlencoded")], 415),
        (&[json_type], 403),
        (&[json_type, own, ("Sec-Fetch-Site", "cross-site")], 403),
        (&[json_type, own, same_site], 403),
        (&[json_type, own, ("Origin", "http://evil.example")], 403),
        (&[json_type, own, ("Origin", "null")], 403),
    ];
    let token = json!({ "token": SECRET });
    for (headers, status) in cases {
        browser.post_with("/api/runs", headers, &json!({})).refused(status, "");
        browser.post_with("/login", headers, &token).refused(status, "");
        browser.post_with("/logout", headers, &json!({})).refused(status, "");
    }
    for host in ["evil.example", "sweep.example.evil", "127.0.0.1.evil.example:9464"] {
        let foreign = [("Host", host)];
        for path in ["/", "/app.js", "/api/runs", "/api/live"] {
            browser.get_with(path, &foreign).refused(403, "`hosts`");
        }
        let headers = [json_type, own, foreign[0]];
        browser.post_with("/api/runs", &headers, &json!({})).refused(403, "`hosts`");
        browser.post_with("/login", &headers, &token).refused(403, "`hosts`");
    }
    for host in ["localhost", "Sweep.Example:9464", "[::1]:1", "192.0.2.7"] {
        assert_eq!(
            browser.get_with("/api/runs", &[("Host", host)]).json(200),
            json!({ "runs": [] }),
            "{host}"
        );
    }
    // Behind a proxy with TLS.
    let proxied = [json_type, own, ("Host", "sweep.example"), ("Origin", "https://sweep.example")];
    let answer = browser.post_with("/login", &proxied, &token);
    assert!(answer.header("set-cookie").ends_with("; Secure"), "{answer:?}");
    logged_once(&service, "refused a request that another site may have arranged, from 127.0.0.1");
    logged_once(&service, "refused a request for a host name that is not in `hosts`");
    stopped(service);
}

/// However often it happens.
#[track_caller]
fn logged_once(service: &Running, text: &str) {
    let log = service.so_far();
    assert_eq!(log.matches(text).count(), 1, "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_guesses_tokens_waits() {
    let machine = Machine::start().await;
    let (service, api) = machine.service_with(&[], &[]);
    let mut browser = Browser::at(&api);
    let with = |token: &str| {
        let token = format!("Bearer {token}");
        api.send("GET", "/api/runs", &[("Host", "h"), ("Authorization", &token)], "")
    };
    // The same one again is no guess.
    for _ in 0..100 {
        with("hunter2-old").refused(401, "token");
    }
    let mut refused = 0;
    while with(&format!("hunter2-{refused}")).status == 401 {
        refused += 1;
    }
    assert!((55..80).contains(&refused), "{refused} guesses");
    let answer = browser.log_in(SECRET);
    answer.refused(429, "too many wrong tokens");
    assert_eq!(answer.header("retry-after"), "1");
    std::thread::sleep(Duration::from_millis(2_500));
    assert_eq!(browser.log_in(SECRET).status, 200);
    logged_once(&service, "refused a wrong token from 127.0.0.1");
    logged_once(&service, "refused all tokens for a moment, after too many wrong ones, from 127.0.0.1");
    stopped(service);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_token_the_page_only_reads_and_only_here() {
    let machine = Machine::start().await;
    let no_token = ("KEYSWEEP_API_TOKEN", "");
    let (service, api) = machine.service_with(&[no_token], &[]);
    assert_eq!(Browser::at(&api).get("/").status, 404);
    stopped(service);
    let open = [no_token, ("KEYSWEEP_DASHBOARD", "true")];
    let (service, api) = machine.service_with(&open, &[]);
    let browser = Browser::at(&api);
    let page = browser.get("/");
    assert!(page.body.contains("data-role=\"view\"") && !page.body.contains("id=\"logout\""), "{page:?}");
    assert_eq!(browser.get("/api/runs").json(200), json!({ "runs": [] }));
    browser.post("/api/runs", &json!({})).refused(403, "may only read");
    browser.get_with("/api/runs", &[("Host", "evil.example")]).refused(403, "`hosts`");
    let guess: Api = api.with(Some("hunter2"));
    guess.get("/api/runs").refused(401, "token");
    stopped(service);
    // With a token, it is needed.
    let (service, api) = machine.service_with(&[("KEYSWEEP_DASHBOARD", "true")], &[]);
    Browser::at(&api).get("/api/runs").refused(401, "token");
    stopped(service);
    let serve = ["serve", "--redis", machine.place.url(), "--admin-addr", "0.0.0.0:0"];
    let refused = machine.state.command(&serve).env("KEYSWEEP_DASHBOARD", "true").run();
    refused.exits(2).log_contains(&["`0.0.0.0:0`", "`view_token_file`"]);
    let same =
        machine.state.command(&serve[..3]).env("KEYSWEEP_API_TOKEN", VIEW).env("KEYSWEEP_VIEW_TOKEN", VIEW);
    same.run().exits(2).log_contains(&["use two tokens"]);
}
