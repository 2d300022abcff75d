//! Queries Sentinels for the current primary. This happens whenever a connection is made, so that a client that lost
//! its connection finds the new primary.

use keysweep_model::sentinel_url::SentinelUrl;
use redis::Value;

use super::conn::Conn;
use super::connect_options::ConnectOptions;
use super::error::{RedisError, RedisErrorKind};

/// Host and port of the primary, from the first Sentinel that knows it.
///
/// # Errors
/// The error of the last Sentinel: [`RedisErrorKind::Unreachable`], [`RedisErrorKind::Authentication`] of the
/// Sentinels' own login, or [`RedisErrorKind::Misconfigured`] if they monitor no primary of that name.
pub(super) async fn primary(access: &ConnectOptions, url: &SentinelUrl) -> Result<(String, u16), RedisError> {
    let mut last = RedisError::new(RedisErrorKind::Unreachable, "?", "no Sentinel given");
    for (host, port) in &url.sentinels {
        match ask(access, (host, *port), &url.primary).await {
            Ok(found) => return Ok(found),
            Err(fault) => {
                tracing::debug!(error = %fault, "Sentinel query failed");
                last = fault;
            }
        }
    }
    Err(last)
}

async fn ask(
    access: &ConnectOptions,
    (host, port): (&str, u16),
    primary: &str,
) -> Result<(String, u16), RedisError> {
    let with_hint = |fault: RedisError| {
        let way_out = match fault.kind {
            RedisErrorKind::Authentication => {
                "; Sentinels have a login of their own: `--sentinel-user`, and the password in \
                                          `--sentinel-password-file` or `KEYSWEEP_SENTINEL_PASSWORD`"
            }
            _ => "",
        };
        RedisError { detail: format!("it is a Sentinel, and returned: {}{way_out}", fault.detail), ..fault }
    };
    let conn = access.connect_sentinel(host, port).await.map_err(with_hint)?;
    let command: [&[u8]; 3] = [b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", primary.as_bytes()];
    match conn.command(&command).await.map_err(with_hint)? {
        Value::Array(parts) => {
            parse(&parts).ok_or_else(|| RedisError::unexpected(conn.address(), "SENTINEL"))
        }
        Value::Nil => Err(RedisError::new(
            RedisErrorKind::Misconfigured,
            conn.address(),
            format!(
                "it is a Sentinel, and monitors no `{primary}`; `SENTINEL MASTERS` lists what it monitors"
            ),
        )),
        _ => Err(RedisError::unexpected(conn.address(), "SENTINEL")),
    }
}

fn parse(parts: &[Value]) -> Option<(String, u16)> {
    let [Value::BulkString(host), Value::BulkString(port)] = parts else { return None };
    let host = String::from_utf8(host.clone()).ok().filter(|host| !host.is_empty())?;
    Some((host, str::from_utf8(port).ok()?.parse().ok()?))
}

/// Verifies that the server behind `conn` is a primary: during a failover, Sentinels still name the old one.
///
/// # Errors
/// [`RedisErrorKind::Unavailable`] if it is not.
pub(super) async fn check(conn: &Conn, url: &SentinelUrl) -> Result<(), RedisError> {
    let info = super::reply::text(conn, "INFO", conn.info_text("INFO replication").await?)?;
    let info = super::info::Info::parse(info);
    match info.text("role") {
        Some("slave") => {
            let detail = format!(
                "Sentinels call it the primary of `{}`, but it is a replica, as during a failover",
                url.primary
            );
            Err(RedisError::new(RedisErrorKind::Unavailable, conn.address(), detail))
        }
        _ => Ok(()),
    }
}

/// A primary that cannot be reached is likely to be replaced soon.
pub(super) fn soon(url: &SentinelUrl, fault: RedisError) -> RedisError {
    if fault.kind != RedisErrorKind::Unreachable {
        return fault;
    }
    let detail = format!(
        "{}; Sentinels call it the primary of `{}`. If it is up, and its address means nothing from here, say where it \
         is with `--address-map {}=HOST:PORT`",
        fault.detail, url.primary, fault.address
    );
    RedisError { kind: RedisErrorKind::Unavailable, detail, ..fault }
}
