//! Why a run cannot start, with the remedy.

use keysweep_redis::{RedisError, RedisErrorKind};
use thiserror::Error;

use crate::run_time::OutOfTime;

/// Why a run cannot start.
#[derive(Debug, Error)]
pub enum PreflightError {
    /// A server failed.
    #[error("{}", with_remedy(.0))]
    Redis(#[from] RedisError),
    /// The cluster has no numbered databases.
    #[error(
        "`--db {db}`: the cluster of redis at `{address}` has only database 0; leave `--db` out (clusters have others \
         from Valkey 9 on, if `cluster-databases` says so)"
    )]
    OneDatabase {
        /// The server.
        address: String,
        /// The requested database.
        db: u32,
    },
    /// The server has fewer databases.
    #[error("`--db {db}`: redis at `{address}` has no such database; `CONFIG GET {setting}` says how many")]
    NoDatabase {
        /// The server.
        address: String,
        /// The requested database.
        db: u32,
        /// The server's setting with the number of databases.
        setting: &'static str,
    },
    /// The server is too old.
    #[error(
        "redis at `{address}` is {version}; this version of keysweep needs Redis 6.2 or newer, or Valkey"
    )]
    TooOld {
        /// The server.
        address: String,
        /// Its version.
        version: String,
    },
    /// The address is that of a replica.
    #[error(
        "redis at `{address}` is a replica and accepts no writes; use the address of its primary, `{primary}`"
    )]
    Replica {
        /// The replica.
        address: String,
        /// Its primary.
        primary: String,
    },
    /// The user lacks permissions that the run needs.
    #[error(
        "user `{user}` lacks rights on redis at `{address}`: {commands}; allow them with `ACL SETUSER {user} {rules}`"
    )]
    Rights {
        /// The server.
        address: String,
        /// Our user there.
        user: String,
        /// The commands, with the server's errors.
        commands: String,
        /// The rules that are missing.
        rules: String,
    },
    /// The server does not have commands that the run needs.
    #[error(
        "redis at `{address}` has no command {commands}: renamed or switched off there (`rename-command` in its \
         configuration), and a run cannot do without"
    )]
    Commands {
        /// The server.
        address: String,
        /// The commands, each in backticks.
        commands: String,
    },
    /// The rules of the job contradict themselves.
    #[error("the rules of the job cannot be used: {0}")]
    Rules(String),
    /// A rule cannot be carried out at a server.
    #[error("{place}rule {rule} cannot be carried out on redis at `{address}`: {why}")]
    Rule {
        /// The line of the job file and a colon; empty if it is not known.
        place: String,
        /// The server.
        address: String,
        /// The rule, counted from 1.
        rule: usize,
        /// Why, and the way out.
        why: String,
    },
    /// The time limit was reached.
    #[error(transparent)]
    OutOfTime(#[from] OutOfTime),
    /// No node serves any slot.
    #[error("the cluster serves no slot at all; see `redis-cli --cluster check`")]
    NoSlots,
}

/// An error, with its remedy.
fn with_remedy(fault: &RedisError) -> String {
    let hint = match fault.kind {
        RedisErrorKind::Unreachable => "check `--redis` or `REDIS_URL`, and that the server is running",
        RedisErrorKind::ConnectionLost => {
            "check that `--redis` or `REDIS_URL` names a Redis server, and that it is not stuck"
        }
        RedisErrorKind::Protocol => "check the host and the port in `--redis` or `REDIS_URL`",
        RedisErrorKind::PermissionDenied => {
            let rule = fault.rule().map(|rule| format!("; allow it with the ACL rule `{rule}`"));
            return format!("{fault}{}", rule.unwrap_or_default());
        }
        RedisErrorKind::Unavailable => "try again when it is; `redis-cli INFO` and `CLUSTER INFO` say more",
        RedisErrorKind::TooManyClients => {
            "raise `maxclients` there, or close connections that `redis-cli CLIENT LIST` shows"
        }
        RedisErrorKind::ReplyTooLarge | RedisErrorKind::ReplyCutOff
            if !fault.detail.contains("client-output-buffer-limit") =>
        {
            return fault.to_string();
        }
        RedisErrorKind::ReplyTooLarge | RedisErrorKind::ReplyCutOff => {
            "raise the limit of `normal` clients there (`CONFIG GET client-output-buffer-limit`)"
        }
        RedisErrorKind::NotWritable => "try again when it accepts writes, or only report, with `--dry-run`",
        // Their messages include the remedy.
        RedisErrorKind::Tls | RedisErrorKind::Misconfigured => return fault.to_string(),
        RedisErrorKind::Authentication if fault.detail.contains("--sentinel-user") => {
            return fault.to_string();
        }
        RedisErrorKind::Authentication => {
            "check `--user`, and the password in `--password-file`, `REDISCLI_AUTH` or the URL"
        }
        RedisErrorKind::CommandError if fault.is_unknown_command() => {
            "the command was renamed or switched off there (`rename-command` in its configuration), and keysweep cannot \
             do without"
        }
        RedisErrorKind::Moved
        | RedisErrorKind::NoScript
        | RedisErrorKind::WrongDeployment
        | RedisErrorKind::CommandError => {
            return fault.to_string();
        }
    };
    format!("{fault}; {hint}")
}

/// Converts an error about the requested database. Servers report whether a cluster has databases only when one is
/// selected.
pub(crate) fn no_database(db: u32, cluster: bool, fault: RedisError) -> PreflightError {
    if fault.detail.contains("SELECT is not allowed in cluster mode") {
        return PreflightError::OneDatabase { address: fault.address, db };
    }
    if fault.detail.contains("DB index is out of range") {
        let setting = if cluster { "cluster-databases" } else { "databases" };
        return PreflightError::NoDatabase { address: fault.address, db, setting };
    }
    fault.into()
}
