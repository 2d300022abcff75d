//! The check of rules as workflow commands of GitHub Actions: an annotation for each rule that is broken, or of which that
//! is not known. GitHub shows the first ten of each level; all stand in the log.

use keysweep_model::result::RuleRow;

use super::checked::{Checked, Verdict, name, unknown};

/// The lines.
#[must_use]
pub fn github(of: &Checked) -> String {
    // What is allowed does not fail the step.
    let level = |fails: bool| if fails { "error" } else { "warning" };
    let verdict = of.verdict();
    let breached = level(verdict == Verdict::Breached);
    let broken = of.rules.iter().filter(|rule| rule.breaches() > 0);
    let mut text: String = broken.map(|rule| annotation(breached, rule, &broken_text(of, rule))).collect();
    let undecided = of.rules.iter().filter(|rule| rule.undecided > 0);
    let unknowns = level(verdict != Verdict::Passed);
    text.extend(undecided.map(|rule| annotation(unknowns, rule, &unknown(rule.undecided))));
    if let Some(unread) = of.unread() {
        text.push_str(&command("error", "keysweep", &unread));
    }
    if let Some(unowned) = of.unowned.as_ref().filter(|unowned| unowned.keys > 0) {
        text.push_str(&command("notice", "keysweep", &unowned.with_namespaces()));
    }
    text + &of.sentence() + "\n"
}

fn broken_text(of: &Checked, rule: &RuleRow) -> String {
    let names = of.examples.names(rule).unwrap_or_default();
    let names: String = names.iter().map(|one| format!("\n{}", one.short())).collect();
    of.finding(rule) + &names
}

fn annotation(level: &str, rule: &RuleRow, message: &str) -> String {
    let owner = rule.owner.as_ref().map(|owner| format!(" ({owner})")).unwrap_or_default();
    command(level, &format!("{}{owner}", name(rule)), message)
}

fn command(level: &str, title: &str, message: &str) -> String {
    let title = escaped(title).replace(':', "%3A").replace(',', "%2C");
    format!("::{level} title={title}::{}\n", escaped(message))
}

/// Text in a workflow command, in which line ends would end it.
fn escaped(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}
