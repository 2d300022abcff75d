//! Queries to Prometheus: valid and invalid replies.

use keysweep_http::{WebError, WebErrorKind, prometheus};
use keysweep_model::secret::Secret;
use serde_json::{Value, json};

use keysweep_testkit::receiver::{CannedReply, Receiver, SECRET, check, hasty, silent, unused_url};

async fn ask(url: impl Into<String>) -> Result<Option<f64>, WebError> {
    prometheus::query(&hasty(), &Secret::new(url), "sum(hits_total{app=\"a b\"})").await
}

async fn answered(reply: CannedReply) -> Result<Option<f64>, WebError> {
    let receiver = Receiver::start([reply]).await;
    ask(receiver.url()).await
}

fn success(kind: &str, result: &Value) -> CannedReply {
    CannedReply::body(
        json!({ "status": "success", "data": { "resultType": kind, "result": result } }).to_string(),
    )
}

#[tokio::test]
async fn a_vector_of_one_and_a_scalar_are_numbers() {
    let one = json!([{ "metric": { "app": "a" }, "value": [1_700_000_000.5, "1234.5"] }]);
    assert_eq!(answered(success("vector", &one)).await.unwrap(), Some(1234.5));
    assert_eq!(answered(success("scalar", &json!([1_700_000_000, "7"]))).await.unwrap(), Some(7.0));
    assert_eq!(answered(success("vector", &json!([]))).await.unwrap(), None);
}

#[tokio::test]
async fn the_query_and_the_login_arrive() {
    let receiver = Receiver::start([success("vector", &json!([]))]).await;
    ask(receiver.url_with_login()).await.unwrap();
    ask(format!("{}/", receiver.url())).await.unwrap();
    let sent = receiver.sent();
    assert_eq!(sent[0].uri.to_string(), "/api/v1/query?query=sum%28hits_total%7Bapp%3D%22a+b%22%7D%29");
    // `me:T0SECRET` in Base64.
    assert_eq!(sent[0].headers["authorization"], "Basic bWU6VDBTRUNSRVQ=");
    assert!(sent[1].uri.path().ends_with(&format!("/{SECRET}/api/v1/query")), "{}", sent[1].uri);
}

#[tokio::test]
async fn several_series_and_odd_numbers_are_errors() {
    let row = json!({ "metric": {}, "value": [1, "1"] });
    check(&answered(success("vector", &json!([row, row]))).await.unwrap_err(), "2 series");
    check(&answered(success("vector", &json!([row, row]))).await.unwrap_err(), "`sum(...)`");
    for odd in ["NaN", "+Inf", "-Inf", "many"] {
        let error = answered(success("scalar", &json!([1, odd]))).await.unwrap_err();
        assert_eq!(error.kind, WebErrorKind::NotANumber(odd.to_owned()));
        check(&error, odd);
    }
    check(&answered(success("matrix", &json!([]))).await.unwrap_err(), "type `matrix`");
    check(
        &answered(success("vector", &json!([{ "metric": {}, "histogram": [1, {}] }]))).await.unwrap_err(),
        "no number",
    );
}

#[tokio::test]
async fn invalid_prometheus_replies_are_errors() {
    check(
        &answered(CannedReply::body("<html>hello</html>")).await.unwrap_err(),
        "not a Prometheus API reply",
    );
    check(&answered(CannedReply::body("")).await.unwrap_err(), "not a Prometheus API reply");
    check(&answered(CannedReply::body("[]")).await.unwrap_err(), "not a Prometheus API reply");
    check(
        &answered(CannedReply(404, Vec::new(), "404 page not found".to_owned())).await.unwrap_err(),
        "HTTP 404",
    );
    check(
        &answered(CannedReply(302, vec![("location", "/login".to_owned())], String::new()))
            .await
            .unwrap_err(),
        "redirect",
    );
    let refused =
        json!({ "status": "error", "errorType": "bad_data", "error": "parse error:\nunexpected <EOF>" });
    let error = answered(CannedReply(400, Vec::new(), refused.to_string())).await.unwrap_err();
    check(&error, "HTTP 400: parse error: unexpected <EOF>");
    let error = answered(CannedReply::body("x".repeat((1 << 20) + 1))).await.unwrap_err();
    assert_eq!(error.kind, WebErrorKind::TooLong(1 << 20));
}

#[tokio::test]
async fn unreachable_prometheus_is_reported() {
    check(&ask(unused_url().await).await.unwrap_err(), "onnection refused");
    let (_listener, url) = silent().await;
    check(&ask(url).await.unwrap_err(), "no reply within 500 ms");
    check(&ask(format!("nonsense {SECRET}")).await.unwrap_err(), "not a URL");
}
