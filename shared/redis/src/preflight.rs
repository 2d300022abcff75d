//! Checks before a run starts whether the user has all permissions that the run needs: the effect of a script that
//! stops half-way is not known. Each probe is the command itself in a form that has no effect. Write commands are
//! probed so only after the plan is confirmed ([`tried`]); before that, `permissions.rs` checks them.

use keysweep_model::glob::Pattern;
use keysweep_model::ids::unique;
use keysweep_model::messages::Lookups;
use keysweep_model::printable::Printable;
use keysweep_model::slot::tag_for;
use keysweep_policy::{Fact, FactSet};
use redis::Value;

use super::command_stats;
use super::conn::{Batch, Conn};
use super::error::{RedisError, RedisErrorKind};
use super::socket::Expected;

/// The ACL rule that allows a run its own keys: the lock and the ledgers.
pub const OWN_KEYS: &str = "~keysweep:*";

/// A missing permission and the ACL rule that grants it, or a command that the server does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingPermission {
    /// The refused command, such as `UNLINK`.
    pub command: String,
    /// The rule to add, such as `+unlink`; `None` where no rule helps, because the server has no such command.
    pub rule: Option<String>,
    /// The server's error text.
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

    /// Whether it returns the number of elements of a key, 0 without one.
    fn counts_elements(&self) -> bool {
        fact_commands(Fact::Length).iter().any(|(command, _)| *command == self.command())
    }

    /// The lookups that the server counts if the command finds no key.
    fn miss(&self) -> Lookups {
        let command = self.command();
        match command.as_str() {
            command if command_stats::is_one_lookup(command) => Lookups::of(0, 1),
            "GET" | "GETRANGE" | "HRANDFIELD" | "LLEN" | "SCARD" | "ZCARD" | "HLEN" | "XLEN" => {
                Lookups::reads(0, 1)
            }
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

/// What a run does that needs permissions.
#[derive(Clone, Copy, Debug)]
pub struct RequiredPermissions<'a> {
    /// In a cluster, a slot that the server serves: only for its own slots does a server report that it accepts no
    /// writes.
    pub slot: Option<u16>,
    /// The run writes, or would after confirmation.
    pub writes: bool,
    /// The keys that the run reads and may delete.
    pub patterns: &'a [Pattern],
    /// The run looks for keys of inactive users.
    pub inactive: bool,
    /// The run reads idle times.
    pub idle: bool,
    /// The run backs up values before it deletes them, or compares them.
    pub saves: bool,
    /// The server has hashes with field TTLs, so the run queries those.
    pub field_ttls: bool,
    /// What the conditions of its rules are about.
    pub facts: FactSet,
}

/// The name of a key that does not exist.
fn absent(needs: &RequiredPermissions<'_>) -> String {
    let tag = needs.slot.map_or_else(String::new, |slot| format!("{{{}}}:", tag_for(slot)));
    format!("keysweep:preflight:{tag}{}", unique())
}

/// The read permissions that a run needs on a node.
fn reading(needs: &RequiredPermissions<'_>, absent: &str) -> Vec<PermissionProbe> {
    let mut all = vec![
        question("INFO server", "+info"),
        question("TIME", "+time"),
        question(&format!("PTTL {absent}"), "+pttl"),
        // The pattern matches nothing, so that no key comes back: keys may be very long.
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
    let of_facts = needs.facts.iter().flat_map(|fact| fact_commands(fact).iter());
    all.extend(of_facts.map(|(command, rule)| question(&format!("{command} {absent}"), rule)));
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

/// The commands that read a fact of a key, each with the rule that allows it.
fn fact_commands(fact: Fact) -> &'static [(&'static str, &'static str)] {
    match fact {
        Fact::Name | Fact::Ttl | Fact::User => &[],
        Fact::Type => &[("TYPE", "+type")],
        Fact::Idle => &[("OBJECT IDLETIME", "+object|idletime")],
        Fact::Freq => &[("OBJECT FREQ", "+object|freq")],
        Fact::Bytes => &[("MEMORY USAGE", "+memory|usage")],
        Fact::Length => &[
            ("TYPE", "+type"),
            ("LLEN", "+llen"),
            ("SCARD", "+scard"),
            ("ZCARD", "+zcard"),
            ("HLEN", "+hlen"),
            ("XLEN", "+xlen"),
        ],
    }
}

/// The write permissions that a run needs on a node, except those of its delete backend (`capabilities.rs`); none if
/// the run does not write.
pub(super) fn writing(needs: &RequiredPermissions<'_>) -> Vec<PermissionProbe> {
    if !needs.writes {
        return Vec::new();
    }
    let absent = absent(needs);
    let mut all = vec![
        question(&format!("SET {absent} x XX"), "+set"),
        question(&format!("UNLINK {absent}"), "+unlink"),
        // Every run renews its lock with PEXPIRE.
        question(&format!("PEXPIRE {absent} 60000"), "+pexpire"),
    ];
    all.extend(key_questions(needs.patterns, b"UNLINK"));
    all
}

/// For each pattern that allows it, a probe whether matching keys may be accessed at all. The probed name ends in a
/// fresh UUID, so that no such key exists.
fn key_questions(patterns: &[Pattern], command: &[u8]) -> Vec<PermissionProbe> {
    let probe = |pattern: &Pattern| {
        let pattern = pattern.as_bytes();
        let plain = pattern.iter().position(|b| b"*?[\\".contains(b))?;
        if pattern[plain] != b'*' {
            return None;
        }
        let name = [&pattern[..plain], unique().to_string().as_bytes()].concat();
        let rule = format!("~{}", Printable(pattern));
        Some(PermissionProbe { args: vec![command.to_vec(), name], rule, about_keys: true })
    };
    patterns.iter().filter_map(probe).collect()
}

/// Checks the read permissions at the server behind `conn`, and returns the lookups that this took.
///
/// # Errors
/// When the server fails.
pub async fn missing(
    conn: &Conn,
    needs: &RequiredPermissions<'_>,
) -> Result<(Vec<MissingPermission>, Lookups), RedisError> {
    ask(conn, reading(needs, &absent(needs))).await
}

/// Tries the write permissions of a run that is confirmed: these are write commands, although without an effect. They
/// make no lookups.
///
/// # Errors
/// When the server fails, or accepts no writes. A full memory is not an error, because a run works there, too.
pub async fn tried(
    conn: &Conn,
    needs: &RequiredPermissions<'_>,
) -> Result<Vec<MissingPermission>, RedisError> {
    Ok(ask(conn, writing(needs)).await?.0)
}

/// An error for another reason than permissions (`MOVED`, `NOSCRIPT`) means that the command is allowed. Exceptions: a
/// command that the server does not know (`rename-command`), and a server that accepts no writes, which is an error.
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
        // A key that does not exist is a miss; the other commands make no lookup.
        let nothing = match &reply {
            Value::BulkString(text) => text.is_empty(),
            Value::SimpleString(kind) => kind == "none",
            Value::Array(fields) => fields.iter().all(|field| *field == Value::Int(-2)),
            Value::Int(elements) => *elements == -2 || *elements == 0 && question.counts_elements(),
            reply => *reply == Value::Nil,
        };
        if nothing {
            lookups += question.miss();
        }
        let Some(fault) = conn.fault(&reply) else { continue };
        // A key of a pattern may belong to a slot of another server, or of none; only the permission matters here.
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

/// The error may be about the key instead of the command; its text shows which. A command that is refused to a probe
/// about keys is reported by a probe of its own.
pub(super) fn found(question: PermissionProbe, detail: String) -> Option<MissingPermission> {
    // The last text is the one of `ACL DRYRUN`.
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
    fn lookups_of_probes_match_command_statistics() {
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
    fn refusals_of_commands_and_of_keys_are_distinguished() {
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
