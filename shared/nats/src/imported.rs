//! Finds the JetStream API: in the own account, or imported from the account of keysweep, below the prefix. In the
//! second setup, each role has its own account (`deploy/nats-account.conf`), because JetStream publishes replies to
//! any reply subject that a request contains: within one account, a login with a single API permission can make
//! JetStream publish anywhere.

use async_nats::Client;
use async_nats::jetstream::Context;
use async_nats::jetstream::context::{ContextBuilder, GetStreamErrorKind};

use super::access::NatsOptions;
use super::connect::ANSWER_TIMEOUT;
use super::setup::{no_responders, off};

/// The JetStream context for `access`, found by requesting `stream`, which need not exist; and whether it is imported.
pub(super) async fn context(client: &Client, access: &NatsOptions, stream: &str) -> (Context, bool) {
    let own = below(client, access.domain.as_deref());
    if is_there(&own, stream).await {
        return (own, false);
    }
    let imported = below(client, Some(&access.prefix));
    // If neither replies, the next request reports it.
    if is_there(&imported, stream).await { (imported, true) } else { (own, false) }
}

/// Whether JetStream replies, with any result, or may exist and is slow.
async fn is_there(js: &Context, stream: &str) -> bool {
    match js.get_stream(stream).await.map_err(|e| (e.kind(), no_responders(&e))) {
        Ok(_) => true,
        Err((GetStreamErrorKind::JetStream(said), _)) => !off(said.error_code()),
        Err((_, no_responders)) => !no_responders,
    }
}

/// The context whose API is at `$JS.<domain>.API`.
fn below(client: &Client, domain: Option<&str>) -> Context {
    let builder = ContextBuilder::new().timeout(ANSWER_TIMEOUT).ack_timeout(ANSWER_TIMEOUT);
    match domain {
        Some(domain) => builder.domain(domain).build(client.clone()),
        None => builder.build(client.clone()),
    }
}
