//! Limits that are not settings: name, unit, and the reason for the size.

use std::time::Duration;

/// How long a run that must stop may take to reach a safe point.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(20);

/// Concurrent connections. A process may usually open 1,024 files, and needs the rest for Redis and NATS.
pub const HTTP_CONNECTIONS_MAX: usize = 200;

/// Concurrent connections from one address, or one /64 of IPv6. Behind a proxy all clients have one address.
pub const HTTP_CONNECTIONS_PER_ADDRESS_MAX: usize = 64;

/// Time limit for the head of a request, and the idle time of a connection.
pub const HTTP_HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Time limit for the TLS handshake of a connection. Until it is done, the connection gives way to others.
pub const TLS_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes of the head of a request, and the read buffer for its body.
pub const HTTP_HEAD_BYTES_MAX: usize = 32 << 10;

/// The lifetime of a connection. After it, the reply to the last request may take the same time again.
pub const HTTP_CONNECTION_LIFE: Duration = Duration::from_secs(300);

/// How often closed connections are logged.
pub const HTTP_LOG_EVERY: Duration = Duration::from_secs(10);

/// How long `keysweep health` waits for an answer. Health checks of containers come every few seconds.
pub const HEALTH_TIMEOUT: Duration = Duration::from_secs(3);

/// Bytes of that answer, which is one line.
pub const HEALTH_BYTES_MAX: usize = 1 << 10;

/// How long a process may run after the first signal: twice the time that any command takes to stop.
pub const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a process may run after the second signal, to print its last message.
pub const FORCED_EXIT_TIMEOUT: Duration = Duration::from_secs(1);

/// How long NATS may be unreachable before a process that drives one run exits. Another process that serves or
/// attaches to the run takes over when NATS is back.
pub const NATS_GONE_AFTER: Duration = Duration::from_secs(900);

/// Bytes of an RDB file that are read at once.
pub const RDB_PIECE_BYTES: usize = 256 << 10;

/// Databases of RDB files whose keys are counted. Servers have 16 by default; a forged file could have
/// any number, and each takes memory.
pub const RDB_DATABASES_MAX: usize = 1_000;

/// Hash slots of which several RDB files may have keys. A few may have moved between two nodes while their files were
/// written; more show that the files are not those of the nodes of one cluster, such as copies of one server.
pub const RDB_SHARED_SLOTS_MAX: usize = 100;
