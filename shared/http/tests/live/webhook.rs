//! Posts to webhooks: payloads, retries, and secret URLs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use keysweep_http::slack;
use keysweep_http::webhook::{EVENT_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER, post};
use keysweep_http::{Integrations, JobIntegrations, WebErrorKind, Webhook, Webhooks};
use keysweep_model::metrics::{Alert, Severity};
use keysweep_model::secret::Secret;
use keysweep_runtime::context::{Context, Timing};
use keysweep_storage::alerts::{AlertNotification, AlertTransition};
use ring::hmac;
use serde_json::{Value, json};

use keysweep_testkit::receiver::{CannedReply, Receiver, SECRET, Sent, check, hasty, silent, unused_url};

fn notice(change: AlertTransition) -> AlertNotification {
    let alert = Alert {
        id: uuid::Uuid::nil(),
        alert: "stale-keys".to_owned(),
        job: "nightly".to_owned(),
        severity: Severity::Warning,
        message: "12 stale keys in one run <more than 10>".to_owned(),
        since: "2026-01-02T03:04:05Z".to_owned(),
        evidence: BTreeMap::from([("staleTtlKeys".to_owned(), json!(12))]),
        policy_rule: None,
    };
    AlertNotification::new(change, alert, 1_767_323_045_000)
}

fn generic(url: impl Into<String>) -> Webhook {
    Webhook::Generic { url: Secret::new(url), secret: Some(Secret::new("word")) }
}

fn header<'a>(sent: &'a Sent, name: &str) -> &'a str {
    sent.headers[name].to_str().unwrap()
}

#[tokio::test]
async fn a_generic_hook_gets_a_signed_cloud_event() {
    let receiver = Receiver::start([CannedReply::status(204)]).await;
    post(&hasty(), &generic(receiver.url()), &notice(AlertTransition::Raised)).await.unwrap();
    let sent = receiver.sent().pop().unwrap();
    assert_eq!(header(&sent, EVENT_HEADER), "nightly/alert/00000000-0000-0000-0000-000000000000/raised");
    assert_eq!(header(&sent, "content-type"), "application/cloudevents+json");
    let event: Value = serde_json::from_slice(&sent.body).unwrap();
    assert_eq!(event["type"], "dev.keysweep.alert.raised.v1");
    assert_eq!(
        (&event["specversion"], &event["id"]),
        (&json!("1.0"), &json!("nightly/alert/00000000-0000-0000-0000-000000000000/raised"))
    );
    assert_eq!(
        (&event["source"], &event["subject"]),
        (&json!("/keysweep/jobs/nightly"), &json!(uuid::Uuid::nil()))
    );
    assert_eq!(event["data"]["evidence"]["staleTtlKeys"], 12);
    // Verified like a receiver does.
    let signed = [header(&sent, TIMESTAMP_HEADER).as_bytes(), b".", &sent.body].concat();
    let digits = header(&sent, SIGNATURE_HEADER).strip_prefix("sha256=").unwrap();
    let tag: Vec<u8> =
        (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect();
    let verify = |word: &[u8], signed: &[u8]| {
        hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, word), signed, &tag).is_ok()
    };
    assert!(verify(b"word", &signed));
    assert!(!verify(b"other", &signed));
    assert!(!verify(b"word", &sent.body));
}

#[test]
fn the_signature_is_the_one_that_openssl_makes() {
    // printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac word
    let expected = "sha256=bfff5302050cc50cdd70dd1bdce1a28d3d6aceb2c9dc5f08e0541f299ff7d846";
    assert_eq!(keysweep_http::signature(&Secret::new("word"), 1_700_000_000, br#"{"a":1}"#), expected);
}

#[tokio::test]
async fn without_a_secret_nothing_is_signed() {
    let receiver = Receiver::start([CannedReply::status(200)]).await;
    let hook = Webhook::Generic { url: Secret::new(receiver.url()), secret: None };
    post(&hasty(), &hook, &notice(AlertTransition::Resolved)).await.unwrap();
    let sent = receiver.sent().pop().unwrap();
    assert!(!sent.headers.contains_key(SIGNATURE_HEADER));
    let event: Value = serde_json::from_slice(&sent.body).unwrap();
    assert_eq!(event["type"], "dev.keysweep.alert.resolved.v1");
}

#[tokio::test]
async fn slack_gets_text_and_blocks() {
    let receiver = Receiver::start([CannedReply::body("ok")]).await;
    let hook = Webhook::Slack { url: Secret::new(receiver.url()) };
    post(&hasty(), &hook, &notice(AlertTransition::Raised)).await.unwrap();
    let sent = receiver.sent().pop().unwrap();
    assert_eq!(header(&sent, "content-type"), "application/json");
    let message: Value = serde_json::from_slice(&sent.body).unwrap();
    let text = ":warning: nightly: stale-keys (warning): 12 stale keys in one run &lt;more than 10&gt;";
    assert_eq!(message["text"], text);
    assert_eq!(message["blocks"][0]["text"]["text"], ":warning: nightly: stale-keys (warning)");
    assert_eq!(message["blocks"][2]["elements"][0]["text"], "since 2026-01-02T03:04:05Z · staleTtlKeys 12");
    let resolved = slack(&notice(AlertTransition::Resolved));
    assert_eq!(resolved["blocks"][0]["text"]["text"], ":white_check_mark: nightly: stale-keys (resolved)");
}

#[tokio::test]
async fn slack_messages_are_truncated() {
    let mut notice = notice(AlertTransition::Raised);
    notice.alert.message = "&".repeat(4_000);
    notice.alert.job = "j".repeat(200);
    let message = slack(&notice);
    let chars = |value: &Value| value.as_str().unwrap().chars().count();
    assert_eq!(chars(&message["blocks"][0]["text"]["text"]), 150);
    assert_eq!(chars(&message["blocks"][1]["text"]["text"]), 3_000);
}

#[tokio::test]
async fn failing_server_is_retried_with_the_same_id() {
    let receiver = Receiver::start([CannedReply::status(500), CannedReply::status(200)]).await;
    post(&hasty(), &generic(receiver.url()), &notice(AlertTransition::Raised)).await.unwrap();
    let ids: Vec<String> = receiver.sent().iter().map(|sent| header(sent, EVENT_HEADER).to_owned()).collect();
    assert_eq!(
        ids,
        [
            "nightly/alert/00000000-0000-0000-0000-000000000000/raised",
            "nightly/alert/00000000-0000-0000-0000-000000000000/raised"
        ]
    );
}

#[tokio::test]
async fn delivery_is_abandoned_after_three_tries() {
    let receiver = Receiver::start([CannedReply::status(503)]).await;
    let error = post(&hasty(), &generic(receiver.url()), &notice(AlertTransition::Raised)).await.unwrap_err();
    assert_eq!(receiver.sent().len(), 3);
    check(&error, "HTTP 503");
    check(&error, "`http://127.0.0.1:");
    receiver.answer(CannedReply::status(200));
    post(&hasty(), &generic(receiver.url()), &notice(AlertTransition::Raised)).await.unwrap();
}

#[tokio::test]
async fn rejection_is_not_retried() {
    for status in [400, 401, 404, 410] {
        let receiver = Receiver::start([CannedReply(status, Vec::new(), format!("no {}", SECRET))]).await;
        let error =
            post(&hasty(), &generic(receiver.url()), &notice(AlertTransition::Raised)).await.unwrap_err();
        assert_eq!(receiver.sent().len(), 1);
        check(&error, &format!("HTTP {status}"));
    }
}

#[tokio::test]
async fn retry_after_is_honored() {
    let asked = |seconds: &str| CannedReply(429, vec![("retry-after", seconds.to_owned())], String::new());
    let receiver = Receiver::start([asked("1"), asked("3600"), CannedReply::status(200)]).await;
    let before = Instant::now();
    post(&hasty(), &generic(receiver.url()), &notice(AlertTransition::Raised)).await.unwrap();
    // Twice the longest pause; the own pauses would be 20 and 40 ms.
    assert!(before.elapsed() >= Duration::from_millis(400), "{:?}", before.elapsed());
    let receiver = Receiver::start([
        asked("Wed, 21 Oct 2015 07:28:00 GMT"),
        asked("nonsense"),
        CannedReply::status(200),
    ])
    .await;
    post(&hasty(), &generic(receiver.url()), &notice(AlertTransition::Raised)).await.unwrap();
    assert_eq!(receiver.sent().len(), 3);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let other = Receiver::start([CannedReply::status(200)]).await;
    let receiver = Receiver::start([CannedReply(307, vec![("location", other.url())], String::new())]).await;
    let error = post(&hasty(), &generic(receiver.url()), &notice(AlertTransition::Raised)).await.unwrap_err();
    check(&error, "redirect (HTTP 307)");
    assert_eq!((receiver.sent().len(), other.sent().len()), (1, 0));
}

#[tokio::test]
async fn silent_server_times_out() {
    let (_listener, url) = silent().await;
    let before = Instant::now();
    let error = post(&hasty(), &generic(url), &notice(AlertTransition::Raised)).await.unwrap_err();
    check(&error, "no reply within 500 ms");
    assert!(before.elapsed() < Duration::from_secs(10), "{:?}", before.elapsed());
}

#[tokio::test]
async fn unreachable_webhook_is_reported() {
    let error =
        post(&hasty(), &generic(unused_url().await), &notice(AlertTransition::Raised)).await.unwrap_err();
    check(&error, "onnection refused");
    assert!(error.kind.may_pass());
}

#[tokio::test]
async fn an_env_posts_to_the_hooks_of_the_job_and_counts() {
    let (good, bad) = (
        Receiver::start([CannedReply::status(200)]).await,
        Receiver::start([CannedReply::status(404)]).await,
    );
    let hooks = Webhooks {
        generic: vec![Secret::new(bad.url())],
        secret: None,
        slack: vec![Secret::new(good.url())],
    };
    let reach = JobIntegrations { hooks, prometheus: None };
    let outside = Arc::new(Integrations::new([("nightly".to_owned(), reach)]));
    let env = Context { integrations: outside, ..Context::in_process(BTreeMap::new(), Timing::default()) };
    let mut failed = Vec::new();
    for hook in env.integrations.hooks("nightly") {
        failed.extend(env.notify(&hook, &notice(AlertTransition::Raised)).await.err().map(|e| e.to_string()));
    }
    assert!(failed.len() == 1 && failed[0].contains("404"), "{failed:?}");
    assert_eq!((good.sent().len(), bad.sent().len()), (1, 1));
    let text = env.telemetry.textfile();
    for line in [
        "keysweep_webhook_posts_total{cleanup_job=\"nightly\",hook=\"slack\",outcome=\"delivered\"} 1",
        "keysweep_webhook_posts_total{cleanup_job=\"nightly\",hook=\"generic\",outcome=\"failed\"} 1",
    ] {
        assert!(text.contains(line), "`{line}` is not in\n{text}");
    }
}

#[tokio::test]
async fn tls_failure_is_reported() {
    let receiver = Receiver::start([CannedReply::status(200)]).await;
    let url = receiver.url().replace("http:", "https:");
    let error = post(&hasty(), &generic(url), &notice(AlertTransition::Raised)).await.unwrap_err();
    check(&error, "received corrupt message");
    assert_eq!(receiver.sent().len(), 0);
}

#[tokio::test]
async fn invalid_url_is_not_shown() {
    for text in [format!("http://:{}", SECRET), format!("ftp://host/{}", SECRET), "https://".to_owned()] {
        let error = post(&hasty(), &generic(text), &notice(AlertTransition::Raised)).await.unwrap_err();
        check(&error, "not a URL");
        assert_eq!(error.kind, WebErrorKind::Address);
    }
    assert_eq!(
        generic("https://hooks.slack.com/services/T/B?x=1").display_url(),
        "https://hooks.slack.com/***"
    );
    assert_eq!(generic("https://me:pw@host:8443/").display_url(), "https://host:8443");
    assert!(!format!("{:?}", generic("https://host/path")).contains("path"));
}
