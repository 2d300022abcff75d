//! Which [`DeleteBackend`] a server allows: scripts if it runs them, transactions otherwise. Hosted servers and proxies
//! forbid scripts by ACL, by renaming the commands, or by not having them. This module tries the commands after the
//! plan is confirmed; before that, `permissions.rs` checks without writing.

use keysweep_model::messages::DeleteBackend;

use super::conn::{Batch, Conn};
use super::error::{RedisError, RedisErrorKind};
use super::preflight::{self, MissingPermission, PermissionProbe};

/// Commands of a backend in a form that has no effect, and the ACL rules that allow them.
type ProbeResult = [(&'static [&'static [u8]], &'static str)];

const SCRIPTS: &ProbeResult = &[
    (&[b"EVAL", b"return 1", b"0"], "+eval"),
    (&[b"EVALSHA", b"0000000000000000000000000000000000000000", b"0"], "+evalsha"),
    (&[b"SCRIPT", b"LOAD", b"return 1"], "+script|load"),
];

/// EXEC without MULTI returns an error which shows that EXEC is allowed. MULTI comes last, because the connection is
/// then closed.
const TRANSACTIONS: &ProbeResult =
    &[(&[b"EXEC"], "+exec"), (&[b"WATCH", b"keysweep:preflight"], "+watch"), (&[b"MULTI"], "+multi")];

/// The delete backend that a server allows, and why it is not the script, if it is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// The delete backend.
    pub delete_backend: DeleteBackend,
    /// The server's error for a script.
    pub refusal: Option<String>,
}

pub(super) fn scripts() -> Vec<PermissionProbe> {
    questions(SCRIPTS)
}

pub(super) fn transactions() -> Vec<PermissionProbe> {
    questions(TRANSACTIONS)
}

fn questions(asked: &ProbeResult) -> Vec<PermissionProbe> {
    let question = |(args, rule): &(&[&[u8]], &str)| {
        preflight::args(args.iter().map(|arg| arg.to_vec()).collect(), rule)
    };
    asked.iter().map(question).collect()
}

/// Determines the delete backend that the server behind `conn` allows. If there is none, returns what scripts lack.
///
/// # Errors
/// When the server fails, or accepts no writes.
pub async fn ask(conn: &Conn) -> Result<Result<Capabilities, Vec<MissingPermission>>, RedisError> {
    let lacking = refused(conn, SCRIPTS).await?;
    let Some(first) = lacking.first() else {
        return Ok(Ok(Capabilities { delete_backend: DeleteBackend::Lua, refusal: None }));
    };
    // On a connection that is then closed, because it may be left in a transaction.
    let possible = refused(&*conn.dedicated().await?, TRANSACTIONS).await?.is_empty();
    let refusal = Some(first.detail.clone());
    Ok(if possible {
        Ok(Capabilities { delete_backend: DeleteBackend::Watch, refusal })
    } else {
        Err(lacking)
    })
}

async fn refused(conn: &Conn, asked: &ProbeResult) -> Result<Vec<MissingPermission>, RedisError> {
    let mut batch = Batch::new();
    for (args, _) in asked {
        batch.add(args);
    }
    let mut lacking = Vec::new();
    for ((args, rule), reply) in asked.iter().zip(conn.batch(batch).await?) {
        let Some(fault) = conn.fault(&reply) else { continue };
        if forbids(&fault)? {
            let command = String::from_utf8_lossy(args[0]).into_owned();
            let rule = (!fault.is_unknown_command()).then(|| (*rule).to_owned());
            lacking.push(MissingPermission { command, rule, detail: fault.detail });
        }
    }
    Ok(lacking)
}

/// Whether an error means that the command is unavailable.
fn forbids(fault: &RedisError) -> Result<bool, RedisError> {
    match fault.kind {
        RedisErrorKind::PermissionDenied => Ok(true),
        // `ERR EXEC without MULTI` shows that the server knows EXEC.
        RedisErrorKind::CommandError => Ok(!fault.detail.contains("without MULTI")),
        RedisErrorKind::NotWritable if !fault.detail.starts_with("OOM") => Err(fault.clone()),
        RedisErrorKind::Unavailable
        | RedisErrorKind::TooManyClients
        | RedisErrorKind::ConnectionLost
        | RedisErrorKind::Unreachable => Err(fault.clone()),
        // The probe's key may belong to another server; the command is allowed here.
        _ => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_and_other_errors_are_distinguished() {
        let check = |kind, text: &str, expected: Option<bool>| {
            assert_eq!(forbids(&RedisError::new(kind, "a:1", text)).ok(), expected, "{text}");
        };
        check(
            RedisErrorKind::PermissionDenied,
            "NOPERM this user has no permissions to run the 'eval' command",
            Some(true),
        );
        check(
            RedisErrorKind::CommandError,
            "ERR unknown command 'EVAL', with args beginning with: 'return 1' '0' ",
            Some(true),
        );
        check(RedisErrorKind::CommandError, "ERR command 'eval' is disabled by the provider", Some(true));
        check(RedisErrorKind::CommandError, "ERR EXEC without MULTI", Some(false));
        check(RedisErrorKind::NoScript, "NOSCRIPT No matching script. Please use EVAL.", Some(false));
        check(RedisErrorKind::Moved, "MOVED 5 127.0.0.1:7000", Some(false));
        check(RedisErrorKind::NotWritable, "READONLY You can't write against a read only replica.", None);
        check(RedisErrorKind::Unavailable, "BUSY Redis is busy running a script", None);
        check(
            RedisErrorKind::NotWritable,
            "OOM command not allowed when used memory > 'maxmemory'.",
            Some(false),
        );
    }
}
