//! Whether the user may do what a run writes, and in which way, asked before anybody has agreed to it: nothing that is
//! sent here is a write, or a script that could be one. A script that may only read asks the server what the user may
//! run (`EVAL_RO`, from Redis 7.0 on). Where no scripts run, `ACL DRYRUN` tells the same.

use redis::Value;

use super::conn::{Batch, Conn};
use super::fault::{Fault, FaultKind};
use super::preflight::{Missing, Needs, Question, found, unknown, writing};
use super::way::{self, Allowed};
use crate::messages::Way;

const SCRIPT: &str = include_str!("rights.lua");

/// What is known of the rights to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checked {
    /// What is missing; and how a run may act, if nothing is.
    Known(Result<Allowed, Vec<Missing>>),
    /// The server does not tell; why.
    Unknown(String),
}

/// What a server says of one command.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    Allowed,
    /// The user may not; its words, if it used any.
    Forbidden(Option<String>),
    /// It has no such command.
    Absent(String),
}

/// Asks the server behind `conn` for the rights to write that `needs` takes.
///
/// # Errors
/// When the server fails.
pub async fn ask(conn: &Conn, needs: &Needs<'_>) -> Result<Checked, Fault> {
    let [writes, scripts, transactions] = [writing(needs), way::scripts(), way::transactions()];
    let counts = (writes.len(), scripts.len());
    let questions: Vec<Question> = writes.into_iter().chain(scripts).chain(transactions).collect();
    let (said, no_scripts) = match by_script(conn, &questions).await? {
        Ok(said) => (said, None),
        Err(refusal) => match by_dry_run(conn, &questions).await? {
            // A server that refuses a script for another reason than rights runs none.
            Ok(said) => (said, (!is_absent(&refusal)).then_some(refusal.detail)),
            Err(other) => {
                let why = format!("`EVAL_RO`: {}; `ACL DRYRUN`: {}", refusal.detail, other.detail);
                return Ok(Checked::Unknown(why));
            }
        },
    };
    if said.len() != questions.len() {
        return Err(Fault::unexpected(conn.address(), "EVAL_RO"));
    }
    Ok(Checked::Known(judged(questions.into_iter().zip(said).collect(), counts, no_scripts)))
}

/// Whether `refusal` says no more than that this command is not to be had, or not by this user.
fn is_absent(refusal: &Fault) -> bool {
    refusal.kind == FaultKind::Forbidden || refusal.is_unknown_command()
}

/// What is missing of the `answers`, of which the first are about writes, the next about scripts, as many as `counts`
/// says, and the others about transactions. `no_scripts` is what the server said if it runs none.
fn judged(
    mut answers: Vec<(Question, Said)>,
    counts: (usize, usize),
    no_scripts: Option<String>,
) -> Result<Allowed, Vec<Missing>> {
    let transactions = answers.split_off(counts.0 + counts.1);
    let scripts = answers.split_off(counts.0);
    let refused = |(question, said): &(Question, Said)| {
        (!question.about_keys && *said != Said::Allowed).then(|| question.command())
    };
    let commands: Vec<String> = answers.iter().filter_map(refused).collect();
    let lacks = |(question, said)| lacking(question, said, &commands);
    let mut missing: Vec<Missing> = answers.into_iter().filter_map(lacks).collect();
    missing.dedup_by(|a, b| a.rule == b.rule && a.command == b.command);
    let lacking_scripts: Vec<Missing> =
        scripts.into_iter().filter_map(|it| lacking(it.0, it.1, &[])).collect();
    let refusal = no_scripts.or_else(|| lacking_scripts.first().map(|first| first.detail.clone()));
    let way = match refusal {
        None => Some(Allowed { way: Way::Script, refusal: None }),
        Some(_) if transactions.iter().all(|(_, said)| *said == Said::Allowed) => {
            Some(Allowed { way: Way::Transactions, refusal })
        }
        Some(_) => {
            missing.extend(lacking_scripts);
            None
        }
    };
    way.filter(|_| missing.is_empty()).ok_or(missing)
}

/// What is missing where the server says this; `commands` are those that the user may not run, whatever the key.
fn lacking(question: Question, said: Said, commands: &[String]) -> Option<Missing> {
    let command = question.command();
    match said {
        Said::Allowed => None,
        Said::Absent(detail) => Some(unknown(&question, detail)),
        Said::Forbidden(Some(words)) => found(question, words),
        // A script is not told why. A command that is refused for any key is named by a question of its own.
        Said::Forbidden(None) if question.about_keys && commands.contains(&command) => None,
        Said::Forbidden(None) => {
            let what = if question.about_keys {
                format!("`{command}` on keys of `{}`", &question.rule[1..])
            } else {
                format!("`{command}`")
            };
            let detail = format!("no permissions to run {what}");
            Some(Missing { command, rule: Some(question.rule), detail })
        }
    }
}

/// The server's fault where it does not answer, and the inner one where it does not let us ask.
type Answers = Result<Result<Vec<Said>, Fault>, Fault>;

/// The fault of a question, sorted: whether it is no more than a refusal of the question.
fn sorted<T>(answer: Result<T, Fault>) -> Result<Result<T, Fault>, Fault> {
    match answer {
        Err(fault) if !matches!(fault.kind, FaultKind::Forbidden | FaultKind::Refused) => Err(fault),
        answer => Ok(answer),
    }
}

async fn by_script(conn: &Conn, questions: &[Question]) -> Answers {
    let counts: Vec<String> = questions.iter().map(|question| question.args.len().to_string()).collect();
    let mut args: Vec<&[u8]> = vec![b"EVAL_RO", SCRIPT.as_bytes(), b"0"];
    for (question, count) in questions.iter().zip(&counts) {
        args.push(count.as_bytes());
        args.extend(question.args.iter().map(Vec::as_slice));
    }
    let said = |(question, reply): (&Question, Value)| match reply {
        Value::BulkString(word) => match &*word {
            b"yes" => Some(Said::Allowed),
            b"no" => Some(Said::Forbidden(None)),
            b"unknown" => Some(Said::Absent(format!("unknown command `{}`", question.command()))),
            _ => None,
        },
        _ => None,
    };
    let unexpected = || Fault::unexpected(conn.address(), "EVAL_RO");
    let answer = match sorted(conn.command(&args).await)? {
        Ok(Value::Array(replies)) => questions.iter().zip(replies).map(said).collect::<Option<_>>(),
        Ok(_) => None,
        Err(fault) => return Ok(Err(fault)),
    };
    answer.map(Ok).ok_or_else(unexpected)
}

async fn by_dry_run(conn: &Conn, questions: &[Question]) -> Answers {
    let user = conn.user();
    let mut batch = Batch::new();
    for question in questions {
        let args = question.args.iter().map(Vec::as_slice);
        batch.add(
            &[b"ACL".as_slice(), b"DRYRUN", user.as_bytes()].into_iter().chain(args).collect::<Vec<_>>(),
        );
    }
    let mut all = Vec::new();
    for reply in conn.batch(batch).await? {
        all.push(match &reply {
            Value::Okay => Said::Allowed,
            Value::SimpleString(word) if word == "OK" => Said::Allowed,
            Value::BulkString(words) => Said::Forbidden(Some(String::from_utf8_lossy(words).into_owned())),
            reply => match conn.fault(reply) {
                Some(fault) if fault.detail.contains("not found") && fault.detail.contains("Command") => {
                    Said::Absent(fault.detail)
                }
                Some(fault) => return sorted(Err(fault)),
                None => return Err(Fault::unexpected(conn.address(), "ACL DRYRUN")),
            },
        });
    }
    Ok(Ok(all))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::preflight::question;

    const REFUSED: Said = Said::Forbidden(None);

    /// What comes of answers to SET, to UNLINK on our own and on the users' keys, to EVAL, and to EXEC.
    fn check(said: &[Said; 5], no_scripts: Option<&str>, expected: Result<Way, &[&str]>) {
        let about_keys = Question { about_keys: true, ..question("UNLINK a:1", "~a:*") };
        let questions = [
            question("SET k x", "+set"),
            question("UNLINK k", "+unlink"),
            about_keys,
            question("EVAL x 0", "+eval"),
            question("EXEC", "+exec"),
        ];
        let answers = questions.into_iter().zip(said.iter().cloned()).collect();
        let judged = judged(answers, (3, 1), no_scripts.map(str::to_owned));
        let rules = |missing: Vec<Missing>| {
            missing.into_iter().map(|it| it.rule.unwrap_or(it.command)).collect::<Vec<_>>()
        };
        let expected = expected.map_err(|rules| rules.iter().map(|rule| (*rule).to_owned()).collect());
        assert_eq!(judged.map(|allowed| allowed.way).map_err(rules), expected, "{said:?}");
    }

    #[test]
    fn what_is_missing_and_the_way() {
        let yes = || Said::Allowed;
        let words = |words: &str| Said::Forbidden(Some(words.to_owned()));
        check(&[yes(), yes(), yes(), yes(), REFUSED], None, Ok(Way::Script));
        check(&[yes(), yes(), yes(), REFUSED, yes()], None, Ok(Way::Transactions));
        check(&[yes(), yes(), yes(), yes(), yes()], Some("disabled here"), Ok(Way::Transactions));
        check(&[yes(), yes(), yes(), REFUSED, REFUSED], None, Err(&["+eval"]));
        check(&[REFUSED, yes(), yes(), yes(), yes()], None, Err(&["+set"]));
        // The command is named once, and the keys only where it is about them.
        check(&[yes(), REFUSED, REFUSED, yes(), yes()], None, Err(&["+unlink"]));
        check(&[yes(), yes(), REFUSED, yes(), yes()], None, Err(&["~a:*"]));
        check(&[yes(), Said::Absent("ERR".to_owned()), yes(), yes(), yes()], None, Err(&["UNLINK"]));
        let (key, command) = (
            "User u has no permissions to access the 'k' key",
            "User u has no permissions to run the 'unlink' command",
        );
        check(&[words(key), yes(), yes(), yes(), yes()], None, Err(&["~keysweep:*"]));
        check(&[yes(), words(command), words(command), yes(), yes()], None, Err(&["+unlink"]));
        check(&[yes(), yes(), words(key), yes(), yes()], None, Err(&["~a:*"]));
    }
}
