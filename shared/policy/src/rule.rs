//! A rule: for which keys it is, and what is done with them. What a rule does follows from what it states: it gives a
//! TTL if it states `ttl`, shortens TTLs if it states `max_ttl`, and deletes only if it states `action = "delete"`.

use keysweep_model::glob::Pattern;
use keysweep_model::messages::{Action, Jitter, RuleAction, StatedRule};

use crate::evaluation::Truth;
use crate::fact::{Fact, FactSet};
use crate::facts::{Facts, KeyTtl};
use crate::limits::{PATTERNS_MAX, TTL_MS_MAX, TTL_MS_MIN};
use crate::predicate::Predicate;
use crate::rule_error::{RuleField, RuleProblem};

/// A rule without contradictions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    matching: Vec<Pattern>,
    except: Vec<Pattern>,
    condition: Option<Predicate>,
    /// The facts that the condition is about.
    condition_facts: FactSet,
    kind: RuleKind,
    owner: Option<String>,
}

/// What a rule does with its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleKind {
    /// Nothing: keys without TTL are right here.
    Durable,
    /// It sees to their TTLs; at least one of these.
    Lifetime {
        /// The TTL that keys without one are given.
        given: Option<GivenTtl>,
        /// The longest TTL that keys may have, in milliseconds.
        max_ttl_ms: Option<u64>,
    },
    /// It deletes them.
    Delete,
    /// It reports them.
    Report,
}

/// A TTL that keys are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GivenTtl {
    /// The TTL in milliseconds.
    pub ttl_ms: u64,
    /// The largest addition to it, at random, in milliseconds. Both together are at most the longest TTL of the rule.
    pub jitter_ms: u64,
}

/// What a rule does with one key. TTLs count from the moment at which it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    Nothing,
    /// Nothing, unless these facts become known and decide otherwise.
    Undecided(FactSet),
    /// It is given a TTL.
    Expire(GivenTtl),
    /// Its TTL is shortened.
    Clamp {
        /// The TTL afterwards, in milliseconds.
        ttl_ms: u64,
    },
    /// It is deleted.
    Delete,
    /// It is reported.
    Report,
}

impl Rule {
    /// The rule that `stated` makes.
    ///
    /// # Errors
    /// The first thing that is missing, or that contradicts another.
    pub fn new(stated: &StatedRule) -> Result<Self, RuleProblem> {
        let StatedRule { matching, except, condition, owner, .. } = stated;
        if matching.is_empty() {
            return Err(RuleProblem::NoMatch);
        }
        if matching.len() + except.len() > PATTERNS_MAX {
            return Err(RuleProblem::TooManyPatterns);
        }
        let kind = kind(stated)?;
        if kind == RuleKind::Durable && condition.is_some() {
            return Err(RuleProblem::Exclude(RuleField::Durable, RuleField::Where));
        }
        let condition: Option<Predicate> =
            condition.as_deref().map(str::parse).transpose().map_err(RuleProblem::BadWhere)?;
        if let Some(fact) = condition.as_ref().and_then(|condition| undone_by_length(condition.facts())) {
            return Err(RuleProblem::LengthAccesses(fact));
        }
        Ok(Self {
            matching: matching.clone(),
            except: except.clone(),
            condition_facts: condition.as_ref().map_or(FactSet::EMPTY, Predicate::facts),
            condition,
            kind,
            owner: owner.clone(),
        })
    }

    /// Whether it is for the key with this name, if no earlier rule is. Its condition does not count here.
    #[must_use]
    pub fn matches(&self, name: &[u8]) -> bool {
        let any = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.matches(name));
        any(&self.matching) && !any(&self.except)
    }

    /// What it does with a key that it is for. Facts that are not known yet are named if they could decide.
    #[must_use]
    pub fn decide(&self, facts: &Facts<'_>) -> Effect {
        let by_ttl = match facts.ttl {
            Some(ttl) => self.effect_by_ttl(ttl),
            None if self.kind == RuleKind::Durable => Effect::Nothing,
            None => Effect::Undecided(FactSet::only(Fact::Ttl)),
        };
        // Its condition may need facts that are dear to read.
        if by_ttl == Effect::Nothing {
            return Effect::Nothing;
        }
        let condition = self.condition.as_ref().map_or(Truth::True, |condition| condition.truth(facts));
        match (condition, by_ttl) {
            (Truth::False, _) => Effect::Nothing,
            (Truth::Unknown(one), Effect::Undecided(other)) => Effect::Undecided(one.and(other)),
            (Truth::Unknown(unknown), _) => Effect::Undecided(unknown),
            (Truth::True, effect) => effect,
        }
    }

    /// What it does with a key that has this TTL, if its condition is true.
    fn effect_by_ttl(&self, ttl: KeyTtl) -> Effect {
        // A condition on TTLs says which keys are meant. Otherwise those without TTL are.
        let is_meant = ttl == KeyTtl::None || self.condition_facts.contains(Fact::Ttl);
        match (self.kind, ttl) {
            (RuleKind::Durable, _) => Effect::Nothing,
            (RuleKind::Lifetime { given, .. }, KeyTtl::None) => given.map_or(Effect::Nothing, Effect::Expire),
            (RuleKind::Lifetime { max_ttl_ms, .. }, KeyTtl::Ms(ms)) => match max_ttl_ms {
                Some(max) if ms > max => Effect::Clamp { ttl_ms: max },
                _ => Effect::Nothing,
            },
            (RuleKind::Delete, _) if is_meant => Effect::Delete,
            (RuleKind::Report, _) if is_meant => Effect::Report,
            (RuleKind::Delete | RuleKind::Report, _) => Effect::Nothing,
        }
    }

    /// The facts by which [`Self::decide`] decides.
    #[must_use]
    pub fn facts(&self) -> FactSet {
        match self.kind {
            RuleKind::Durable => FactSet::EMPTY,
            _ => self.condition_facts.and(FactSet::only(Fact::Ttl)),
        }
    }

    /// Whether its condition asks for the users of keys.
    #[must_use]
    pub fn asks_users(&self) -> bool {
        self.facts().contains(Fact::User)
    }

    /// The patterns of its keys.
    #[must_use]
    pub fn matching(&self) -> &[Pattern] {
        &self.matching
    }

    /// The patterns of keys that it leaves to later rules.
    #[must_use]
    pub fn except(&self) -> &[Pattern] {
        &self.except
    }

    /// Its condition.
    #[must_use]
    pub fn condition(&self) -> Option<&Predicate> {
        self.condition.as_ref()
    }

    /// What it does.
    #[must_use]
    pub fn kind(&self) -> RuleKind {
        self.kind
    }

    /// What it does with its keys that have no TTL, or with all of its keys if it deletes or reports them, where its
    /// condition is true. [`Action::Report`] if it does nothing with them.
    #[must_use]
    pub fn action(&self) -> Action {
        match self.kind {
            RuleKind::Delete => Action::Delete,
            RuleKind::Lifetime { given: Some(GivenTtl { ttl_ms, jitter_ms }), .. } => {
                Action::Expire { ttl_ms, jitter_ms }
            }
            RuleKind::Lifetime { given: None, .. } | RuleKind::Durable | RuleKind::Report => Action::Report,
        }
    }

    /// The longest TTL that its keys may have, in milliseconds.
    #[must_use]
    pub fn max_ttl_ms(&self) -> Option<u64> {
        if let RuleKind::Lifetime { max_ttl_ms, .. } = self.kind { max_ttl_ms } else { None }
    }

    /// Whether it deletes or reports keys that have a TTL.
    #[must_use]
    pub fn takes_expiring(&self) -> bool {
        matches!(self.kind, RuleKind::Delete | RuleKind::Report) && self.condition_facts.contains(Fact::Ttl)
    }

    /// Who answers for its keys.
    #[must_use]
    pub fn owner(&self) -> Option<&str> {
        self.owner.as_deref()
    }
}

/// The fact that is not what it was, once the number of elements of a key has been read: the server counts that as an
/// access.
fn undone_by_length(facts: FactSet) -> Option<Fact> {
    let accessed = [Fact::Idle, Fact::Freq].into_iter().find(|fact| facts.contains(*fact));
    accessed.filter(|_| facts.contains(Fact::Length))
}

/// What a rule does that states these fields.
fn kind(stated: &StatedRule) -> Result<RuleKind, RuleProblem> {
    let StatedRule { ttl_ms, jitter, max_ttl_ms, durable, action, .. } = *stated;
    let actions = [
        (RuleField::Durable, durable),
        (RuleField::Action, action.is_some()),
        (RuleField::Ttl, ttl_ms.is_some()),
        (RuleField::MaxTtl, max_ttl_ms.is_some()),
    ];
    let mut given = actions.into_iter().filter(|(_, is_stated)| *is_stated).map(|(field, _)| field);
    match (given.next(), given.next()) {
        (None, _) if jitter.is_some() => return Err(RuleProblem::JitterAlone),
        (None, _) => return Err(RuleProblem::StatesNothing),
        (Some(RuleField::Ttl), Some(RuleField::MaxTtl)) | (Some(_), None) => {}
        (Some(one), Some(other)) => return Err(RuleProblem::Exclude(one, other)),
    }
    if jitter.is_some() && ttl_ms.is_none() {
        return Err(RuleProblem::JitterAlone);
    }
    match stated.max_delete_percent {
        Some(_) if !stated.deletes() => return Err(RuleProblem::LimitAlone),
        Some(percent) if percent > 100 => return Err(RuleProblem::BadLimit),
        _ => {}
    }
    match action {
        _ if durable => Ok(RuleKind::Durable),
        Some(RuleAction::Delete) => Ok(RuleKind::Delete),
        Some(RuleAction::Report) => Ok(RuleKind::Report),
        None => lifetime(ttl_ms, jitter, max_ttl_ms),
    }
}

fn lifetime(
    ttl_ms: Option<u64>,
    jitter: Option<Jitter>,
    max_ttl_ms: Option<u64>,
) -> Result<RuleKind, RuleProblem> {
    for (field, time) in [(RuleField::Ttl, ttl_ms), (RuleField::MaxTtl, max_ttl_ms)] {
        if time.is_some_and(|ms| !(TTL_MS_MIN..=TTL_MS_MAX).contains(&ms)) {
            return Err(RuleProblem::OutOfBounds(field));
        }
    }
    let most = max_ttl_ms.unwrap_or(TTL_MS_MAX);
    let Some(ttl_ms) = ttl_ms else { return Ok(RuleKind::Lifetime { given: None, max_ttl_ms }) };
    if ttl_ms > most {
        return Err(RuleProblem::MaxBelowTtl { ttl_ms, max_ttl_ms: most });
    }
    if matches!(jitter, Some(Jitter::Percent(percent)) if percent > 100) {
        return Err(RuleProblem::BadJitter);
    }
    // A key that was given a TTL is not to be clamped later.
    let jitter_ms = jitter.unwrap_or(Jitter::DEFAULT).ms_of(ttl_ms).min(most - ttl_ms);
    Ok(RuleKind::Lifetime { given: Some(GivenTtl { ttl_ms, jitter_ms }), max_ttl_ms })
}
