//! `keysweep health`: asks a process on this machine whether it can work, for the health checks of containers.

use std::error::Error;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;

use axum::body::{Body, to_bytes};
use axum::http::header::{CONNECTION, HOST};
use axum::http::{Request, StatusCode};
use coordinator::exit;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use keysweep_config as config;
use keysweep_config::{ConfigError, Environment, FlagLayer, JobFile, Setting};
use keysweep_model::printable::one_line;
use keysweep_tls::connect_unverified;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::error::CommandError;
use super::listen::ONLY_TLS;
use super::run::OutputMode;
use crate::limits::{HEALTH_BYTES_MAX, HEALTH_TIMEOUT};

/// How to give the address.
const GIVE: &str =
    "`--admin-addr IP:PORT`, `KEYSWEEP_ADMIN_ADDR`, or `admin_addr` under `[serve]` in the job file";

/// A question, and the answer of a healthy process.
struct Question {
    path: &'static str,
    good: &'static str,
}

/// Status and text.
type Answer = (StatusCode, String);

type Failure = Box<dyn Error + Send + Sync>;

const READY: Question = Question { path: "/readyz", good: "ready" };
const LIVE: Question = Question { path: "/livez", good: "alive" };

/// Asks whether the process can work, or with `live` only whether it runs, and prints the answer.
///
/// # Errors
/// [`CommandError::Unhealthy`] for any other answer, and for none.
pub async fn health(
    flags: &FlagLayer,
    config_file: Option<&str>,
    live: bool,
    how: OutputMode,
) -> Result<u8, CommandError> {
    let unhealthy = CommandError::Unhealthy;
    let address = address(flags, config_file).map_err(|e| unhealthy(e.to_string()))?;
    let address =
        address.ok_or_else(|| unhealthy(format!("which process to ask is not known: give {GIVE}")))?;
    let question = if live { LIVE } else { READY };
    let answer = answer(&address, &question).await.map_err(unhealthy)?;
    let page = if how.json { json!({ "healthy": true, "answer": answer }).to_string() } else { answer };
    writeln!(io::stdout(), "{page}")?;
    Ok(exit::DONE)
}

/// Where the process serves HTTP. The job file counts only if neither flag nor variable say it: a service goes on with
/// its settings while the file is changed.
fn address(flags: &FlagLayer, config_file: Option<&str>) -> Result<Option<Setting<SocketAddr>>, ConfigError> {
    let environment = Environment::snapshot()?;
    if let Some(given) = config::admin_addr(flags, &environment, None)? {
        return Ok(Some(given));
    }
    let file = JobFile::find(config_file, &environment)?;
    config::admin_addr(flags, &environment, file.as_ref())
}

/// The good answer, or what is wrong.
async fn answer(address: &Setting<SocketAddr>, question: &Question) -> Result<String, String> {
    let Setting { value: address, origin } = address;
    if address.port() == 0 {
        return Err(format!("`{address}` ({origin}) names no port: give the one of the process with {GIVE}"));
    }
    let address = reachable(*address);
    let url = format!("http://{address}{}", question.path);
    let (status, text) = match timeout(HEALTH_TIMEOUT, ask(address, question.path)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(e)) => {
            return Err(format!(
                "no answer from {url} ({origin}): {e}; does keysweep run there with {GIVE}?"
            ));
        }
        Err(_) => {
            return Err(format!("no answer from {url} ({origin}) within {} s", HEALTH_TIMEOUT.as_secs()));
        }
    };
    match status {
        StatusCode::OK if text == question.good => Ok(text),
        StatusCode::SERVICE_UNAVAILABLE => Err(format!("not ready: {text}")),
        _ => Err(format!(
            "{url} ({origin}) answers {status}, which keysweep does not: another program listens there"
        )),
    }
}

/// The address at which a process of this machine is reached that listens on `address`.
pub(super) fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Status and text of the answer, over TLS if the process asks for it. Without a proxy, which `HTTP_PROXY` may name: the
/// process is on this machine. Its certificate is not checked, because it is for the name that others use, and nothing
/// here is secret.
async fn ask(address: SocketAddr, path: &str) -> Result<Answer, Failure> {
    let answer = ask_over(TcpStream::connect(address).await?, address, path).await?;
    if answer != (StatusCode::BAD_REQUEST, ONLY_TLS.to_owned()) {
        return Ok(answer);
    }
    let stream = connect_unverified(TcpStream::connect(address).await?, address.ip()).await?;
    ask_over(stream, address, path).await
}

async fn ask_over(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    address: SocketAddr,
    path: &str,
) -> Result<Answer, Failure> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get(path).header(HOST, address.to_string()).header(CONNECTION, "close");
    let request = request.body(Body::empty())?;
    let mut answer = pin!(async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = to_bytes(Body::new(response.into_body()), HEALTH_BYTES_MAX).await?;
        let text = one_line(String::from_utf8_lossy(&body).trim());
        Ok::<_, Failure>((status, text))
    });
    tokio::select! {
        answered = &mut answer => answered,
        // What has arrived by then is still read.
        _ = connection => answer.await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_asked_where_it_is_reached() {
        let check = |listens: &str, asked: &str| {
            assert_eq!(reachable(listens.parse().unwrap()).to_string(), asked, "{listens}");
        };
        check("0.0.0.0:9464", "127.0.0.1:9464");
        check("[::]:9464", "[::1]:9464");
        check("10.0.0.5:1", "10.0.0.5:1");
        check("[::1]:1", "[::1]:1");
    }
}
