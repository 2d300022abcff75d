//! The API for programs over NATS: a service according to the NATS service protocol (`$SRV.PING`, `INFO` and `STATS`
//! work for it), whose endpoints are subjects below the prefix. Requests and replies are JSON, which other modules
//! encode and decode.

use async_nats::RequestErrorKind;
use async_nats::service::ServiceExt;
use async_nats::service::endpoint::Endpoint;
use async_nats::service::error::Error as ServiceError;
use async_nats::service::{NATS_SERVICE_ERROR, NATS_SERVICE_ERROR_CODE};
use futures_util::StreamExt;
use futures_util::stream::{BoxStream, SelectAll};
use keysweep_model::printable::one_line;

use super::connect::{Nats, NatsError, chain};

/// The name of the service.
const NAME: &str = "keysweep";

/// A running service. Dropping it ends it.
pub struct Service {
    /// Kept, because dropping it ends the endpoints.
    _service: async_nats::service::Service,
    requests: SelectAll<BoxStream<'static, Request>>,
}

/// A request that waits for its reply.
pub struct Request {
    /// The endpoint it was sent to.
    pub endpoint: &'static str,
    /// The payload.
    pub payload: Vec<u8>,
    /// Why it is rejected without being decoded, if so.
    pub no_request: Option<&'static str>,
    inner: async_nats::service::Request,
}

/// The prefix of JetStream's acknowledgement subjects.
const JETSTREAM: &str = "$JS.";

/// The header that the server adds to requests from other accounts, if configured.
const REQUEST_INFO: &str = "Nats-Request-Info";

/// Why `message` is not a request, if so. JetStream sends stored messages and replies to any reply subject that a
/// client names, even without permission to publish there. Such a message has no body, or JetStream headers, or no
/// reply subject, or one for acknowledgements.
fn no_request(message: &async_nats::Message) -> Option<&'static str> {
    let names =
        || message.headers.iter().flat_map(|headers| headers.iter()).map(|(name, _)| name.to_string());
    let of_jetstream = |name: String| {
        let name = name.to_ascii_lowercase();
        name.starts_with("nats-") && !name.eq_ignore_ascii_case(REQUEST_INFO) || name == "status"
    };
    match &message.reply {
        None => Some("it has no reply subject"),
        Some(reply) if reply.starts_with(JETSTREAM) => Some("it was sent by JetStream"),
        _ if message.status.is_some() || names().any(of_jetstream) => Some("it has JetStream headers"),
        _ if message.payload.is_empty() => Some("it has no body; send `{}` for the defaults"),
        _ => None,
    }
}

/// Whether a client waits for a reply.
fn can_be_answered(message: &async_nats::Message) -> bool {
    message.reply.as_ref().is_some_and(|reply| !reply.starts_with(JETSTREAM))
}

/// The result of a request to the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServiceReply {
    /// The reply.
    Given(Vec<u8>),
    /// The service rejected it: a code as in HTTP, and the reason.
    Refused(usize, String),
    /// No service is running.
    NoResponder,
}

impl Service {
    /// Starts serving `endpoints`.
    ///
    /// # Errors
    /// When the server rejects it.
    pub async fn start(nats: &Nats, version: &str, endpoints: &[&'static str]) -> Result<Self, NatsError> {
        let failed = |cause: String| NatsError::Request { what: "start the service".to_owned(), cause };
        let builder = nats.client.service_builder().description("deletes unneeded keys from Redis");
        let service = builder.start(NAME, version).await.map_err(|e| failed(nats.explain(e)))?;
        let mut requests = SelectAll::new();
        for name in endpoints {
            let builder = service.endpoint_builder().name(*name);
            let endpoint = builder.add(nats.layout.api_subject(name)).await;
            requests.push(stream(name, endpoint.map_err(|e| failed(nats.explain(e)))?));
        }
        Ok(Self { _service: service, requests })
    }

    /// The next request; `None` when the service has ended.
    pub async fn next(&mut self) -> Option<Request> {
        self.requests.next().await
    }
}

fn stream(name: &'static str, endpoint: Endpoint) -> BoxStream<'static, Request> {
    endpoint
        .map(move |inner| Request {
            endpoint: name,
            payload: inner.message.payload.to_vec(),
            no_request: no_request(&inner.message),
            inner,
        })
        .boxed()
}

impl Request {
    /// Replies with the result, or with a code as in HTTP and the reason.
    pub async fn answer(self, answer: Result<Vec<u8>, (usize, String)>) {
        if !can_be_answered(&self.inner.message) {
            return;
        }
        // The reason is sent in a header, which is one line, and may quote the request.
        let refused = |(code, why): (usize, String)| ServiceError { code, status: one_line(&why) };
        let answer = answer.map(Into::into).map_err(refused);
        if let Err(e) = self.inner.respond(answer).await {
            tracing::warn!(error = %e, "failed to answer a request");
        }
    }
}

/// Sends a request to the service.
///
/// # Errors
/// When NATS fails, or the service does not reply in time.
pub async fn ask(nats: &Nats, endpoint: &str, payload: Vec<u8>) -> Result<ServiceReply, NatsError> {
    match nats.client.request(nats.layout.api_subject(endpoint), payload.into()).await {
        Ok(message) => {
            let header =
                |name| message.headers.as_ref().and_then(|all| all.get(name)).map(ToString::to_string);
            Ok(match header(NATS_SERVICE_ERROR) {
                Some(why) => {
                    let code = header(NATS_SERVICE_ERROR_CODE).and_then(|code| code.parse().ok());
                    ServiceReply::Refused(code.unwrap_or(500), why)
                }
                None => ServiceReply::Given(message.payload.to_vec()),
            })
        }
        Err(e) if e.kind() == RequestErrorKind::NoResponders => Ok(ServiceReply::NoResponder),
        Err(e) => {
            let what = format!("send `{endpoint}` to the service");
            Err(NatsError::Request { what, cause: nats.explain(chain(&e)) })
        }
    }
}

#[cfg(test)]
mod tests {
    use async_nats::{HeaderMap, Message, StatusCode};

    use super::*;

    #[test]
    fn messages_from_jetstream_are_not_requests() {
        let request = || Message {
            subject: "keysweep.api.run".into(),
            reply: Some("_INBOX.1".into()),
            payload: "{}".into(),
            headers: None,
            status: None,
            description: None,
            length: 2,
        };
        let with = |name: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, "x");
            Message { headers: Some(headers), ..request() }
        };
        for plain in [request(), with("traceparent"), with("Nats-Request-Info")] {
            assert_eq!(no_request(&plain), None, "{plain:?}");
        }
        let refused = [
            Message { reply: None, ..request() },
            Message { reply: Some("$JS.ACK.KEYSWEEP_EVENTS.c.1.1.1.1.0".into()), ..request() },
            Message { payload: "".into(), ..request() },
            Message { status: Some(StatusCode::TIMEOUT), ..request() },
            with("Nats-Stream"),
            with("nats-sequence"),
            with("Nats-Msg-Size"),
            with("Nats-Expected-Last-Sequence"),
            with("Status"),
        ];
        for message in refused {
            assert!(no_request(&message).is_some(), "{message:?}");
        }
    }
}
