//! What requests of browsers must look like, so that no other site can make a browser send them. Pure.

use std::net::IpAddr;

use axum::http::HeaderMap;
use axum::http::header::{CONTENT_TYPE, COOKIE, HOST, HeaderName, ORIGIN};
use axum::http::uri::Authority;

use crate::serve::handlers::{ApiResult, refused};

/// What the name of the session's cookie begins with.
const COOKIE_NAME: &str = "keysweep_session";

/// A header that a form of another site cannot send, whatever its value.
pub(in crate::serve) const PAGE_HEADER: &str = "x-keysweep";

const SEC_FETCH_SITE: &str = "sec-fetch-site";

/// Refuses a request for a host that is neither an IP address, nor `localhost`, nor one of `hosts`: a foreign name that
/// was made to resolve to this address has the rights of a page of its own.
pub(super) fn check_host(headers: &HeaderMap, hosts: &[String]) -> ApiResult<()> {
    if host(headers).is_some_and(|host| is_known(&host, hosts)) {
        return Ok(());
    }
    refused(
        403,
        "the page is not served under this host name: use an IP address or `localhost`, or list the name \
         in `hosts` under `[serve]`",
    )
}

fn is_known(host: &str, hosts: &[String]) -> bool {
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    address.parse::<IpAddr>().is_ok() || host == "localhost" || hosts.iter().any(|known| known == host)
}

/// The host that a request names, in lower case and without port.
fn host(headers: &HeaderMap) -> Option<String> {
    Some(authority(headers)?.host().to_ascii_lowercase())
}

fn authority(headers: &HeaderMap) -> Option<Authority> {
    headers.get(HOST)?.to_str().ok()?.parse().ok()
}

/// Refuses a request that changes something, unless it is one of our page: JSON, with a header of its own, and not from
/// another site as far as the browser says.
pub(super) fn check_write(headers: &HeaderMap) -> ApiResult<()> {
    if !is_own_site(headers) {
        return refused(403, "the request comes from another site");
    }
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case("application/json") {
        return refused(415, "give the body as `Content-Type: application/json`");
    }
    if !headers.contains_key(HeaderName::from_static(PAGE_HEADER)) {
        return refused(403, "a browser must send the header `X-Keysweep`");
    }
    Ok(())
}

fn is_own_site(headers: &HeaderMap) -> bool {
    let same_origin = headers.get(SEC_FETCH_SITE).is_none_or(|site| site == "same-origin");
    let origin = |origin: &str| {
        let host = headers.get(HOST).and_then(|host| host.to_str().ok())?;
        let (_, of_origin) = origin.split_once("://")?;
        Some(of_origin.eq_ignore_ascii_case(host))
    };
    let own_origin =
        headers.get(ORIGIN).is_none_or(|value| value.to_str().ok().and_then(origin) == Some(true));
    same_origin && own_origin
}

/// Whether the browser says that it uses TLS, which a proxy ends.
pub(in crate::serve) fn is_over_tls(headers: &HeaderMap) -> bool {
    headers.get(ORIGIN).is_some_and(|origin| origin.as_bytes().starts_with(b"https://"))
}

/// The name of the session's cookie. Cookies do not know ports, so it names the port that the browser uses: services at
/// several ports of a host keep their sessions apart.
pub(in crate::serve) fn cookie_name(headers: &HeaderMap) -> String {
    let port = authority(headers).and_then(|authority| authority.port_u16());
    port.map_or_else(|| COOKIE_NAME.to_owned(), |port| format!("{COOKIE_NAME}_{port}"))
}

/// What may be the secret of a session in a request's cookies: those of services at other ports are there, too.
pub(super) fn session_cookies(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let all = headers.get_all(COOKIE).into_iter().filter_map(|cookies| cookies.to_str().ok());
    let pairs = all.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let sessions = pairs.filter(|(name, _)| {
        name.strip_prefix(COOKIE_NAME).is_some_and(|port| port.is_empty() || port.starts_with('_'))
    });
    sessions.map(|(_, value)| value.as_bytes())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn hosts_are_addresses_localhost_and_configured_names() {
        let check = |host: &'static str, expected: bool| {
            let hosts = ["sweep.example".to_owned()];
            let known = check_host(&headers(&[("host", host)]), &hosts).is_ok();
            assert_eq!(known, expected, "{host}");
        };
        for known in ["127.0.0.1", "127.0.0.1:9464", "[::1]:9464", "10.1.2.3", "localhost:1", "LOCALHOST"] {
            check(known, true);
        }
        check("Sweep.Example:9464", true);
        for foreign in
            ["", "evil.example", "sweep.example.evil", "127.0.0.1.evil.example", "localhost.evil", "a b"]
        {
            check(foreign, false);
        }
        assert!(check_host(&HeaderMap::new(), &[]).is_err(), "no host");
    }

    #[test]
    fn only_our_page_may_change_something() {
        let ours =
            [("host", "h:1"), ("content-type", "application/json; charset=utf-8"), ("x-keysweep", "1")];
        let check = |more: &[(&'static str, &'static str)], expected: u16| {
            let pairs = [&ours[..], more].concat();
            let code = check_write(&headers(&pairs)).map_or_else(|refusal| refusal.code, |()| 200);
            assert_eq!(code, expected, "{more:?}");
        };
        check(&[], 200);
        check(&[("sec-fetch-site", "same-origin"), ("origin", "http://h:1")], 200);
        check(&[("origin", "https://H:1")], 200);
        for site in ["cross-site", "same-site", "none"] {
            check(&[("sec-fetch-site", site)], 403);
        }
        for origin in ["http://evil.example", "http://h:2", "http://h:1.evil.example", "null", ""] {
            check(&[("origin", origin)], 403);
        }
        check(&[("content-type", "text/plain")], 415);
        let code =
            |pairs: &[(&'static str, &'static str)]| check_write(&headers(pairs)).err().map(|e| e.code);
        assert_eq!(code(&ours[..2]), Some(403), "no header of its own");
    }

    #[test]
    fn sessions_are_found_among_other_cookies() {
        let check = |cookies: &'static str, expected: &[&str]| {
            let found = headers(&[("cookie", cookies)]);
            let expected: Vec<&[u8]> = expected.iter().map(|value| value.as_bytes()).collect();
            assert_eq!(session_cookies(&found).collect::<Vec<_>>(), expected, "{cookies}");
        };
        check("keysweep_session=ab", &["ab"]);
        check("a=b; keysweep_session_1=ab; c=d; keysweep_session_2=ef", &["ab", "ef"]);
        check("xkeysweep_session=ab; keysweep; keysweep_sessions=c", &[]);
    }

    #[test]
    fn cookies_are_named_by_the_port_of_the_browser() {
        let check = |host, expected: &str| assert_eq!(cookie_name(&headers(&[("host", host)])), expected);
        check("h", "keysweep_session");
        check("h:1", "keysweep_session_1");
        check("[::1]:2", "keysweep_session_2");
        check("h:x", "keysweep_session");
    }
}
