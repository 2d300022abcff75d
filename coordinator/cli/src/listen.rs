//! The HTTP server of every role, with limits: number of connections, time for the TLS handshake and to read a request,
//! and lifetime of a connection. Idle connections exhaust neither file descriptors nor the service of other clients
//! (`connection_table.rs`).

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use keysweep_model::log_pace::LogPace;
use keysweep_tasks::supervision::TaskGroup;
use keysweep_tls::ServerTls;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};

use super::connection_table::{Admission, ConnectionLimits, ConnectionTable, OpenConnection};
use super::http_access::AdminTls;
use super::request_body;
use crate::limits::{
    HTTP_CONNECTION_LIFE, HTTP_CONNECTIONS_MAX, HTTP_CONNECTIONS_PER_ADDRESS_MAX, HTTP_HEAD_BYTES_MAX,
    HTTP_HEAD_TIMEOUT, HTTP_LOG_EVERY, TLS_HANDSHAKE_TIMEOUT,
};

/// How long to pause after `accept` failed, usually because the process has no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How many connections may wait to be accepted. The system drops requests for more, and allows no more than its own
/// limit, which is 4,096 in Linux by default.
const BACKLOG: u32 = 4096;

/// The answer to a request without TLS where TLS is spoken.
pub(super) const ONLY_TLS: &str = "this address speaks TLS: use https://";

/// The first byte of a client that speaks TLS.
const TLS_HANDSHAKE: u8 = 22;

/// Listens at `address`.
pub(super) fn at(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves `router` at `listener`, over TLS while there is a certificate; never returns.
pub(super) async fn serve(listener: TcpListener, tls: AdminTls, router: Router) -> Result<(), Infallible> {
    let limits =
        ConnectionLimits { total: HTTP_CONNECTIONS_MAX, per_address: HTTP_CONNECTIONS_PER_ADDRESS_MAX };
    let table = Arc::new(Mutex::new(ConnectionTable::new(limits)));
    let (mut tasks, mut failed, mut crowded) =
        (TaskGroup::default(), LogPace::new(HTTP_LOG_EVERY), LogPace::new(HTTP_LOG_EVERY));
    loop {
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(e) => {
                if let Some(more) = failed.note(Instant::now()) {
                    tracing::warn!(error = %e, "HTTP: failed to accept a connection{more}");
                }
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        tasks.remove_ended();
        // Closing connections keep their file descriptors for a moment.
        while tasks.len() > HTTP_CONNECTIONS_MAX {
            tasks.next().await;
        }
        let admission = lock(&table).enter(address.ip());
        if !matches!(admission, Admission::Free(..)) {
            log_crowd(&mut crowded, address.ip());
        }
        let (Admission::Free(number, connection) | Admission::Cleared(number, connection)) = admission else {
            continue;
        };
        let (table, tls) = (Arc::clone(&table), tls.borrow().clone());
        let client = Client { address, connection, router: router.clone() };
        tasks.start("HTTP connection", async move {
            match tls {
                Some(tls) => client.serve_over_tls(stream, &tls).await,
                None => client.serve(stream).await,
            }
            lock(&table).leave(number);
            Ok::<(), Infallible>(())
        });
    }
}

fn lock(table: &Mutex<ConnectionTable>) -> std::sync::MutexGuard<'_, ConnectionTable> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

fn log_crowd(pace: &mut LogPace, address: IpAddr) {
    if let Some(more) = pace.note(Instant::now()) {
        tracing::warn!(
            "HTTP: too many connections; the last one came from {address}. At most {HTTP_CONNECTIONS_MAX} are kept, and \
             {HTTP_CONNECTIONS_PER_ADDRESS_MAX} from one address; the oldest without a whole request was closed{more}"
        );
    }
}

/// The client of one connection, and what it is served with.
struct Client {
    address: SocketAddr,
    connection: OpenConnection,
    router: Router,
}

impl Client {
    /// Makes TLS of the connection first. A client that takes too long for it, or whose place is needed, is dropped.
    async fn serve_over_tls(&self, stream: TcpStream, tls: &ServerTls) {
        let handshake = timeout(TLS_HANDSHAKE_TIMEOUT, async {
            let mut first = [0];
            if stream.peek(&mut first).await? == 1 && first[0] != TLS_HANDSHAKE {
                refuse_plain(stream).await?;
                return Ok(None);
            }
            io::Result::Ok(Some(tls.accept(stream).await?))
        });
        let accepted = tokio::select! {
            accepted = handshake => accepted,
            () = self.connection.leave.cancelled() => return,
        };
        match accepted {
            Ok(Ok(Some(stream))) => self.serve(stream).await,
            Ok(Ok(None)) => {}
            Ok(Err(e)) => tracing::debug!(address = %self.address, error = %e, "HTTP: no TLS with a client"),
            Err(_) => tracing::debug!(address = %self.address, "HTTP: a TLS handshake took too long"),
        }
    }

    /// Serves the connection until it ends, must close, or reaches its maximum lifetime.
    async fn serve(&self, stream: impl AsyncRead + AsyncWrite + Unpin) {
        let service = TowerToHyperService::new(self.router.clone());
        let service = service_fn(|request: Request<Incoming>| {
            let (active, mut request) = request_body::counted(request, &self.connection);
            request.extensions_mut().insert(ConnectInfo(self.address));
            let answer = service.call(request);
            async move {
                let answer = answer.await;
                drop(active);
                answer
            }
        });
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(HTTP_HEAD_TIMEOUT)
            .max_buf_size(HTTP_HEAD_BYTES_MAX);
        let mut conn = std::pin::pin!(http.serve_connection(TokioIo::new(stream), service));
        tokio::select! {
            ended = conn.as_mut() => {
                if let Err(e) = ended {
                    tracing::debug!(address = %self.address, error = %e, "HTTP: a connection ended early");
                }
                return;
            }
            () = self.connection.leave.cancelled() => return,
            () = sleep(HTTP_CONNECTION_LIFE) => conn.as_mut().graceful_shutdown(),
        }
        // A request in progress is still answered.
        tokio::select! {
            _ = conn => {}
            () = self.connection.leave.cancelled() => {}
            () = sleep(HTTP_CONNECTION_LIFE) => {}
        }
    }
}

/// Tells a client without TLS what to do.
async fn refuse_plain(mut stream: TcpStream) -> io::Result<()> {
    // Closing with unread bytes would take the answer back.
    let _ = stream.read(&mut [0; 4096]).await?;
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{ONLY_TLS}\n",
        ONLY_TLS.len() + 1
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}
