//! The check of rules as JUnit XML, for the test reports of pipelines: a test case for each rule, one for keys of no rule,
//! and one for keys that were not read. A case fails only if the command does.

use keysweep_model::result::RuleRow;
use quick_junit::{NonSuccessKind, Report, SerializeError, TestCase, TestCaseStatus, TestSuite};

use super::checked::{Checked, Example, Unowned, Verdict, name, unknown};

/// The class of cases that belong to no owner.
const CLASS: &str = "keysweep";

/// The document.
///
/// # Errors
/// When it cannot be written: never, because it is written to memory.
pub fn junit(of: &Checked) -> Result<String, SerializeError> {
    let mut suite = TestSuite::new(of.job.as_str());
    suite.add_test_cases(of.rules.iter().map(|rule| case(of, rule)));
    suite.add_test_cases(of.unowned.iter().map(unowned));
    let unread = of.unread().map(|message| failed(NonSuccessKind::Error, message));
    suite.add_test_case(with_class("coverage", unread.unwrap_or_else(TestCaseStatus::success)));
    let mut report = Report::new("keysweep policy check");
    report.add_test_suite(suite);
    // Jenkins' xUnit plugin refuses this attribute of the root: its schema (junit-10.xsd) has it in suites only.
    let extra = format!(" skipped=\"{}\"", report.skipped);
    Ok(report.to_string()?.replacen(&extra, "", 1))
}

fn case(of: &Checked, rule: &RuleRow) -> TestCase {
    let broken = (rule.breaches() > 0).then(|| of.finding(rule));
    let undecided = (rule.undecided > 0).then(|| unknown(rule.undecided));
    let is_broken = broken.is_some() && of.verdict() == Verdict::Breached;
    let is_unknown = undecided.is_some() && of.verdict() != Verdict::Passed;
    let message = [broken, undecided].into_iter().flatten().collect::<Vec<_>>().join("; ");
    let names = of.examples.names(rule).unwrap_or_default();
    let names: Vec<String> = names.iter().map(Example::line).collect();
    let names = names.join("\n");
    let mut case = if is_broken || is_unknown {
        let kind = if is_broken { NonSuccessKind::Failure } else { NonSuccessKind::Error };
        let mut status = failed(kind, message);
        status.set_description(names);
        with_class(&name(rule), status)
    } else {
        let mut case = with_class(&name(rule), TestCaseStatus::success());
        if !message.is_empty() {
            case.set_system_out(format!("allowed: {message}\n{names}"));
        }
        case
    };
    if let Some(owner) = &rule.owner {
        case.set_classname(owner.as_str());
    }
    case
}

/// Nothing was checked of keys that belong to no rule.
fn unowned(of: &Unowned) -> TestCase {
    let status = match of.keys {
        0 => TestCaseStatus::success(),
        _ => {
            let mut skipped = TestCaseStatus::skipped();
            skipped.set_message(of.with_namespaces());
            skipped
        }
    };
    with_class("keys of no rule", status)
}

fn failed(kind: NonSuccessKind, message: String) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_message(message).set_type(match kind {
        NonSuccessKind::Failure => "breach",
        NonSuccessKind::Error => "unknown",
    });
    status
}

fn with_class(name: &str, status: TestCaseStatus) -> TestCase {
    let mut case = TestCase::new(name, status);
    case.set_classname(CLASS);
    case
}
