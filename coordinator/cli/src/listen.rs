//! The HTTP server of every role, with limits: number of connections, time to read the head of a request, and lifetime
//! of a connection. Idle connections exhaust neither file descriptors nor the service of other clients
//! (`connection_table.rs`).

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use keysweep_tasks::supervision::TaskGroup;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep};

use super::connection_table::{Admission, ConnectionLimits, ConnectionTable, OpenConnection};
use crate::limits::{
    HTTP_CONNECTION_LIFE, HTTP_CONNECTIONS_MAX, HTTP_CONNECTIONS_PER_ADDRESS_MAX, HTTP_HEAD_BYTES_MAX,
    HTTP_HEAD_TIMEOUT, HTTP_LOG_EVERY,
};

/// How long to pause after `accept` failed, usually because the process has no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves `router` at `listener`; never returns.
pub(super) async fn serve(listener: TcpListener, router: Router) -> Result<(), Infallible> {
    let limits =
        ConnectionLimits { total: HTTP_CONNECTIONS_MAX, per_address: HTTP_CONNECTIONS_PER_ADDRESS_MAX };
    let table = Arc::new(Mutex::new(ConnectionTable::new(limits)));
    let (mut tasks, mut log) = (TaskGroup::default(), Log::default());
    loop {
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(e) => {
                log.log(|more| tracing::warn!(error = %e, "HTTP: failed to accept a connection{more}"));
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        tasks.remove_ended();
        // Closing connections keep their file descriptors for a moment.
        while tasks.len() > HTTP_CONNECTIONS_MAX {
            tasks.next().await;
        }
        let (number, connection) = match lock(&table).enter(address.ip()) {
            Admission::Free(number, connection) => (number, connection),
            Admission::Cleared(number, connection) => {
                log.crowded(address.ip());
                (number, connection)
            }
            Admission::Refused => {
                log.crowded(address.ip());
                continue;
            }
        };
        let (table, router) = (Arc::clone(&table), router.clone());
        tasks.start("HTTP connection", async move {
            serve_one(stream, address, router, &connection).await;
            lock(&table).leave(number);
            Ok::<(), Infallible>(())
        });
    }
}

fn lock(table: &Mutex<ConnectionTable>) -> std::sync::MutexGuard<'_, ConnectionTable> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Serves one connection until it ends, must close, or reaches its maximum lifetime.
async fn serve_one(stream: TcpStream, address: SocketAddr, router: Router, connection: &OpenConnection) {
    let service = TowerToHyperService::new(router);
    let service = service_fn(|request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(address));
        let (active, answer) = (connection.begin_request(), service.call(request));
        async move {
            let answer = answer.await;
            drop(active);
            answer
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HTTP_HEAD_TIMEOUT).max_buf_size(HTTP_HEAD_BYTES_MAX);
    let mut conn = std::pin::pin!(http.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        ended = conn.as_mut() => {
            if let Err(e) = ended {
                tracing::debug!(%address, error = %e, "HTTP: a connection ended early");
            }
            return;
        }
        () = connection.leave.cancelled() => return,
        () = sleep(HTTP_CONNECTION_LIFE) => conn.as_mut().graceful_shutdown(),
    }
    // A request in progress is still answered.
    tokio::select! {
        _ = conn => {}
        () = connection.leave.cancelled() => {}
        () = sleep(HTTP_CONNECTION_LIFE) => {}
    }
}

/// Logs connection problems at a limited rate, with how often they occurred.
#[derive(Default)]
struct Log {
    last: Option<Instant>,
    untold: u64,
}

impl Log {
    fn crowded(&mut self, address: IpAddr) {
        self.log(|more| {
            tracing::warn!(
                "HTTP: too many connections; the last one came from {address}. At most {HTTP_CONNECTIONS_MAX} are \
                 kept, and {HTTP_CONNECTIONS_PER_ADDRESS_MAX} from one address; the oldest without a whole request \
                 was closed{more}"
            );
        });
    }

    fn log(&mut self, say: impl FnOnce(&str)) {
        let now = Instant::now();
        if self.last.is_some_and(|last| now - last < HTTP_LOG_EVERY) {
            self.untold += 1;
            return;
        }
        say(&match self.untold {
            0 => String::new(),
            times => format!(" ({times} more times since the last such line)"),
        });
        (self.last, self.untold) = (Some(now), 0);
    }
}
