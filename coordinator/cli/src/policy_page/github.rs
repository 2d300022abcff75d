//! The check of rules as workflow commands of GitHub Actions: an annotation for each rule that is broken.

use keysweep_model::result::RuleRow;

use super::{Checked, breaches, finding, name};

/// The lines.
#[must_use]
pub fn github(of: &Checked) -> String {
    let broken = of.rules.iter().filter(|rule| breaches(rule) > 0);
    // What is allowed does not fail the step.
    let level = if of.passes() { "warning" } else { "error" };
    let mut text: String = broken.map(|rule| annotation(level, rule)).collect();
    if !of.coverage.complete {
        text.push_str("::error title=keysweep::not all keys were read\n");
    }
    text + &of.sentence() + "\n"
}

fn annotation(level: &str, rule: &RuleRow) -> String {
    let owner = rule.owner.as_ref().map(|owner| format!(" ({owner})")).unwrap_or_default();
    let title = escaped(&format!("{}{owner}", name(rule))).replace(':', "%3A").replace(',', "%2C");
    format!("::{level} title={title}::{}\n", escaped(&finding(rule)))
}

/// Text in a workflow command, in which line ends would end it.
fn escaped(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}
