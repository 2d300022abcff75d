//! The payloads of webhooks: a firing or resolved alert, as a CloudEvent or as a Slack message, and the signature that
//! authenticates it. `docs/webhooks.md` describes it for receivers.

use keysweep_model::metrics::Severity;
use keysweep_model::printable::{hex, shortened};
use keysweep_model::secret::Secret;
use keysweep_model::time::rfc3339;
use keysweep_storage::alerts::{AlertNotification, AlertTransition};
use keysweep_storage::events::Event;
use ring::hmac;
use serde_json::{Value, json};

/// The longest heading of a Slack message, in characters.
const HEADING_CHARS_MAX: usize = 150;
/// The longest section text of a Slack message, in characters.
const SECTION_CHARS_MAX: usize = 3_000;

/// The notification as a CloudEvent 1.0: the same that subscribers receive.
pub(crate) fn cloud_event(notice: &AlertNotification) -> Value {
    Event::about_alert(&notice.alert.job, notice).cloud_event()
}

/// The notification as a message for Slack, Mattermost and compatible services.
#[must_use]
pub fn slack(notice: &AlertNotification) -> Value {
    let alert = &notice.alert;
    let (sign, word) = match (notice.change, alert.severity) {
        (AlertTransition::Resolved, _) => (":white_check_mark:", "resolved"),
        (AlertTransition::Raised, Severity::Critical) => (":red_circle:", "critical"),
        (AlertTransition::Raised, Severity::Warning) => (":warning:", "warning"),
        (AlertTransition::Raised, Severity::Info) => (":information_source:", "info"),
    };
    let heading = format!("{sign} {}: {} ({word})", alert.job, alert.alert);
    let figures: Vec<String> =
        alert.evidence.iter().map(|(name, value)| format!("{name} {}", figure(value))).collect();
    let mut foot = format!("since {}", alert.since);
    if notice.change == AlertTransition::Resolved {
        foot.push_str(&format!(" until {}", rfc3339(notice.at_ms)));
    }
    if !figures.is_empty() {
        foot.push_str(&format!(" · {}", figures.join(", ")));
    }
    json!({
        "text": shortened(&escaped(&format!("{heading}: {}", alert.message)), SECTION_CHARS_MAX),
        "blocks": [
            { "type": "header", "text": { "type": "plain_text", "emoji": true, "text": shortened(&heading, HEADING_CHARS_MAX) } },
            { "type": "section", "text": { "type": "mrkdwn", "text": shortened(&escaped(&alert.message), SECTION_CHARS_MAX) } },
            { "type": "context", "elements": [
                { "type": "mrkdwn", "text": shortened(&escaped(&foot), SECTION_CHARS_MAX) }
            ] },
        ],
    })
}

/// The signature of `body` at `timestamp` (seconds since the epoch): `sha256=` and the HMAC-SHA256 of
/// `<timestamp>.<body>` in hexadecimal digits. It covers the timestamp to prevent replay attacks.
#[must_use]
pub fn signature(secret: &Secret, timestamp: u64, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
    let mut context = hmac::Context::with_key(&key);
    context.update(format!("{timestamp}.").as_bytes());
    context.update(body);
    format!("sha256={}", hex(context.sign().as_ref()))
}

fn figure(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Escapes the three characters that Slack reads as markup.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
