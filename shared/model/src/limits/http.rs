//! Limits of the HTTP server that every role has. Clients that use all of them take about 10 MiB of memory.

use std::time::Duration;

/// Concurrent connections. A process may usually open 1,024 files, and needs the rest for Redis and NATS.
pub const HTTP_CONNECTIONS_MAX: usize = 200;

/// Concurrent connections from one address, or one /64 of IPv6. Behind a proxy all clients have one address.
pub const HTTP_CONNECTIONS_PER_ADDRESS_MAX: usize = 64;

/// Time limit for the head of a request, and the idle time of a connection.
pub const HTTP_HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Time limit for the body of a request.
pub const HTTP_BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of the head of a request, and the read buffer for its body.
pub const HTTP_HEAD_BYTES_MAX: usize = 32 << 10;

/// The lifetime of a connection. After it, the reply to the last request may take the same time again.
pub const HTTP_CONNECTION_LIFE: Duration = Duration::from_secs(300);

/// How often closed connections are logged.
pub const HTTP_LOG_EVERY: Duration = Duration::from_secs(10);
