//! Sentinels: which server is the primary of that name now. Asked whenever a connection is made, so that whoever lost
//! one finds the server that took over.

use redis::Value;

use super::access::Access;
use super::conn::Conn;
use super::fault::{Fault, FaultKind};
use crate::config::SentinelUrl;

/// The host and port of the primary, by the first Sentinel that knows it.
///
/// # Errors
/// What the last one said: [`FaultKind::Unreachable`], [`FaultKind::Authentication`] of the Sentinels' own login, or
/// [`FaultKind::Misnamed`] where they watch nothing of that name.
pub(super) async fn primary(access: &Access, url: &SentinelUrl) -> Result<(String, u16), Fault> {
    let mut last = Fault::new(FaultKind::Unreachable, "?", "no Sentinel given");
    for (host, port) in &url.sentinels {
        match ask(access, (host, *port), &url.primary).await {
            Ok(found) => return Ok(found),
            Err(fault) => {
                tracing::debug!(error = %fault, "a Sentinel does not help");
                last = fault;
            }
        }
    }
    Err(last)
}

async fn ask(access: &Access, (host, port): (&str, u16), primary: &str) -> Result<(String, u16), Fault> {
    let said = |fault: Fault| {
        let way_out = match fault.kind {
            FaultKind::Authentication => {
                "; Sentinels have a login of their own: `--sentinel-user`, and the password in \
                                          `--sentinel-password-file` or `KEYSWEEP_SENTINEL_PASSWORD`"
            }
            _ => "",
        };
        Fault { detail: format!("it is a Sentinel, and says: {}{way_out}", fault.detail), ..fault }
    };
    let conn = access.connect_sentinel(host, port).await.map_err(said)?;
    let question: [&[u8]; 3] = [b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", primary.as_bytes()];
    match conn.command(&question).await.map_err(said)? {
        Value::Array(parts) => parse(&parts).ok_or_else(|| Fault::unexpected(conn.address(), "SENTINEL")),
        Value::Nil => Err(Fault::new(
            FaultKind::Misnamed,
            conn.address(),
            format!("it is a Sentinel, and watches no `{primary}`; `SENTINEL MASTERS` lists what it watches"),
        )),
        _ => Err(Fault::unexpected(conn.address(), "SENTINEL")),
    }
}

fn parse(parts: &[Value]) -> Option<(String, u16)> {
    let [Value::BulkString(host), Value::BulkString(port)] = parts else { return None };
    let host = String::from_utf8(host.clone()).ok().filter(|host| !host.is_empty())?;
    Some((host, str::from_utf8(port).ok()?.parse().ok()?))
}

/// Makes sure that the server behind `conn` is a primary: until a failover is over, Sentinels name the old one.
///
/// # Errors
/// [`FaultKind::NotReady`] if it is not.
pub(super) async fn check(conn: &Conn, url: &SentinelUrl) -> Result<(), Fault> {
    let info = super::text::text(conn, "INFO", conn.words("INFO replication").await?)?;
    let info = super::info::Info::parse(info);
    match info.text("role") {
        Some("slave") => {
            let detail = format!(
                "Sentinels call it the primary of `{}`, but it is a replica, as while a failover goes on",
                url.primary
            );
            Err(Fault::new(FaultKind::NotReady, conn.address(), detail))
        }
        _ => Ok(()),
    }
}

/// A primary that cannot be reached is one that is about to be replaced.
pub(super) fn soon(url: &SentinelUrl, fault: Fault) -> Fault {
    if fault.kind != FaultKind::Unreachable {
        return fault;
    }
    let detail = format!(
        "{}; Sentinels call it the primary of `{}`. If it is up, and its address means nothing from here, say where it \
         is with `--nat {}=HOST:PORT`",
        fault.detail, url.primary, fault.address
    );
    Fault { kind: FaultKind::NotReady, detail, ..fault }
}
