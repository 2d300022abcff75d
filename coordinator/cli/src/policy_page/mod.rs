//! Which keys break the rules of a job, in its forms of output. Pure.

pub mod github;
pub mod json;
pub mod junit;

use keysweep_inspect::Namespace;
use keysweep_model::result::{Coverage, RuleRow};
use reporter::view::{Block, Kind, Table};
use reporter::{counted, grouped};

use crate::rdb_page::{self, RdbFile};

/// Namespaces of keys of no rule that a page shows.
const SHOWN: usize = 10;

/// What a look at the rules of a job found.
#[derive(Debug)]
pub struct Checked {
    /// The name of the job.
    pub job: String,
    /// Its rules, each with what was found of it.
    pub rules: Vec<RuleRow>,
    /// The keys that belong to none of them; `None` if they were not counted.
    pub unowned: Option<Unowned>,
    /// How much was read.
    pub coverage: Coverage,
    /// The RDB files that were read; empty if servers were.
    pub files: Vec<RdbFile>,
    /// How many keys may break rules.
    pub allowed: u64,
}

/// Keys that belong to no rule.
#[derive(Debug, Default)]
pub struct Unowned {
    /// All of them.
    pub keys: u64,
    /// Those without TTL.
    pub without_ttl: u64,
    /// The namespaces that they are in, those with the most keys first.
    pub namespaces: Vec<Namespace>,
}

impl Checked {
    /// How many keys break rules.
    #[must_use]
    pub fn breaches(&self) -> u64 {
        self.rules.iter().map(breaches).fold(0, u64::saturating_add)
    }

    /// Whether no more keys break rules than are allowed, of those that were read.
    #[must_use]
    pub fn passes(&self) -> bool {
        self.breaches() <= self.allowed
    }

    /// The result in a sentence.
    #[must_use]
    pub fn sentence(&self) -> String {
        let broken = self.rules.iter().filter(|rule| breaches(rule) > 0).count() as u64;
        let keys = counted(self.breaches(), "key breaks", "keys break");
        let rules = counted(self.rules.len() as u64, "rule", "rules");
        let allowed = match self.allowed {
            0 => String::new(),
            some => format!("; {} may", grouped(some)),
        };
        let read = if self.coverage.complete { "" } else { "; not all keys were read" };
        let unknown = match self.undecided() {
            0 => String::new(),
            some => format!("; of {} it is unknown", counted(some, "key", "keys")),
        };
        match broken {
            0 => format!("{}: no key is known to break any of {rules}{unknown}{read}", self.job),
            broken => format!("{}: {keys} {} of {rules}{allowed}{unknown}{read}", self.job, grouped(broken)),
        }
    }

    /// Of how many keys a fact was unknown that decides whether they break a rule.
    fn undecided(&self) -> u64 {
        self.rules.iter().map(|rule| rule.undecided).fold(0, u64::saturating_add)
    }
}

/// How many keys break a rule: those that a run would change or report. A hash whose fields expire breaks none.
#[must_use]
pub fn breaches(rule: &RuleRow) -> u64 {
    rule.accounting.reported.saturating_add(rule.accounting.failed)
}

/// What the keys that break a rule are.
fn fault(rule: &RuleRow) -> &'static str {
    match rule.action.as_str() {
        "delete" => "to be deleted",
        "ttl" => "without TTL, or with one that is too long",
        _ => "reported",
    }
}

/// A rule in a few words: its number and its patterns.
fn name(rule: &RuleRow) -> String {
    format!("rule {}: {}", rule.index, rule.matching.join(" "))
}

/// What was found of a broken rule, in a sentence.
fn finding(rule: &RuleRow) -> String {
    let keys = counted(rule.scanned, "key", "keys");
    format!("{} of {keys}: {}", grouped(breaches(rule)), fault(rule))
}

/// The page.
#[must_use]
pub fn blocks(of: &Checked) -> Vec<Block<'static>> {
    let row = |rule: &RuleRow| {
        vec![
            rule.index.to_string(),
            rule.matching.join(" "),
            rule.owner.clone().unwrap_or_default(),
            grouped(rule.scanned),
            grouped(breaches(rule)),
            if breaches(rule) > 0 { fault(rule).to_owned() } else { String::new() },
        ]
    };
    let table = Table::new("Rules", "rules")
        .columns(Kind::Text, ["Rule"])
        .columns(Kind::Code, ["Keys"])
        .columns(Kind::Text, ["Owner"])
        .columns(Kind::Number, ["Belong to it", "Break it"])
        .columns(Kind::Text, [""])
        .rows(of.rules.iter().map(row));
    let mut blocks = vec![Block::Text(of.sentence())];
    blocks.extend(rdb_page::sentence(&of.files).map(Block::Text));
    blocks.extend([Block::Text(String::new()), Block::Table(table)]);
    if !of.files.is_empty() {
        blocks.extend(of.coverage.causes.keys().cloned().map(Block::Problem));
    }
    let undecided = of.undecided();
    if undecided > 0 {
        let keys = counted(undecided, "key", "keys");
        blocks.push(Block::Problem(format!(
            "of {keys} a fact was unknown that decides whether they break a rule"
        )));
    }
    blocks.extend(of.unowned.iter().flat_map(unowned));
    blocks
}

fn unowned(of: &Unowned) -> Vec<Block<'static>> {
    if of.keys == 0 {
        return Vec::new();
    }
    let keys = counted(of.keys, "key belongs", "keys belong");
    let text = format!("{keys} to no rule, {} of them without TTL", grouped(of.without_ttl));
    let row = |one: &Namespace| vec![one.template.clone(), grouped(one.keys), grouped(one.no_ttl)];
    let table = Table::new("Keys of no rule", "unowned")
        .columns(Kind::Code, ["Namespace"])
        .columns(Kind::Number, ["Keys", "Without TTL"])
        .rows(of.namespaces.iter().take(SHOWN).map(row));
    vec![Block::Text(String::new()), Block::Text(text), Block::Table(table)]
}
