//! The HTTP server of every role, with limits: connections, the time for the head of a request, and the lifetime of a
//! connection. Idle connections take neither file descriptors nor answers from other clients (`guests.rs`).

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use shared::limits::{
    HTTP_CONNECTION_LIFE, HTTP_CONNECTIONS_MAX, HTTP_CONNECTIONS_PER_ADDRESS_MAX, HTTP_HEAD_BYTES_MAX,
    HTTP_HEAD_TIMEOUT, HTTP_LOG_EVERY,
};
use shared::supervision::TaskGroup;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep};

use super::connection_table::{Admission, ConnectionLimits, ConnectionTable, OpenConnection};

/// How long no connection is accepted after `accept` failed, usually because the process has no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Answers at `listener` by `router`, for ever.
pub(super) async fn serve(listener: TcpListener, router: Router) -> Result<(), Infallible> {
    let room =
        ConnectionLimits { total: HTTP_CONNECTIONS_MAX, per_address: HTTP_CONNECTIONS_PER_ADDRESS_MAX };
    let guests = Arc::new(Mutex::new(ConnectionTable::new(room)));
    let (mut crew, mut log) = (TaskGroup::default(), Log::default());
    loop {
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(e) => {
                log.log(|more| tracing::warn!(error = %e, "HTTP: a connection could not be taken{more}"));
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        crew.reap();
        // Those that have to go are gone in a moment, and keep their files until then.
        while crew.len() > HTTP_CONNECTIONS_MAX {
            crew.next().await;
        }
        let (number, guest) = match lock(&guests).enter(address.ip()) {
            Admission::Free(number, guest) => (number, guest),
            Admission::Cleared(number, guest) => {
                log.crowded(address.ip());
                (number, guest)
            }
            Admission::Refused => {
                log.crowded(address.ip());
                continue;
            }
        };
        let (guests, router) = (Arc::clone(&guests), router.clone());
        crew.start("HTTP connection", async move {
            connection(stream, address, router, &guest).await;
            lock(&guests).leave(number);
            Ok::<(), Infallible>(())
        });
    }
}

fn lock(guests: &Mutex<ConnectionTable>) -> std::sync::MutexGuard<'_, ConnectionTable> {
    guests.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Answers the requests of one connection until it ends, has to go, or has lasted long enough.
async fn connection(stream: TcpStream, address: SocketAddr, router: Router, guest: &OpenConnection) {
    let service = TowerToHyperService::new(router);
    let service = service_fn(|request: Request<Incoming>| {
        let (asking, answer) = (guest.asks(), service.call(request.map(Body::new)));
        async move {
            let answer = answer.await;
            drop(asking);
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
        () = guest.leave.cancelled() => return,
        () = sleep(HTTP_CONNECTION_LIFE) => conn.as_mut().graceful_shutdown(),
    }
    // What it has asked for is still answered, if it reads that.
    tokio::select! {
        _ = conn => {}
        () = guest.leave.cancelled() => {}
        () = sleep(HTTP_CONNECTION_LIFE) => {}
    }
}

/// Says what happens to connections, once in a while, with how many times it happened.
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
