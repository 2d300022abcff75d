//! Whether the rules of a job can be carried out at a server. Pure.

use keysweep_model::glob::Pattern;
use keysweep_model::messages::{Policy, Rules, StatedRule};
use keysweep_policy::{Rule, RuleSet, unanswerable};
use keysweep_redis::node::NodeStatus;

use crate::options::{Options, OptionsError};
use crate::preflight::PreflightError;
use crate::state::StatePlace;

/// The rules of `options`, if it has rules.
///
/// # Errors
/// [`PreflightError::Rules`] if they contradict themselves.
pub fn rules(options: &Options) -> Result<Option<RuleSet>, PreflightError> {
    let Some(policy) = &options.rules.policy else { return Ok(None) };
    let first = |problems: Vec<keysweep_policy::RuleError>| {
        PreflightError::Rules(problems.first().map(ToString::to_string).unwrap_or_default())
    };
    RuleSet::new(&policy.rules).map(Some).map_err(first)
}

/// Whether a condition of `rules` asks which users are active.
pub(crate) fn asks_users(rules: &Rules) -> bool {
    let stated = rules.policy.iter().flat_map(|policy| &policy.rules);
    let mut rules = stated.filter(|rule| rule.condition.is_some()).map(Rule::new);
    rules.any(|rule| rule.is_ok_and(|rule| rule.asks_users()))
}

impl Options {
    /// The same for a look at which keys break the rules of the job: nothing is changed, and nothing is kept. Keys of no
    /// rule belong to one that is added ([`Policy::has_rest`]), if there is room for it and any may be left. So many `examples` of keys
    /// that break a rule are named, of each rule and reason.
    ///
    /// # Errors
    /// [`OptionsError`] if a pattern is invalid: never, because it is a constant.
    pub fn checking_rules(self, policy: Policy, examples: u8) -> Result<Self, OptionsError> {
        let pattern = "*";
        let all = Pattern::new(pattern)
            .map_err(|source| OptionsError::Pattern { pattern: pattern.to_owned(), source })?;
        let rest = StatedRule { matching: vec![all], durable: true, ..StatedRule::default() };
        let extended: Vec<StatedRule> = policy.rules.iter().cloned().chain([rest]).collect();
        let has_rest = RuleSet::new(&extended).is_ok();
        let rules = if has_rest { extended } else { policy.rules };
        Ok(Self {
            rules: Rules {
                policy: Some(Policy { rules, dry_run: true, has_rest, activity: None, examples }),
                ..self.rules
            },
            dry_run: true,
            full_scan: true,
            namespaces: true,
            state: StatePlace::default(),
            report_dir: None,
            backup: None,
            ..self
        })
    }
}

/// Refuses rules whose conditions the server with this `status` at `address` cannot answer, or that exclude other options.
///
/// # Errors
/// The first such rule, and the way out.
pub(crate) fn check(
    rules: &RuleSet,
    status: &NodeStatus,
    address: &str,
    options: &Options,
) -> Result<(), PreflightError> {
    for (at, rule) in rules.rules().iter().enumerate() {
        if let Some(why) = refused(rule, status, options) {
            let place = options.rule_places.get(at).map(|place| format!("{place}: ")).unwrap_or_default();
            return Err(PreflightError::Rule { place, address: address.to_owned(), rule: at + 1, why });
        }
    }
    Ok(())
}

fn refused(rule: &Rule, status: &NodeStatus, options: &Options) -> Option<String> {
    if let Some(fact) = unanswerable(rule.facts(), &status.eviction_policy) {
        return Some(fact.to_string());
    }
    let deletes = rule.action().deletes();
    if deletes && rule.takes_expiring() && !status.reports_expiry {
        return Some(format!(
            "it deletes keys that have a TTL, and {} does not tell at which moment a key expires (`PEXPIRETIME`, from \
             Redis 7.0 on); leave `ttl` out of its condition, or shorten their TTLs with `max_ttl`",
            status.version
        ));
    }
    let reads_values = options.backup_order().is_some() || options.verifies();
    (deletes && reads_values && rule.facts().is_about_accesses()).then(|| {
        "its condition is about accesses, and `backup` or `verify` read its keys, which counts as an access, so that none \
         would be deleted; leave out `idle` and `freq`, or `backup` and `verify`"
            .to_owned()
    })
}
