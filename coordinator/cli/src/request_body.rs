//! The bodies of requests as they arrive. A request counts as in progress only when all of it is there, so that a client
//! that stops in the middle of a body holds no connection that another client needs.

use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};

use axum::body::Body;
use axum::http::Request;
use hyper::body::{Body as HttpBody, Bytes, Frame, Incoming, SizeHint};

use super::connection_table::{ActiveRequest, OpenConnection};

/// `request` with a body that notes when it has arrived; it is in progress until the first value is dropped.
pub(super) fn counted(
    request: Request<Incoming>,
    connection: &OpenConnection,
) -> (Arc<ActiveRequest>, Request<Body>) {
    let active = Arc::new(connection.expect_request());
    if request.body().is_end_stream() {
        active.arrive();
    }
    let note = Arc::downgrade(&active);
    (active, request.map(|body| Body::new(ArrivingBody { body, note })))
}

struct ArrivingBody {
    body: Incoming,
    /// The request, until it is answered.
    note: Weak<ActiveRequest>,
}

impl HttpBody for ArrivingBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if frame.is_none() || self.body.is_end_stream() {
            self.note.upgrade().inspect(|request| request.arrive());
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
