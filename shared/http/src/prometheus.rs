//! Queries Prometheus, or another server with its API, for one number.

use keysweep_model::secret::Secret;
use reqwest::Url;
use serde::Deserialize;
use serde_json::Value;

use super::client::{WebClient, address, body, display_url, send};
use super::error::{WebError, WebErrorKind};
use crate::limits::WEB_ANSWER_BYTES_MAX;

/// The operation, for errors.
const WHAT: &str = "query Prometheus at";

/// The maximum length of a Prometheus error message that is repeated.
const SAID_CHARS_MAX: usize = 200;

/// The part of a reply that is used.
#[derive(Deserialize)]
#[serde(tag = "status", rename_all = "lowercase")]
enum QueryReply {
    Success { data: QueryData },
    Error { error: String },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct QueryData {
    result_type: String,
    result: Value,
}

/// The current value of `query`; `None` if it has no result. `base` is the URL without `/api/v1`, including a path
/// prefix and credentials.
///
/// # Errors
/// If Prometheus does not answer or rejects the query, or if its result is not one finite number.
pub async fn query(client: &WebClient, base: &Secret, query: &str) -> Result<Option<f64>, WebError> {
    let refused = |kind| WebError { kind, what: WHAT, target: display_url(base) };
    let url = instant(address(base, WHAT)?, query).ok_or_else(|| refused(WebErrorKind::Address))?;
    ask(client, url).await.map_err(refused)
}

/// The URL of an instant query.
fn instant(mut url: Url, query: &str) -> Option<Url> {
    url.path_segments_mut().ok()?.pop_if_empty().extend(["api", "v1", "query"]);
    url.query_pairs_mut().append_pair("query", query);
    Some(url)
}

async fn ask(client: &WebClient, url: Url) -> Result<Option<f64>, WebErrorKind> {
    let response = send(client.client.get(url), &client.retry_policy).await?;
    let status = response.status();
    let body = body(response, &client.retry_policy, WEB_ANSWER_BYTES_MAX).await?;
    let answer: Result<QueryReply, _> = serde_json::from_slice(&body);
    match answer {
        Ok(QueryReply::Success { data }) if status.is_success() => number(&data),
        Ok(QueryReply::Error { error }) => {
            Err(WebErrorKind::Status { code: status.as_u16(), said: Some(shown(&error)) })
        }
        _ if !status.is_success() => Err(WebErrorKind::Status { code: status.as_u16(), said: None }),
        Ok(_) => Err(WebErrorKind::Answer("it is neither a success nor an error".to_owned())),
        Err(e) => Err(WebErrorKind::Answer(e.to_string())),
    }
}

/// The only number of a result. A sample is a pair of a time and a number as text.
fn number(data: &QueryData) -> Result<Option<f64>, WebErrorKind> {
    let sample = match (data.result_type.as_str(), &data.result) {
        ("scalar", sample) => sample,
        ("vector", Value::Array(series)) => match series.as_slice() {
            [] => return Ok(None),
            [only] => &only["value"],
            several => return Err(WebErrorKind::Several(several.len())),
        },
        (other, _) => {
            let other = shown(other);
            return Err(WebErrorKind::Answer(format!("a result of type `{other}` is not a single number")));
        }
    };
    let text = sample[1].as_str();
    let text = text.ok_or_else(|| WebErrorKind::Answer("its sample contains no number".to_owned()))?;
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(Some(number)),
        _ => Err(WebErrorKind::NotANumber(shown(text))),
    }
}

/// An external text on one line, truncated.
fn shown(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(SAID_CHARS_MAX).collect()
}
