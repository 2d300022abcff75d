//! Whether the user may do all that a run does, asked before it starts: a script that is stopped half-way
//! would leave keys behind with a TTL of a minute. Each question is the command itself in a form that has no
//! effect.

use redis::Value;
use uuid::Uuid;

use super::conn::{Batch, Conn};
use super::fault::{Fault, FaultKind};
use crate::glob::Pattern;

/// A right that is missing, and the ACL rule that gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// What was refused, such as `UNLINK`.
    pub command: String,
    /// The rule to add, such as `+unlink`.
    pub rule: String,
    /// What the server said.
    pub detail: String,
}

type Question = (Vec<Vec<u8>>, String);

fn question(words: &str, rule: &str) -> Question {
    (words.split(' ').map(|word| word.as_bytes().to_vec()).collect(), rule.to_owned())
}

/// The rights that a run needs on a node, in a `cluster` or not, and for writing if it `writes`.
/// `absent` is the name of a key that does not exist.
fn questions(cluster: bool, writes: bool, absent: &str) -> Vec<Question> {
    let mut all = vec![
        question("INFO server", "+info"),
        question("TIME", "+time"),
        question(&format!("PTTL {absent}"), "+pttl"),
        question("SCAN 0 COUNT 1", "+scan"),
    ];
    if cluster {
        all.push(question("CLUSTER NODES", "+cluster|nodes"));
        all.push(question("CLUSTER COUNTKEYSINSLOT 0", "+cluster|countkeysinslot"));
        all.push(question("CLUSTER GETKEYSINSLOT 0 1", "+cluster|getkeysinslot"));
    }
    if writes {
        all.push(question(&format!("SET {absent} x XX"), "+set"));
        all.push(question(&format!("GET {absent}"), "+get"));
        all.push(question(&format!("PEXPIRE {absent} 60000 NX"), "+pexpire"));
        all.push(question(&format!("UNLINK {absent}"), "+unlink"));
        all.push((vec![b"EVAL".to_vec(), b"return 1".to_vec(), b"0".to_vec()], "+eval".to_owned()));
        all.push(question("EVALSHA 0000000000000000000000000000000000000000 0", "+evalsha"));
        all.push((
            vec![b"SCRIPT".to_vec(), b"LOAD".to_vec(), b"return 1".to_vec()],
            "+script|load".to_owned(),
        ));
    }
    all
}

/// For each pattern that leaves room for it, the question whether matching keys may be touched at all. The
/// name that is tried ends in a fresh UUID, so that no such key exists.
fn key_questions(patterns: &[Pattern], writes: bool) -> Vec<Question> {
    let probe = |pattern: &Pattern| {
        let pattern = pattern.as_bytes();
        let plain = pattern.iter().position(|b| b"*?[\\".contains(b))?;
        if pattern[plain] != b'*' {
            return None;
        }
        let name = [&pattern[..plain], Uuid::now_v7().to_string().as_bytes()].concat();
        let command: &[u8] = if writes { b"UNLINK" } else { b"PTTL" };
        let rule = format!("~{}", pattern.escape_ascii());
        Some((vec![command.to_vec(), name], rule))
    };
    patterns.iter().filter_map(probe).collect()
}

/// Asks `conn`. An answer that is an error for another reason than rights (`MOVED`, `NOSCRIPT`) is a yes,
/// but for a server that takes no writes, which is a fault.
pub async fn missing(
    conn: &Conn,
    cluster: bool,
    writes: bool,
    patterns: &[Pattern],
) -> Result<Vec<Missing>, Fault> {
    let absent = format!("keysweep:preflight:{}", Uuid::now_v7());
    let mut questions = questions(cluster, writes, &absent);
    questions.extend(key_questions(patterns, writes));
    let mut batch = Batch::new();
    for (args, _) in &questions {
        let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
        batch.add(&args);
    }
    let mut missing = Vec::new();
    for ((args, rule), reply) in questions.into_iter().zip(conn.batch(batch).await?) {
        let Some(fault) = conn.fault(&reply) else { continue };
        match fault.kind {
            FaultKind::Forbidden => missing.push(found(&args, rule, fault.detail)),
            FaultKind::NotWritable | FaultKind::NotReady => return Err(fault),
            _ => {}
        }
    }
    Ok(missing)
}

/// The refusal may be about the key and not about the command; the server's words tell.
fn found(args: &[Vec<u8>], rule: String, detail: String) -> Missing {
    let about_key = detail.contains("access one of the keys") || detail.contains("access a key");
    let own = args.iter().any(|arg| arg.starts_with(b"keysweep:"));
    let rule = if about_key && own { "~keysweep:*".to_owned() } else { rule };
    let command = String::from_utf8_lossy(args.first().map(Vec::as_slice).unwrap_or_default()).into_owned();
    Missing { command, rule, detail }
}

/// The name of the user that `conn` is logged in as; `default` where that may not be asked.
pub async fn whoami(conn: &Conn) -> String {
    match conn.words("ACL WHOAMI").await {
        Ok(Value::BulkString(name)) => String::from_utf8_lossy(&name).into_owned(),
        _ => "default".to_owned(),
    }
}
