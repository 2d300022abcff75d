//! Follows keysweep's events over NATS and prints how each run ended, one line per run.
//!
//! ```sh
//! cargo run -p examples --bin subscriber -- nats://127.0.0.1:4222
//! cargo run -p examples --bin subscriber -- nats://user:password@127.0.0.1:4222 pager
//! ```
//!
//! Without a name, an ordered consumer shows all that the stream remembers, and then what comes. With one, a durable
//! consumer of that name goes on where it stopped, however long it was away (events are kept for seven days), and an
//! event that was not handled comes again. What the events say stands in `docs/events.md`.
#![expect(clippy::print_stdout, reason = "printing is all that it does")]

use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::{self, Message};
use async_nats::{ConnectOptions, ServerAddr};
use futures_util::StreamExt;
use serde_json::Value;

/// With another `--nats-prefix`, both begin with that.
const STREAM: &str = "KEYSWEEP_EVENTS";
const SUBJECTS: &str = "keysweep.events.>";

/// The types of events that tell how a run ended; their `data` is the run's result.
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
    // The client does not log in as whom the URL names by itself.
    if let (Some(user), Some(password)) = (address.username(), address.password()) {
        options = options.user_and_password(user.to_owned(), password.to_owned());
    }
    let client = options.connect(address).await?;
    let stream = jetstream::new(client).get_stream(STREAM).await?;
    match args.next() {
        None => {
            let config = pull::OrderedConfig { filter_subject: SUBJECTS.to_owned(), ..Default::default() };
            let mut events = stream.create_consumer(config).await?.messages().await?;
            while let Some(event) = events.next().await {
                handle(&event?)?;
            }
        }
        Some(name) => {
            let config = pull::Config {
                durable_name: Some(name.clone()),
                filter_subject: SUBJECTS.to_owned(),
                ack_policy: AckPolicy::Explicit,
                ..Default::default()
            };
            let mut events = stream.get_or_create_consumer(&name, config).await?.messages().await?;
            while let Some(event) = events.next().await {
                let event = event?;
                handle(&event)?;
                // Only now: if we die before this, the event comes again. Its `id` tells whether it did.
                event.ack().await?;
            }
        }
    }
    Ok(())
}

fn handle(message: &Message) -> Result<(), serde_json::Error> {
    let event: Value = serde_json::from_slice(&message.payload)?;
    if let Some(line) = line(&event) {
        println!("{line}");
    }
    Ok(())
}

/// How a run ended; `None` for other events.
fn line(event: &Value) -> Option<String> {
    let kind = event["type"].as_str().filter(|kind| ENDS.contains(kind))?;
    let status = kind.split('.').nth(3)?;
    let job = event["source"].as_str()?.rsplit('/').next()?;
    let run = event["subject"].as_str()?;
    // An attempt that failed before it had a run has no counts.
    let count = |name: &str| event["data"][name].as_u64().unwrap_or_default();
    let (scanned, stale, cleaned) = (count("scannedKeys"), count("staleTTLKeys"), count("cleanedKeys"));
    Some(format!("{job} {run} {status}: {scanned} keys, {stale} stale, {cleaned} deleted"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_ends_are_told() {
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
