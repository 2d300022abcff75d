//! Logging in to the page with a token, and out.

use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use keysweep_model::secret::Secret;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::limits::SESSION_LIFE;
use crate::serve::access::guards::cookie_name;
use crate::serve::access::{peer, refusal};
use crate::serve::handlers::ApiResult;
use crate::serve::http::{SharedApi, answered, with_body};
use crate::serve::request::{FieldKind, RequestField, RequestFields, parse};

/// The body of a login.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::serve) struct Login {
    /// The `api_token` or the `view_token`.
    token: String,
}

impl RequestFields for Login {
    fn fields() -> Vec<RequestField> {
        vec![("token", FieldKind::Text)]
    }
}

/// The answer to a login or logout.
#[derive(Serialize, JsonSchema)]
pub(in crate::serve) struct SessionAnswer {
    /// What the session may do: `act` or `view`; null after a logout.
    role: Option<&'static str>,
}

/// `POST /login`
pub(in crate::serve) async fn log_in(State(api): SharedApi, request: Request) -> Response {
    let (peer, now) = (peer(&request), Instant::now());
    let (name, secure) = (cookie_name(request.headers()), api.access.is_over_tls(request.headers()));
    let logged_in = async {
        let (_, body) = with_body(request).await?;
        let Login { token } = parse(&body)?;
        api.access.log_in(token.as_bytes(), peer, now)
    };
    match logged_in.await {
        Ok((role, session)) => {
            let answer = answered(200, Ok(SessionAnswer { role: Some(role.into()) }));
            with_cookie(answer, &cookie(&name, Some(&session), secure))
        }
        Err(e) => refusal(&e),
    }
}

/// `POST /logout`
pub(in crate::serve) async fn log_out(State(api): SharedApi, headers: HeaderMap) -> Response {
    api.access.end_session(&headers);
    let ended: ApiResult<_> = Ok(SessionAnswer { role: None });
    let (name, secure) = (cookie_name(&headers), api.access.is_over_tls(&headers));
    with_cookie(answered(200, ended), &cookie(&name, None, secure))
}

/// The session's cookie; without a session, one that removes it.
fn cookie(name: &str, session: Option<&Secret>, secure: bool) -> String {
    let (value, life) = session.map_or(("", 0), |session| (session.expose(), SESSION_LIFE.as_secs()));
    let secure = if secure { "; Secure" } else { "" };
    format!("{name}={value}; HttpOnly; SameSite=Strict; Path=/; Max-Age={life}{secure}")
}

fn with_cookie(mut response: Response, cookie: &str) -> Response {
    if let Ok(cookie) = HeaderValue::from_str(cookie) {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    response
}
