//! What can go wrong between us and a Redis server, sorted by what has to be done about it.

use std::fmt;

use redis::{ErrorKind, ServerError, ServerErrorKind};

use super::socket::TOO_MUCH;
use crate::wire::shortened;

/// What kind of failure it was. Code matches on this; people read [`RedisError`]'s text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedisErrorKind {
    /// No connection could be made: nothing was sent.
    Unreachable,
    /// The connection broke, or the answer did not come in time: the command may have run.
    ConnectionLost,
    /// The two ends do not agree on TLS, or one does not trust the other: nothing was sent.
    Tls,
    /// The settings name something that is not there, such as a primary that Sentinels do not watch.
    Misconfigured,
    /// The connection was closed in the middle of an answer, because that is too large, or may be: another attempt asks for
    /// less.
    ReplyCutOff,
    /// The server does not send the answer to the smallest request, or it is larger than is read.
    ReplyTooLarge,
    /// What answers there does not speak Redis' protocol, or answered something unexpected.
    Protocol,
    /// User or password refused.
    Authentication,
    /// The user lacks a right (`NOPERM`).
    PermissionDenied,
    /// The slot is served elsewhere, by no server, or is being moved (`MOVED`, `ASK`, `TRYAGAIN`, and `CLUSTERDOWN` if
    /// it is about this slot alone). Other slots of the server are not concerned.
    Moved,
    /// The server cannot answer at the moment (`LOADING`, `CLUSTERDOWN`, `MASTERDOWN`, `BUSY`).
    Unavailable,
    /// The server takes no more connections (`maxclients`).
    TooManyClients,
    /// The server takes no writes (`READONLY`, `MISCONF`, `NOREPLICAS`, `OOM`).
    NotWritable,
    /// The script is not known there (`NOSCRIPT`).
    NoScript,
    /// This worker knows no such deployment, or knows another one by its name. Others may know it.
    WrongDeployment,
    /// Any other error that the server answered.
    CommandError,
}

impl RedisErrorKind {
    /// The word for it in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::ConnectionLost => "lost",
            Self::Tls => "tls",
            Self::Misconfigured => "misnamed",
            Self::ReplyCutOff => "cut_off",
            Self::ReplyTooLarge => "too_large",
            Self::Protocol => "protocol",
            Self::Authentication => "authentication",
            Self::PermissionDenied => "forbidden",
            Self::Moved => "moved",
            Self::Unavailable => "not_ready",
            Self::TooManyClients => "full",
            Self::NotWritable => "not_writable",
            Self::NoScript => "no_script",
            Self::WrongDeployment => "stranger",
            Self::CommandError => "refused",
        }
    }

    /// Whether the same request may succeed a little later, or elsewhere.
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

/// A failure at one server: what, where, and what the server or the system said.
#[derive(Clone, Debug)]
pub struct RedisError {
    /// The kind, for decisions.
    pub kind: RedisErrorKind,
    /// `host:port` of the server, or the alias where no server is known yet.
    pub address: String,
    /// What the server or the operating system said.
    pub detail: String,
}

impl RedisError {
    /// A failure at `address`.
    pub fn new(kind: RedisErrorKind, address: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { kind, address: shortened(&address.into()), detail: shortened(&detail.into()) }
    }

    /// An answer of a shape that the command cannot give.
    pub fn unexpected(address: &str, command: &str) -> Self {
        Self::new(RedisErrorKind::Protocol, address, format!("an unexpected answer to `{command}`"))
    }

    /// The ACL rule that allows the command for lack of which the server refused (`NOPERM`), if its words name
    /// the command, as those of Redis 7 and Valkey do: `… to run the 'cluster|shards' command`.
    #[must_use]
    pub fn rule(&self) -> Option<String> {
        let (_, quoted) = self.detail.split_once(" to run the '")?;
        let (command, _) = quoted.split_once('\'')?;
        (self.kind == RedisErrorKind::PermissionDenied).then(|| format!("+{command}"))
    }

    /// Whether more was answered than is read, by our own limits.
    pub(super) fn is_too_much(&self) -> bool {
        self.kind == RedisErrorKind::Protocol && self.detail.contains(TOO_MUCH)
    }

    /// Whether the server has no such command: it was renamed or switched off there, or is of another version. What
    /// the user may do plays no part in it.
    #[must_use]
    pub fn is_unknown_command(&self) -> bool {
        let said = self.detail.to_ascii_lowercase();
        self.kind == RedisErrorKind::CommandError
            && (said.contains("unknown command") || said.contains("unknown subcommand"))
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
    /// What a server answered as an error, in its own words.
    pub(super) fn from_words(address: &str, words: &[u8]) -> Self {
        let words = String::from_utf8_lossy(words);
        let code = words.split(' ').next().unwrap_or_default();
        Self::new(kind_of_error(code, &words), address, words.trim_end())
    }
}

impl fmt::Display for RedisError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            RedisErrorKind::Unreachable => "cannot be reached",
            RedisErrorKind::ConnectionLost => "did not answer",
            RedisErrorKind::Tls => "cannot be reached over TLS as it should",
            RedisErrorKind::Misconfigured => "does not have what the settings name",
            RedisErrorKind::ReplyCutOff => "has an answer that did not come whole",
            RedisErrorKind::ReplyTooLarge => "has an answer that is too large",
            RedisErrorKind::Protocol => "does not answer as a Redis server does",
            RedisErrorKind::Authentication => "refused the user or the password",
            RedisErrorKind::PermissionDenied => "refused a command for lack of rights",
            RedisErrorKind::Moved => "does not answer for the slot",
            RedisErrorKind::Unavailable => "is not ready",
            RedisErrorKind::TooManyClients => "takes too few connections (its limit is `maxclients`)",
            RedisErrorKind::NotWritable => "takes no writes",
            RedisErrorKind::WrongDeployment => "is not what the run was planned for",
            RedisErrorKind::NoScript | RedisErrorKind::CommandError => "answered with an error",
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
        _ if error.detail().is_some_and(|said| said.contains(FULL)) => RedisErrorKind::TooManyClients,
        // While a connection is made, the client library passes on the words, but not the code `NOPERM`.
        _ if error.detail().is_some_and(|said| said.contains("has no permissions to")) => {
            RedisErrorKind::PermissionDenied
        }
        _ => {
            let said = error.detail().unwrap_or_default();
            error.code().map_or(RedisErrorKind::CommandError, |code| kind_of_error(code, said))
        }
    }
}

/// What a server says to a connection that is one too many, before it closes it.
pub(super) const FULL: &str = "max number of clients";

/// The kind of an error that a server answered; `said` are its words, with or without the code.
fn kind_of_error(code: &str, said: &str) -> RedisErrorKind {
    match code {
        "ERR" if said.contains(FULL) => RedisErrorKind::TooManyClients,
        // A cluster that goes on without some slots (`cluster-require-full-coverage no`) says so of each of them.
        "CLUSTERDOWN" if said.contains("Hash slot not served") => RedisErrorKind::Moved,
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
    fn a_refusal_is_of_the_slot_or_of_the_server() {
        let check = |said: &str, expected| {
            assert_eq!(RedisError::from_words("a:1", said.as_bytes()).kind, expected, "{said}");
        };
        check("CLUSTERDOWN Hash slot not served", RedisErrorKind::Moved);
        check("CLUSTERDOWN The cluster is down", RedisErrorKind::Unavailable);
        check("CLUSTERDOWN The cluster is down and only accepts read commands", RedisErrorKind::Unavailable);
        check("MOVED 1 a:2", RedisErrorKind::Moved);
        check("ERR max number of clients reached", RedisErrorKind::TooManyClients);
        check("ERR max number of clients + cluster connections reached", RedisErrorKind::TooManyClients);
    }

    #[test]
    fn a_refused_command_names_its_rule() {
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
