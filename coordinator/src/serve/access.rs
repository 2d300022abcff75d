//! Who may use the HTTP API and the page. The only place that decides it: for each request, by token, by session, or
//! without either where reading is free.

pub(super) mod guards;
mod refusals;
mod sessions;
mod wrong_tokens;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use axum::extract::{ConnectInfo, Request};
use axum::http::header::{AUTHORIZATION, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, Method};
use axum::response::Response;
use keysweep_http::constant_time_eq;
use keysweep_model::secret::Secret;
use strum::IntoStaticStr;

use self::refusals::{Refusal, Refusals};
use self::sessions::Sessions;
use self::wrong_tokens::WrongTokens;
use super::handlers::{ApiError, ApiResult, refused};
use super::http::error_response;

/// The response if no token is set.
const OFF: &str = "the HTTP API is off; to turn it on, set a token with `--api-token-file`, \
                   `KEYSWEEP_API_TOKEN`, or `api_token_file` under `[serve]` in the job file";

/// The response to a client that has given no token.
const NO_TOKEN: &str = "give the token of the HTTP API as `Authorization: Bearer <token>`";

/// The response to a client that has given another token.
const WRONG_TOKEN: &str = "this is not a token of this service";

/// The response to a client that may only read.
const ONLY_READS: &str = "this client may only read: use the `api_token` to start and stop runs";

/// The response to an address that has sent too many wrong tokens.
const TOO_MANY: &str = "too many wrong tokens from this address; try again in a moment";

/// Which clients are served. The default serves none.
#[derive(Clone, Debug, Default)]
pub struct HttpAccess {
    /// The token of clients that act.
    pub api_token: Option<Secret>,
    /// The token of clients that only read.
    pub view_token: Option<Secret>,
    /// Whether clients without a token may read.
    pub open: bool,
    /// Host names in lower case by which browsers may address the service, besides IP addresses and `localhost`.
    pub hosts: Vec<String>,
    /// Whether key names are shown to browsers, and to clients that only read.
    pub shows_keys: bool,
    /// Whether the service itself speaks TLS.
    pub tls: bool,
}

impl HttpAccess {
    /// The token that gives a client its role.
    fn token(&self, role: Role) -> Option<&Secret> {
        match role {
            Role::Act => self.api_token.as_ref(),
            Role::View => self.view_token.as_ref(),
        }
    }
}

/// What a client may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub(super) enum Role {
    /// Read.
    View,
    /// Read, and start and stop runs.
    Act,
}

/// The client of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Client {
    pub(super) role: Role,
    /// Whether it is a browser, which other sites can make send requests. Programs send their token each time.
    pub(super) is_browser: bool,
}

/// Admits clients.
pub(super) struct Access {
    rules: Mutex<Arc<HttpAccess>>,
    sessions: Mutex<Sessions>,
    wrong: Mutex<WrongTokens>,
    refusals: Mutex<Refusals>,
}

impl Access {
    pub(super) fn new(rules: HttpAccess) -> Self {
        Self {
            rules: Mutex::new(Arc::new(rules)),
            sessions: Mutex::default(),
            wrong: Mutex::default(),
            refusals: Mutex::default(),
        }
    }

    fn rules(&self) -> Arc<HttpAccess> {
        Arc::clone(&lock(&self.rules))
    }

    /// Admits clients by other rules from now on. Sessions that began with a token end with it.
    pub(super) fn change(&self, rules: HttpAccess) {
        let mut sessions = lock(&self.sessions);
        let before = self.rules();
        sessions.end_all(|role| before.token(role) != rules.token(role));
        *lock(&self.rules) = Arc::new(rules);
    }

    /// Whether anyone is served.
    pub(super) fn is_on(&self) -> bool {
        self.has_tokens() || self.rules().open
    }

    /// Whether a client can log in.
    pub(super) fn has_tokens(&self) -> bool {
        let rules = self.rules();
        rules.api_token.is_some() || rules.view_token.is_some()
    }

    /// Whether the browser that sends a request uses TLS, which this service or a proxy ends.
    pub(super) fn is_over_tls(&self, headers: &HeaderMap) -> bool {
        self.rules().tls || guards::is_over_tls(headers)
    }

    /// The client of a request, if it may do what it asks for.
    pub(super) fn admit(&self, request: &Request, now: Instant) -> ApiResult<Client> {
        if !self.is_on() {
            return refused(403, OFF);
        }
        let (headers, reads) = (request.headers(), is_read(request.method()));
        let client = match bearer(headers) {
            Some(token) => Client { role: self.role(token, peer(request), now)?, is_browser: false },
            None => self.browser(headers, now).ok_or_else(no_token)?,
        };
        if client.is_browser {
            self.check_browser(request, now)?;
        }
        match client.role {
            Role::View if !reads => refused(403, ONLY_READS),
            _ => Ok(client),
        }
    }

    /// Refuses a request of a browser that a foreign site may have arranged.
    pub(super) fn check_browser(&self, request: &Request, now: Instant) -> ApiResult<()> {
        let (headers, peer) = (request.headers(), peer(request));
        if let Err(answer) = guards::check_host(headers, &self.rules().hosts) {
            return self.refuse(Refusal::ForeignHost, peer, now, answer);
        }
        if is_read(request.method()) {
            return Ok(());
        }
        guards::check_write(headers).or_else(|answer| self.refuse(Refusal::OtherSite, peer, now, answer))
    }

    /// Refuses a request, and logs it if that is due.
    fn refuse<T>(&self, refusal: Refusal, peer: IpAddr, now: Instant, answer: ApiError) -> ApiResult<T> {
        if let Some(line) = lock(&self.refusals).note(refusal, peer, now) {
            tracing::warn!("{line}");
        }
        Err(answer)
    }

    /// The client of a request by its session, or, where reading is free, without one.
    pub(super) fn browser(&self, headers: &HeaderMap, now: Instant) -> Option<Client> {
        let mut sessions = guards::session_cookies(headers);
        let role = sessions.find_map(|session| lock(&self.sessions).role(session, now));
        let role = role.or(self.rules().open.then_some(Role::View))?;
        Some(Client { role, is_browser: true })
    }

    /// The role of a token that the client at `peer` presents.
    fn role(&self, token: &[u8], peer: IpAddr, now: Instant) -> ApiResult<Role> {
        if !lock(&self.wrong).may_try(peer, now) {
            let answer = ApiError { code: 429, why: TOO_MANY.to_owned() };
            return self.refuse(Refusal::Guessing, peer, now, answer);
        }
        let rules = self.rules();
        let is = |role: &Role| rules.token(*role).is_some_and(|known| constant_time_eq(known, token));
        if let Some(role) = [Role::Act, Role::View].into_iter().find(is) {
            return Ok(role);
        }
        lock(&self.wrong).note(peer, token, now);
        let answer = ApiError { code: 401, why: WRONG_TOKEN.to_owned() };
        self.refuse(Refusal::WrongToken, peer, now, answer)
    }

    /// Begins a session of the browser at `peer` with a token; its secret goes into the cookie.
    pub(super) fn log_in(&self, token: &[u8], peer: IpAddr, now: Instant) -> ApiResult<(Role, Secret)> {
        // Locked meanwhile, so that a change of the tokens finds every session that began with the former ones.
        let mut sessions = lock(&self.sessions);
        let role = self.role(token, peer, now)?;
        match sessions.begin(role, now) {
            Some(session) => Ok((role, session)),
            None => refused(500, "the system has no random numbers"),
        }
    }

    /// Ends the session of a request, if it has one.
    pub(super) fn end_session(&self, headers: &HeaderMap) {
        for session in guards::session_cookies(headers) {
            lock(&self.sessions).end(session);
        }
    }

    /// Whether `client` may see names of keys.
    pub(super) fn shows_keys(&self, client: Client) -> bool {
        self.rules().shows_keys || client == Client { role: Role::Act, is_browser: false }
    }
}

fn lock<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_read(method: &Method) -> bool {
    [Method::GET, Method::HEAD].contains(method)
}

fn no_token() -> ApiError {
    ApiError { code: 401, why: NO_TOKEN.to_owned() }
}

/// The address of the client, which the listener adds to each request.
pub(super) fn peer(request: &Request) -> IpAddr {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    peer.map_or(Ipv4Addr::UNSPECIFIED.into(), |peer| peer.0.ip())
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.as_bytes().split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

/// The response to a client that is not admitted.
pub(super) fn refusal(refusal: &ApiError) -> Response {
    let mut response = error_response(refusal.code, &refusal.why);
    let more = match refusal.code {
        401 => Some((WWW_AUTHENTICATE, "Bearer realm=\"keysweep\"")),
        429 => Some((RETRY_AFTER, "1")),
        _ => None,
    };
    if let Some((name, value)) = more {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
