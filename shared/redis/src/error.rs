//! Errors between keysweep and a Redis server, classified by how the caller handles them.

use std::fmt;

use keysweep_model::wire::shortened;
use redis::{ErrorKind, ServerError, ServerErrorKind};
use strum::{IntoStaticStr, VariantArray};

use super::socket::TOO_MUCH;

/// The kind of failure. Code matches on the kind; people read the text of [`RedisError`]. Its name is a label of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum RedisErrorKind {
    /// No connection could be made; nothing was sent.
    Unreachable,
    /// The connection broke, or the reply timed out: the command may have run.
    ConnectionLost,
    /// The TLS handshake failed, or one side does not trust the other; nothing was sent.
    Tls,
    /// The configuration names something that does not exist, such as a primary that the Sentinels do not monitor.
    Misconfigured,
    /// The connection was closed in the middle of a reply that is, or may be, too large: the next attempt requests
    /// less.
    #[strum(serialize = "cut_off")]
    ReplyCutOff,
    /// The reply to the smallest possible request is larger than the server sends or the client reads.
    #[strum(serialize = "too_large")]
    ReplyTooLarge,
    /// The peer does not speak the Redis protocol, or returned an unexpected reply.
    Protocol,
    /// The server rejected the user or the password.
    Authentication,
    /// The user lacks a permission (`NOPERM`).
    PermissionDenied,
    /// Another node serves the slot, or none does, or the slot is being migrated (`MOVED`, `ASK`, `TRYAGAIN`, and
    /// `CLUSTERDOWN` if it concerns this slot alone). Other slots of the server are not affected.
    Moved,
    /// The server cannot answer at the moment (`LOADING`, `CLUSTERDOWN`, `MASTERDOWN`, `BUSY`).
    Unavailable,
    /// The server accepts no more connections (`maxclients`).
    #[strum(serialize = "full")]
    TooManyClients,
    /// The server accepts no writes (`READONLY`, `MISCONF`, `NOREPLICAS`, `OOM`).
    NotWritable,
    /// The server does not have the script (`NOSCRIPT`).
    NoScript,
    /// This worker has no deployment of that alias, or another one under it. Other workers may have the right one.
    WrongDeployment,
    /// Any other error reply.
    CommandError,
}

impl RedisErrorKind {
    /// Whether the server refused the request before it did anything.
    #[must_use]
    pub fn is_refusal(self) -> bool {
        matches!(self, Self::Moved | Self::NotWritable | Self::NoScript)
    }

    /// Whether the same request may succeed later, or on another worker.
    #[must_use]
    pub fn is_transient(self) -> bool {
        matches!(
            self,
            Self::Unreachable
                | Self::ConnectionLost
                | Self::ReplyCutOff
                | Self::Moved
                | Self::Unavailable
                | Self::TooManyClients
                | Self::NoScript
                | Self::WrongDeployment
        )
    }
}

/// A failure at one server: kind, address, and the text from the server or the operating system.
#[derive(Clone, Debug)]
pub struct RedisError {
    /// The kind; code matches on it.
    pub kind: RedisErrorKind,
    /// `host:port` of the server, or the alias if no server is known yet.
    pub address: String,
    /// The text from the server or the operating system.
    pub detail: String,
}

impl RedisError {
    /// A failure at `address`.
    pub fn new(kind: RedisErrorKind, address: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { kind, address: shortened(&address.into()), detail: shortened(&detail.into()) }
    }

    /// A reply of a shape that the command cannot return.
    pub fn unexpected(address: &str, command: &str) -> Self {
        Self::new(RedisErrorKind::Protocol, address, format!("unexpected reply to `{command}`"))
    }

    /// The ACL rule that would allow the command that the server refused (`NOPERM`), if the error text names the
    /// command, as Redis 7 and Valkey do: `… to run the 'cluster|shards' command`.
    #[must_use]
    pub fn rule(&self) -> Option<String> {
        let (_, quoted) = self.detail.split_once(" to run the '")?;
        let (command, _) = quoted.split_once('\'')?;
        (self.kind == RedisErrorKind::PermissionDenied).then(|| format!("+{command}"))
    }

    /// The failure of a request of which a part was carried out, if it `acted`: its kind must not say that nothing was done.
    pub(super) fn after_acting(self, acted: bool) -> Self {
        let kind = if acted && self.kind.is_refusal() { RedisErrorKind::Unavailable } else { self.kind };
        Self { kind, ..self }
    }

    /// Whether the reply exceeded our own read limits.
    pub(super) fn is_too_much(&self) -> bool {
        self.kind == RedisErrorKind::Protocol && self.detail.contains(TOO_MUCH)
    }

    /// Whether the server does not have the command: it was renamed or disabled, or the version lacks it. The user's
    /// permissions do not matter here.
    #[must_use]
    pub fn is_unknown_command(&self) -> bool {
        let text = self.detail.to_ascii_lowercase();
        self.kind == RedisErrorKind::CommandError
            && (text.contains("unknown command") || text.contains("unknown subcommand"))
    }

    pub(super) fn from_redis(address: &str, error: &redis::RedisError) -> Self {
        Self::new(kind_of(error), address, text_of(error))
    }

    pub(super) fn from_server(address: &str, error: &ServerError) -> Self {
        let detail = format!("{} {}", error.code(), error.details().unwrap_or_default());
        Self::new(kind_of_error(error.code(), &detail), address, detail.trim_end())
    }
}

impl RedisError {
    /// An error reply, from its full text.
    pub(super) fn from_text(address: &str, text: &[u8]) -> Self {
        let text = String::from_utf8_lossy(text);
        let code = text.split(' ').next().unwrap_or_default();
        Self::new(kind_of_error(code, &text), address, text.trim_end())
    }
}

impl fmt::Display for RedisError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            RedisErrorKind::Unreachable => "cannot be reached",
            RedisErrorKind::ConnectionLost => "did not answer",
            RedisErrorKind::Tls => "cannot be reached over TLS",
            RedisErrorKind::Misconfigured => "does not match the configuration",
            RedisErrorKind::ReplyCutOff => "sent an incomplete reply",
            RedisErrorKind::ReplyTooLarge => "has a reply that is too large",
            RedisErrorKind::Protocol => "does not answer as a Redis server does",
            RedisErrorKind::Authentication => "refused the user or the password",
            RedisErrorKind::PermissionDenied => "denied permission for a command",
            RedisErrorKind::Moved => "does not serve the slot",
            RedisErrorKind::Unavailable => "is not ready",
            RedisErrorKind::TooManyClients => "accepts no more connections (its limit is `maxclients`)",
            RedisErrorKind::NotWritable => "takes no writes",
            RedisErrorKind::WrongDeployment => "is not the deployment that the run was planned for",
            RedisErrorKind::NoScript | RedisErrorKind::CommandError => "returned an error",
        };
        write!(f, "redis at `{}` {what}: {}", self.address, self.detail)
    }
}

impl std::error::Error for RedisError {}

fn text_of(error: &redis::RedisError) -> String {
    match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => format!("{code} {detail}"),
        (Some(code), None) => code.to_owned(),
        _ => error.to_string(),
    }
}

fn kind_of(error: &redis::RedisError) -> RedisErrorKind {
    match error.kind() {
        ErrorKind::AuthenticationFailed => RedisErrorKind::Authentication,
        ErrorKind::Io if error.is_connection_refusal() => RedisErrorKind::Unreachable,
        ErrorKind::Io if error.to_string().contains(TOO_MUCH) => RedisErrorKind::Protocol,
        ErrorKind::Io => RedisErrorKind::ConnectionLost,
        // The connection ended in the middle of a reply.
        ErrorKind::Parse | ErrorKind::UnexpectedReturnType if error.to_string().contains("end of input") => {
            RedisErrorKind::ConnectionLost
        }
        ErrorKind::Parse | ErrorKind::UnexpectedReturnType => RedisErrorKind::Protocol,
        ErrorKind::Server(ServerErrorKind::NoScript) => RedisErrorKind::NoScript,
        _ if error.detail().is_some_and(|text| text.contains(MAX_CLIENTS_TEXT)) => {
            RedisErrorKind::TooManyClients
        }
        // While a connection is made, the client library passes on the error text, but not the code `NOPERM`.
        _ if error.detail().is_some_and(|text| text.contains("has no permissions to")) => {
            RedisErrorKind::PermissionDenied
        }
        _ => {
            let text = error.detail().unwrap_or_default();
            error.code().map_or(RedisErrorKind::CommandError, |code| kind_of_error(code, text))
        }
    }
}

/// Error text for a connection beyond `maxclients`; the server then closes the connection.
pub(super) const MAX_CLIENTS_TEXT: &str = "max number of clients";

/// The kind of an error reply; `text` is its text, with or without the code.
fn kind_of_error(code: &str, text: &str) -> RedisErrorKind {
    match code {
        "ERR" if text.contains(MAX_CLIENTS_TEXT) => RedisErrorKind::TooManyClients,
        // A cluster without full coverage (`cluster-require-full-coverage no`) returns this for each slot it lacks.
        "CLUSTERDOWN" if text.contains("Hash slot not served") => RedisErrorKind::Moved,
        "MOVED" | "ASK" | "TRYAGAIN" => RedisErrorKind::Moved,
        "LOADING" | "CLUSTERDOWN" | "MASTERDOWN" | "BUSY" => RedisErrorKind::Unavailable,
        "READONLY" | "MISCONF" | "NOREPLICAS" | "OOM" => RedisErrorKind::NotWritable,
        "NOPERM" => RedisErrorKind::PermissionDenied,
        "NOAUTH" | "WRONGPASS" => RedisErrorKind::Authentication,
        "NOSCRIPT" => RedisErrorKind::NoScript,
        _ => RedisErrorKind::CommandError,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slot_errors_and_server_errors_are_distinguished() {
        let check = |text: &str, expected| {
            assert_eq!(RedisError::from_text("a:1", text.as_bytes()).kind, expected, "{text}");
        };
        check("CLUSTERDOWN Hash slot not served", RedisErrorKind::Moved);
        check("CLUSTERDOWN The cluster is down", RedisErrorKind::Unavailable);
        check("CLUSTERDOWN The cluster is down and only accepts read commands", RedisErrorKind::Unavailable);
        check("MOVED 1 a:2", RedisErrorKind::Moved);
        check("ERR max number of clients reached", RedisErrorKind::TooManyClients);
        check("ERR max number of clients + cluster connections reached", RedisErrorKind::TooManyClients);
    }

    #[test]
    fn permission_error_names_the_acl_rule() {
        let check = |kind, detail: &str, expected: Option<&str>| {
            assert_eq!(RedisError::new(kind, "a:1", detail).rule().as_deref(), expected, "{detail}");
        };
        let redis_7_0 = "NOPERM this user has no permissions to run the 'cluster|shards' command";
        check(RedisErrorKind::PermissionDenied, redis_7_0, Some("+cluster|shards"));
        let redis_7_2 = "NOPERM User me has no permissions to run the 'info' command";
        check(RedisErrorKind::PermissionDenied, redis_7_2, Some("+info"));
        check(RedisErrorKind::CommandError, redis_7_2, None);
        check(RedisErrorKind::PermissionDenied, "NOPERM No permissions to access a key", None);
    }
}
