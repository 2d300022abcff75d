//! Limits of the HTTP server that every role has. A client that keeps them all busy takes about 10 MiB of memory.

use std::time::Duration;

/// Connections at a time. A process may have 1,024 files as a rule, and needs the rest for Redis and NATS.
pub const HTTP_CONNECTIONS_MAX: usize = 200;

/// Connections from one address, or one /64 of IPv6, at a time. Behind a proxy all clients have one address.
pub const HTTP_CONNECTIONS_PER_ADDRESS_MAX: usize = 64;

/// How long the head of a request may take, and how long a connection may wait for its next request.
pub const HTTP_HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the body of a request may take.
pub const HTTP_BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of the head of a request, and the room for what is read of a body at a time.
pub const HTTP_HEAD_BYTES_MAX: usize = 32 << 10;

/// How long a connection is used. After it, the answer to the last request may take as long once more.
pub const HTTP_CONNECTION_LIFE: Duration = Duration::from_secs(300);

/// How often the log tells of connections that were closed.
pub const HTTP_LOG_EVERY: Duration = Duration::from_secs(10);
