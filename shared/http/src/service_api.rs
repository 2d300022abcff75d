//! Requests to the HTTP API of a `keysweep serve`.

use keysweep_model::secret::Secret;
use reqwest::{RequestBuilder, Url};
use serde_json::Value;

use super::client::{RetryPolicy, WebClient, address, body, display_url, send};
use super::error::{WebError, WebErrorKind};
use crate::limits::{SERVICE_ANSWER_BYTES_MAX, SERVICE_START_TIMEOUT};

/// The operation, for errors.
const WHAT: &str = "ask the service at";

/// A service, and the token of its API.
pub struct ServiceApi {
    client: WebClient,
    base: Url,
    shown: String,
    token: Option<Secret>,
}

/// The reply to a request.
#[derive(Debug)]
pub struct ApiReply {
    /// Its status.
    pub status: u16,
    /// Its JSON.
    pub body: Value,
}

impl ServiceApi {
    /// The service at `url`, which may have a path. A service on this machine is asked without a proxy.
    ///
    /// # Errors
    /// If `url` is not an HTTP URL, or the system provides no client.
    pub fn new(url: &str, token: Option<Secret>) -> Result<Self, WebError> {
        let secret = Secret::new(url);
        let base = address(&secret, WHAT)?;
        let client = WebClient::of(RetryPolicy::default(), is_here(&base))?;
        Ok(Self { client, base, shown: display_url(&secret), token })
    }

    /// The part of its URL that may be shown.
    #[must_use]
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// The reply to GET of a path below `/api`, in parts.
    ///
    /// # Errors
    /// If there is none, or it is not JSON.
    pub async fn get(&self, path: &[&str]) -> Result<ApiReply, WebError> {
        self.ask(path, |client, url| client.client.get(url), self.client.retry_policy).await
    }

    /// The reply to POST of a path below `/api`, in parts. A run is planned before it is answered, which takes a while.
    ///
    /// # Errors
    /// If there is none, or it is not JSON.
    pub async fn post(&self, path: &[&str], document: &Value) -> Result<ApiReply, WebError> {
        let patience = RetryPolicy { request: SERVICE_START_TIMEOUT, ..self.client.retry_policy };
        let post = |client: &WebClient, url| client.client.post(url).json(document).timeout(patience.request);
        self.ask(path, post, patience).await
    }

    async fn ask(
        &self,
        path: &[&str],
        request: impl FnOnce(&WebClient, Url) -> RequestBuilder,
        patience: RetryPolicy,
    ) -> Result<ApiReply, WebError> {
        let failed = |kind| WebError { kind, what: WHAT, target: self.shown.clone() };
        let mut url = self.base.clone();
        let parts = url.path_segments_mut();
        parts.map_err(|()| failed(WebErrorKind::Address))?.pop_if_empty().push("api").extend(path);
        let request = request(&self.client, url);
        let request = match &self.token {
            Some(token) => request.bearer_auth(token.expose()),
            None => request,
        };
        let reply = send(request, &patience).await.map_err(failed)?;
        let status = reply.status().as_u16();
        let text = body(reply, &patience, SERVICE_ANSWER_BYTES_MAX).await.map_err(failed)?;
        let body = serde_json::from_slice(&text).map_err(|_| {
            failed(WebErrorKind::Status { code: status, said: Some("it is not JSON".to_owned()) })
        })?;
        Ok(ApiReply { status, body })
    }
}

/// Whether the host is this machine.
fn is_here(url: &Url) -> bool {
    match url.host_str().unwrap_or_default() {
        "localhost" | "[::1]" => true,
        host => host.parse::<std::net::Ipv4Addr>().is_ok_and(|ip| ip.is_loopback()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_service_on_this_machine_is_asked_without_a_proxy() {
        let check = |url: &str, here: bool| assert_eq!(is_here(&Url::parse(url).unwrap()), here, "{url}");
        check("http://127.0.0.1:9464", true);
        check("http://[::1]:9464/keysweep/", true);
        check("https://localhost", true);
        check("http://10.0.0.1:9464", false);
        check("http://localhost.example", false);
    }

    #[test]
    fn a_url_of_another_kind_is_refused() {
        for url in ["127.0.0.1:9464", "ftp://h", "http://", ""] {
            let refused = ServiceApi::new(url, None).err().map(|e| e.to_string()).unwrap_or_default();
            assert!(refused.contains("`http://` or `https://`"), "{url}: {refused}");
        }
    }
}
