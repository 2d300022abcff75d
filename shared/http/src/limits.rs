//! Limits that are not settings: name, unit, and the reason for the size.

use std::time::Duration;

/// Time limit for connecting to a webhook or to Prometheus.
pub const WEB_CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Time limit for a whole request to one of them.
pub const WEB_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an idle connection to one of them is kept; many servers close it after a minute.
pub const WEB_IDLE: Duration = Duration::from_secs(30);

/// How often a notification is posted to a webhook in one attempt.
pub const WEB_TRIES: u32 = 3;

/// The pause before the second try; it doubles.
pub const WEB_RETRY_DELAY: Duration = Duration::from_millis(500);

/// The longest `Retry-After` of a webhook that is honored: other webhooks and alerts wait in this time.
pub const WEB_RETRY_AFTER_MAX: Duration = Duration::from_secs(10);

/// Time limit for a request to a service. It plans a run before it answers.
pub const SERVICE_START_TIMEOUT: Duration = Duration::from_secs(300);

/// Maximum size of a reply of a service in bytes: a result with all its sections has some hundred KiB.
pub const SERVICE_ANSWER_BYTES_MAX: usize = 16 << 20;

/// Maximum size of a Prometheus reply in bytes. One number needs a few hundred.
pub const WEB_ANSWER_BYTES_MAX: usize = 1 << 20;
