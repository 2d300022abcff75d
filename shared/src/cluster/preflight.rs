//! Whether the user may do all that a run does, asked before it starts: what a script that is stopped half-way has
//! done is not known. Each question is the command itself in a form that has no effect. Commands that could write are
//! only asked so once a run has been agreed to ([`tried`]); before that, `rights.rs` asks about them.

use redis::Value;
use uuid::Uuid;

use super::command_stats;
use super::conn::{Batch, Conn};
use super::error::{RedisError, RedisErrorKind};
use super::socket::Expected;
use crate::glob::Pattern;
use crate::messages::Lookups;
use crate::printable::Printable;
use crate::slot::tag_for;

/// The rule that allows a run its own keys: the lock, and the ledgers.
pub const OWN_KEYS: &str = "~keysweep:*";

/// A right that is missing, and the ACL rule that gives it; or a command that the server does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingPermission {
    /// What was refused, such as `UNLINK`.
    pub command: String,
    /// The rule to add, such as `+unlink`; `None` where no rule helps, because the server has no such command.
    pub rule: Option<String>,
    /// What the server said.
    pub detail: String,
}

/// A command to try, the rule that allows it, and whether the rule is about keys.
pub(super) struct PermissionProbe {
    pub(super) args: Vec<Vec<u8>>,
    pub(super) rule: String,
    pub(super) about_keys: bool,
}

impl PermissionProbe {
    pub(super) fn command(&self) -> String {
        let words = self.args.first().map(Vec::as_slice).unwrap_or_default();
        String::from_utf8_lossy(words).into_owned()
    }

    /// What the server counts if the command finds nothing.
    fn miss(&self) -> Lookups {
        let command = self.command();
        match command.as_str() {
            command if command_stats::is_one_lookup(command) => Lookups::of(0, 1),
            "GET" | "GETRANGE" | "HRANDFIELD" => Lookups::reads(0, 1),
            _ => Lookups::default(),
        }
    }
}

pub(super) fn question(words: &str, rule: &str) -> PermissionProbe {
    args(words.split(' ').map(|word| word.as_bytes().to_vec()).collect(), rule)
}

pub(super) fn args(args: Vec<Vec<u8>>, rule: &str) -> PermissionProbe {
    PermissionProbe { args, rule: rule.to_owned(), about_keys: false }
}

/// What a run does that takes rights.
#[derive(Clone, Copy, Debug)]
pub struct RequiredPermissions<'a> {
    /// In a cluster, a slot that the server serves, because only there it says that it takes no writes.
    pub slot: Option<u16>,
    /// It writes, or would if it were agreed to.
    pub writes: bool,
    /// The keys that it looks at, and maybe deletes.
    pub patterns: &'a [Pattern],
    /// It looks for inactive users' keys.
    pub inactive: bool,
    /// It asks for how long keys were not used.
    pub idle: bool,
    /// It saves what it deletes, or compares it.
    pub saves: bool,
    /// The server has hashes whose fields expire, so it asks about those.
    pub field_ttls: bool,
}

/// The name of a key that does not exist.
fn absent(needs: &RequiredPermissions<'_>) -> String {
    let tag = needs.slot.map_or_else(String::new, |slot| format!("{{{}}}:", tag_for(slot)));
    format!("keysweep:preflight:{tag}{}", Uuid::now_v7())
}

/// The rights that a run needs on a node to read.
fn reading(needs: &RequiredPermissions<'_>, absent: &str) -> Vec<PermissionProbe> {
    let mut all = vec![
        question("INFO server", "+info"),
        question("TIME", "+time"),
        question(&format!("PTTL {absent}"), "+pttl"),
        // It matches nothing, so that no name comes back, however long names are there.
        question(&format!("SCAN 0 COUNT 1 MATCH {absent}"), "+scan"),
    ];
    if needs.inactive {
        all.push(question(&format!("PEXPIRETIME {absent}"), "+pexpiretime"));
    }
    if needs.idle {
        all.push(question(&format!("OBJECT IDLETIME {absent}"), "+object|idletime"));
    }
    if needs.saves {
        all.push(question(&format!("GETRANGE {absent} 0 0"), "+getrange"));
        all.push(question(&format!("MEMORY USAGE {absent}"), "+memory|usage"));
        all.push(question(&format!("DUMP {absent}"), "+dump"));
    }
    if needs.field_ttls {
        all.push(question(&format!("TYPE {absent}"), "+type"));
        all.push(question(&format!("HRANDFIELD {absent} 1"), "+hrandfield"));
        all.push(question(&format!("HPTTL {absent} FIELDS 1 x"), "+hpttl"));
    }
    if needs.slot.is_some() {
        all.push(question("CLUSTER NODES", "+cluster|nodes"));
        all.push(question("CLUSTER COUNTKEYSINSLOT 0", "+cluster|countkeysinslot"));
        all.push(question("CLUSTER GETKEYSINSLOT 0 1", "+cluster|getkeysinslot"));
    }
    if needs.writes {
        all.push(question(&format!("GET {absent}"), "+get"));
    }
    all.extend(key_questions(needs.patterns, b"PTTL"));
    all
}

/// The rights that a run needs on a node to write, but for those of its way to act (`way.rs`); none if it does not.
pub(super) fn writing(needs: &RequiredPermissions<'_>) -> Vec<PermissionProbe> {
    if !needs.writes {
        return Vec::new();
    }
    let absent = absent(needs);
    let mut all = vec![
        question(&format!("SET {absent} x XX"), "+set"),
        question(&format!("UNLINK {absent}"), "+unlink"),
        // Whatever it does with keys, its lock is renewed so.
        question(&format!("PEXPIRE {absent} 60000"), "+pexpire"),
    ];
    all.extend(key_questions(needs.patterns, b"UNLINK"));
    all
}

/// For each pattern that leaves room for it, the question whether matching keys may be touched at all. The
/// name that is tried ends in a fresh UUID, so that no such key exists.
fn key_questions(patterns: &[Pattern], command: &[u8]) -> Vec<PermissionProbe> {
    let probe = |pattern: &Pattern| {
        let pattern = pattern.as_bytes();
        let plain = pattern.iter().position(|b| b"*?[\\".contains(b))?;
        if pattern[plain] != b'*' {
            return None;
        }
        let name = [&pattern[..plain], Uuid::now_v7().to_string().as_bytes()].concat();
        let rule = format!("~{}", Printable(pattern));
        Some(PermissionProbe { args: vec![command.to_vec(), name], rule, about_keys: true })
    };
    patterns.iter().filter_map(probe).collect()
}

/// Asks the server behind `conn` what it takes to read, and says which look-ups that took.
///
/// # Errors
/// When the server fails.
pub async fn missing(
    conn: &Conn,
    needs: &RequiredPermissions<'_>,
) -> Result<(Vec<MissingPermission>, Lookups), RedisError> {
    ask(conn, reading(needs, &absent(needs))).await
}

/// Tries what it takes to write, for a run that has been agreed to: these are write commands, although without an
/// effect. They look nothing up.
///
/// # Errors
/// When the server fails, or takes no writes. A full memory is no error: what a run does works there too.
pub async fn tried(
    conn: &Conn,
    needs: &RequiredPermissions<'_>,
) -> Result<Vec<MissingPermission>, RedisError> {
    Ok(ask(conn, writing(needs)).await?.0)
}

/// An answer that is an error for another reason than rights (`MOVED`, `NOSCRIPT`) is a yes, but for a command that the
/// server does not know (`rename-command`), and for a server that takes no writes, which is a fault.
async fn ask(
    conn: &Conn,
    questions: Vec<PermissionProbe>,
) -> Result<(Vec<MissingPermission>, Lookups), RedisError> {
    let mut batch = Batch::new();
    for question in &questions {
        let args: Vec<&[u8]> = question.args.iter().map(Vec::as_slice).collect();
        batch.add(&args);
    }
    let (mut missing, mut lookups) = (Vec::new(), Lookups::default());
    for (question, reply) in questions.into_iter().zip(conn.batch_for(Expected::Data, batch).await?) {
        // A key that is not there is a miss; the other commands look nothing up.
        let nothing = match &reply {
            Value::BulkString(text) => text.is_empty(),
            Value::SimpleString(kind) => kind == "none",
            Value::Array(fields) => fields.iter().all(|field| *field == Value::Int(-2)),
            reply => matches!(reply, Value::Nil | Value::Int(-2)),
        };
        if nothing {
            lookups += question.miss();
        }
        let Some(fault) = conn.fault(&reply) else { continue };
        // A key of a pattern may belong to a slot of another server, or of none; only its right is asked for.
        match fault.kind {
            RedisErrorKind::PermissionDenied => missing.extend(found(question, fault.detail)),
            _ if fault.is_unknown_command() => missing.push(unknown(&question, fault.detail)),
            RedisErrorKind::NotWritable if fault.detail.starts_with("OOM") => {}
            RedisErrorKind::NotWritable | RedisErrorKind::Unavailable if !question.about_keys => {
                return Err(fault);
            }
            _ => {}
        }
    }
    missing.dedup_by(|a, b| a.rule == b.rule && a.command == b.command);
    Ok((missing, lookups))
}

/// The refusal may be about the key and not about the command; the server's words tell. A command that is
/// refused to a question about keys is missing anyway, by a question of its own.
pub(super) fn found(question: PermissionProbe, detail: String) -> Option<MissingPermission> {
    // The last one is how `ACL DRYRUN` says it.
    let about_key = ["access one of the keys", "access a key", "permissions to access the '"];
    let key_refused = about_key.iter().any(|words| detail.contains(words));
    let command = question.command();
    let rule = match (key_refused, question.about_keys) {
        (false, true) => return None,
        (true, false) => OWN_KEYS.to_owned(),
        _ => question.rule,
    };
    Some(MissingPermission { command, rule: Some(rule), detail })
}

/// A command that the server does not have.
pub(super) fn unknown(question: &PermissionProbe, detail: String) -> MissingPermission {
    MissingPermission { command: question.command(), rule: None, detail }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn look_ups_are_noted_as_command_statistics_count_them() {
        let miss = |words: &str| question(words, "").miss();
        for words in ["PTTL x", "OBJECT IDLETIME x", "DUMP x", "TYPE x", "HPTTL x FIELDS 1 f"] {
            assert_eq!(miss(words), Lookups::of(0, 1), "{words}");
        }
        for words in ["GET x", "GETRANGE x 0 0", "HRANDFIELD x 1"] {
            assert_eq!(miss(words), Lookups::reads(0, 1), "{words}");
        }
        for words in ["MEMORY USAGE x", "INFO server", "SCAN 0", "SET x x XX", "UNLINK x"] {
            assert_eq!(miss(words), Lookups::default(), "{words}");
        }
    }

    #[test]
    fn a_refusal_is_about_a_command_or_about_a_key() {
        let check = |question: PermissionProbe, detail: &str, expected: Option<&str>| {
            let found = found(question, detail.to_owned());
            assert_eq!(found.and_then(|missing| missing.rule).as_deref(), expected, "{detail}");
        };
        let key = "NOPERM this user has no permissions to access one of the keys used as arguments";
        let newer = "NOPERM No permissions to access a key";
        let command = "NOPERM this user has no permissions to run the 'unlink' command";
        let unlink = || question("UNLINK x", "+unlink");
        let pattern = || key_questions(&[Pattern::new(*b"a:*").unwrap()], b"UNLINK").remove(0);
        check(unlink(), command, Some("+unlink"));
        check(unlink(), key, Some("~keysweep:*"));
        check(pattern(), key, Some("~a:*"));
        check(pattern(), newer, Some("~a:*"));
        check(pattern(), command, None);
    }
}
