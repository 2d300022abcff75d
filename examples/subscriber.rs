//! Follows keysweep's events over NATS and prints how each run ended, one line per run.
//!
//! ```sh
//! cargo run -p examples --bin subscriber -- nats://127.0.0.1:4222
//! cargo run -p examples --bin subscriber -- nats://user:password@127.0.0.1:4222 pager
//! ```
//!
//! Without a name it shows all stored events and then follows new ones. With a name, a durable consumer continues where
//! it stopped, even after a long pause (events are kept for seven days), and redelivers unhandled events.
//! `keysweep-admin` creates the consumer, as described in `docs/events.md`, which also documents the events.
#![expect(clippy::print_stdout, reason = "printing is all that it does")]

use std::time::Duration;

use async_nats::jetstream::stream::{DirectGetErrorKind, Stream};
use async_nats::jetstream::{self, consumer};
use async_nats::{Client, ConnectOptions, ServerAddr};
use futures_util::StreamExt;
use serde_json::Value;

/// With another `--nats-prefix`, all names start with that prefix.
const PREFIX: &str = "keysweep";
const STREAM: &str = "KEYSWEEP_EVENTS";
const SUBJECTS: &str = "keysweep.events.>";

/// The event types of a run's end; their `data` is the run's result.
const ENDS: [&str; 4] = [
    "dev.keysweep.run.completed.v1",
    "dev.keysweep.run.partial.v1",
    "dev.keysweep.run.failed.v1",
    "dev.keysweep.run.cancelled.v1",
];

#[tokio::main]
async fn main() -> Result<(), async_nats::Error> {
    let mut args = std::env::args().skip(1);
    let url = args.next().unwrap_or_else(|| "nats://127.0.0.1:4222".to_owned());
    let address: ServerAddr = url.parse()?;
    let mut options = ConnectOptions::new().name("keysweep-subscriber");
    // The client does not use the credentials in the URL automatically.
    if let (Some(user), Some(password)) = (address.username(), address.password()) {
        options = options.user_and_password(user.to_owned(), password.to_owned());
    }
    let client = options.connect(address).await?;
    let stream = stream(&client).await?;
    match args.next() {
        None => follow(&client, &stream).await,
        Some(name) => {
            let consumer: consumer::PullConsumer = stream.get_consumer(&name).await?;
            let mut events = consumer.messages().await?;
            while let Some(event) = events.next().await {
                let event = event?;
                handle(&event.payload)?;
                // Acknowledge last: after a crash before this line, the event is redelivered. Its `id` identifies
                // duplicates.
                event.ack().await?;
            }
            Ok(())
        }
    }
}

/// The stream: in the own account, or imported from keysweep's account as in `deploy/nats-account.conf`.
async fn stream(client: &Client) -> Result<Stream, async_nats::Error> {
    match jetstream::new(client.clone()).get_stream(STREAM).await {
        Ok(stream) => Ok(stream),
        Err(_) => Ok(jetstream::with_domain(client.clone(), PREFIX).get_stream(STREAM).await?),
    }
}

/// Shows all stored events, then follows new ones.
async fn follow(client: &Client, stream: &Stream) -> Result<(), async_nats::Error> {
    // The subscription only wakes the loop. Missed events are found by the next read; hints of reporters' events, for
    // example, do not reach an importing account.
    let mut hints = client.subscribe(SUBJECTS).await?;
    let mut next = 1;
    loop {
        match stream.direct_get_next_for_subject(SUBJECTS, Some(next)).await {
            Ok(event) => {
                handle(&event.payload)?;
                next = event.sequence + 1;
            }
            Err(e) if e.kind() == DirectGetErrorKind::NotFound => {
                let _ = tokio::time::timeout(Duration::from_secs(1), hints.next()).await;
            }
            Err(e) => return Err(e.into()),
        }
    }
}

fn handle(event: &[u8]) -> Result<(), serde_json::Error> {
    let event: Value = serde_json::from_slice(event)?;
    if let Some(line) = line(&event) {
        println!("{line}");
    }
    Ok(())
}

/// The line for a run's end; `None` for other events.
fn line(event: &Value) -> Option<String> {
    let kind = event["type"].as_str().filter(|kind| ENDS.contains(kind))?;
    let status = kind.split('.').nth(3)?;
    let job = event["source"].as_str()?.rsplit('/').next()?;
    let run = event["subject"].as_str()?;
    // A failed attempt without a run has no counts.
    let count = |name: &str| event["data"][name].as_u64().unwrap_or_default();
    let (scanned, stale, cleaned) = (count("scannedKeys"), count("staleTTLKeys"), count("cleanedKeys"));
    Some(format!("{job} {run} {status}: {scanned} keys, {stale} stale, {cleaned} deleted"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_ends_of_runs_are_shown() {
        let event = |kind: &str| {
            let data = json!({ "status": kind, "scannedKeys": 3, "staleTTLKeys": 2, "cleanedKeys": 1 });
            json!({
                "type": format!("dev.keysweep.run.{kind}.v1"), "source": "/keysweep/jobs/j", "subject": "r", "data": data
            })
        };
        assert_eq!(line(&event("partial")).as_deref(), Some("j r partial: 3 keys, 2 stale, 1 deleted"));
        assert_eq!(line(&event("progress")), None);
    }
}
