//! What can go wrong between us and a Redis server, sorted by what has to be done about it.

use std::fmt;

use redis::{ErrorKind, RedisError, ServerError, ServerErrorKind};

use super::socket::TOO_MUCH;
use crate::wire::shortened;

/// What kind of failure it was. Code matches on this; people read [`Fault`]'s text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// No connection could be made: nothing was sent.
    Unreachable,
    /// The connection broke, or the answer did not come in time: the command may have run.
    Lost,
    /// The two ends do not agree on TLS, or one does not trust the other: nothing was sent.
    Tls,
    /// The settings name something that is not there, such as a primary that Sentinels do not watch.
    Misnamed,
    /// The connection was closed in the middle of an answer, because that is too large, or may be: another attempt asks for
    /// less.
    CutOff,
    /// The server does not send the answer to the smallest request, or it is larger than is read.
    TooLarge,
    /// What answers there does not speak Redis' protocol, or answered something unexpected.
    Protocol,
    /// User or password refused.
    Authentication,
    /// The user lacks a right (`NOPERM`).
    Forbidden,
    /// The slot is served elsewhere, by no server, or is being moved (`MOVED`, `ASK`, `TRYAGAIN`, and `CLUSTERDOWN` if
    /// it is about this slot alone). Other slots of the server are not concerned.
    Moved,
    /// The server cannot answer at the moment (`LOADING`, `CLUSTERDOWN`, `MASTERDOWN`, `BUSY`).
    NotReady,
    /// The server takes no more connections (`maxclients`).
    Full,
    /// The server takes no writes (`READONLY`, `MISCONF`, `NOREPLICAS`, `OOM`).
    NotWritable,
    /// The script is not known there (`NOSCRIPT`).
    NoScript,
    /// This worker knows no such deployment, or knows another one by its name. Others may know it.
    Stranger,
    /// Any other error that the server answered.
    Refused,
}

impl FaultKind {
    /// The word for it in metrics.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Lost => "lost",
            Self::Tls => "tls",
            Self::Misnamed => "misnamed",
            Self::CutOff => "cut_off",
            Self::TooLarge => "too_large",
            Self::Protocol => "protocol",
            Self::Authentication => "authentication",
            Self::Forbidden => "forbidden",
            Self::Moved => "moved",
            Self::NotReady => "not_ready",
            Self::Full => "full",
            Self::NotWritable => "not_writable",
            Self::NoScript => "no_script",
            Self::Stranger => "stranger",
            Self::Refused => "refused",
        }
    }

    /// Whether the same request may succeed a little later, or elsewhere.
    #[must_use]
    pub fn transient(self) -> bool {
        matches!(
            self,
            Self::Unreachable
                | Self::Lost
                | Self::CutOff
                | Self::Moved
                | Self::NotReady
                | Self::Full
                | Self::NoScript
                | Self::Stranger
        )
    }
}

/// A failure at one server: what, where, and what the server or the system said.
#[derive(Clone, Debug)]
pub struct Fault {
    /// The kind, for decisions.
    pub kind: FaultKind,
    /// `host:port` of the server, or the alias where no server is known yet.
    pub address: String,
    /// What the server or the operating system said.
    pub detail: String,
}

impl Fault {
    /// A failure at `address`.
    pub fn new(kind: FaultKind, address: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { kind, address: shortened(&address.into()), detail: shortened(&detail.into()) }
    }

    /// An answer of a shape that the command cannot give.
    pub fn unexpected(address: &str, command: &str) -> Self {
        Self::new(FaultKind::Protocol, address, format!("an unexpected answer to `{command}`"))
    }

    /// The ACL rule that allows the command for lack of which the server refused (`NOPERM`), if its words name
    /// the command, as those of Redis 7 and Valkey do: `… to run the 'cluster|shards' command`.
    #[must_use]
    pub fn rule(&self) -> Option<String> {
        let (_, quoted) = self.detail.split_once(" to run the '")?;
        let (command, _) = quoted.split_once('\'')?;
        (self.kind == FaultKind::Forbidden).then(|| format!("+{command}"))
    }

    /// Whether more was answered than is read, by our own limits.
    pub(super) fn is_too_much(&self) -> bool {
        self.kind == FaultKind::Protocol && self.detail.contains(TOO_MUCH)
    }

    /// Whether the server has no such command: it was renamed or switched off there, or is of another version. What
    /// the user may do plays no part in it.
    #[must_use]
    pub fn is_unknown_command(&self) -> bool {
        let said = self.detail.to_ascii_lowercase();
        self.kind == FaultKind::Refused
            && (said.contains("unknown command") || said.contains("unknown subcommand"))
    }

    pub(super) fn from_redis(address: &str, error: &RedisError) -> Self {
        Self::new(kind_of(error), address, text_of(error))
    }

    pub(super) fn from_server(address: &str, error: &ServerError) -> Self {
        let detail = format!("{} {}", error.code(), error.details().unwrap_or_default());
        Self::new(kind_of_error(error.code(), &detail), address, detail.trim_end())
    }
}

impl Fault {
    /// What a server answered as an error, in its own words.
    pub(super) fn from_words(address: &str, words: &[u8]) -> Self {
        let words = String::from_utf8_lossy(words);
        let code = words.split(' ').next().unwrap_or_default();
        Self::new(kind_of_error(code, &words), address, words.trim_end())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            FaultKind::Unreachable => "cannot be reached",
            FaultKind::Lost => "did not answer",
            FaultKind::Tls => "cannot be reached over TLS as it should",
            FaultKind::Misnamed => "does not have what the settings name",
            FaultKind::CutOff => "has an answer that did not come whole",
            FaultKind::TooLarge => "has an answer that is too large",
            FaultKind::Protocol => "does not answer as a Redis server does",
            FaultKind::Authentication => "refused the user or the password",
            FaultKind::Forbidden => "refused a command for lack of rights",
            FaultKind::Moved => "does not answer for the slot",
            FaultKind::NotReady => "is not ready",
            FaultKind::Full => "takes too few connections (its limit is `maxclients`)",
            FaultKind::NotWritable => "takes no writes",
            FaultKind::Stranger => "is not what the run was planned for",
            FaultKind::NoScript | FaultKind::Refused => "answered with an error",
        };
        write!(f, "redis at `{}` {what}: {}", self.address, self.detail)
    }
}

impl std::error::Error for Fault {}

fn text_of(error: &RedisError) -> String {
    match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => format!("{code} {detail}"),
        (Some(code), None) => code.to_owned(),
        _ => error.to_string(),
    }
}

fn kind_of(error: &RedisError) -> FaultKind {
    match error.kind() {
        ErrorKind::AuthenticationFailed => FaultKind::Authentication,
        ErrorKind::Io if error.is_connection_refusal() => FaultKind::Unreachable,
        ErrorKind::Io if error.to_string().contains(TOO_MUCH) => FaultKind::Protocol,
        ErrorKind::Io => FaultKind::Lost,
        // The connection ended in the middle of a reply.
        ErrorKind::Parse | ErrorKind::UnexpectedReturnType if error.to_string().contains("end of input") => {
            FaultKind::Lost
        }
        ErrorKind::Parse | ErrorKind::UnexpectedReturnType => FaultKind::Protocol,
        ErrorKind::Server(ServerErrorKind::NoScript) => FaultKind::NoScript,
        _ if error.detail().is_some_and(|said| said.contains(FULL)) => FaultKind::Full,
        // While a connection is made, the client library passes on the words, but not the code `NOPERM`.
        _ if error.detail().is_some_and(|said| said.contains("has no permissions to")) => {
            FaultKind::Forbidden
        }
        _ => {
            let said = error.detail().unwrap_or_default();
            error.code().map_or(FaultKind::Refused, |code| kind_of_error(code, said))
        }
    }
}

/// What a server says to a connection that is one too many, before it closes it.
pub(super) const FULL: &str = "max number of clients";

/// The kind of an error that a server answered; `said` are its words, with or without the code.
fn kind_of_error(code: &str, said: &str) -> FaultKind {
    match code {
        "ERR" if said.contains(FULL) => FaultKind::Full,
        // A cluster that goes on without some slots (`cluster-require-full-coverage no`) says so of each of them.
        "CLUSTERDOWN" if said.contains("Hash slot not served") => FaultKind::Moved,
        "MOVED" | "ASK" | "TRYAGAIN" => FaultKind::Moved,
        "LOADING" | "CLUSTERDOWN" | "MASTERDOWN" | "BUSY" => FaultKind::NotReady,
        "READONLY" | "MISCONF" | "NOREPLICAS" | "OOM" => FaultKind::NotWritable,
        "NOPERM" => FaultKind::Forbidden,
        "NOAUTH" | "WRONGPASS" => FaultKind::Authentication,
        "NOSCRIPT" => FaultKind::NoScript,
        _ => FaultKind::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_of_the_slot_or_of_the_server() {
        let check = |said: &str, expected| {
            assert_eq!(Fault::from_words("a:1", said.as_bytes()).kind, expected, "{said}");
        };
        check("CLUSTERDOWN Hash slot not served", FaultKind::Moved);
        check("CLUSTERDOWN The cluster is down", FaultKind::NotReady);
        check("CLUSTERDOWN The cluster is down and only accepts read commands", FaultKind::NotReady);
        check("MOVED 1 a:2", FaultKind::Moved);
        check("ERR max number of clients reached", FaultKind::Full);
        check("ERR max number of clients + cluster connections reached", FaultKind::Full);
    }

    #[test]
    fn a_refused_command_names_its_rule() {
        let check = |kind, detail: &str, expected: Option<&str>| {
            assert_eq!(Fault::new(kind, "a:1", detail).rule().as_deref(), expected, "{detail}");
        };
        let redis_7_0 = "NOPERM this user has no permissions to run the 'cluster|shards' command";
        check(FaultKind::Forbidden, redis_7_0, Some("+cluster|shards"));
        let redis_7_2 = "NOPERM User me has no permissions to run the 'info' command";
        check(FaultKind::Forbidden, redis_7_2, Some("+info"));
        check(FaultKind::Refused, redis_7_2, None);
        check(FaultKind::Forbidden, "NOPERM No permissions to access a key", None);
    }
}
