//! The check of rules as JUnit XML, for the test reports of pipelines: a test case for each rule.

use keysweep_model::result::RuleRow;
use quick_junit::{NonSuccessKind, Report, SerializeError, TestCase, TestCaseStatus, TestSuite};

use super::{Checked, breaches, finding, name};

/// The document.
///
/// # Errors
/// When it cannot be written: never, because it is written to memory.
pub fn junit(of: &Checked) -> Result<String, SerializeError> {
    let mut suite = TestSuite::new(of.job.as_str());
    suite.add_test_cases(of.rules.iter().map(case));
    if !of.coverage.complete {
        let mut unread = TestCaseStatus::non_success(NonSuccessKind::Error);
        unread.set_message("not all keys were read");
        suite.add_test_case(TestCase::new("coverage", unread));
    }
    let mut report = Report::new("keysweep policy check");
    report.add_test_suite(suite);
    report.to_string()
}

fn case(rule: &RuleRow) -> TestCase {
    let status = match breaches(rule) {
        0 => TestCaseStatus::success(),
        _ => {
            let mut failed = TestCaseStatus::non_success(NonSuccessKind::Failure);
            failed.set_message(finding(rule));
            failed
        }
    };
    let mut case = TestCase::new(name(rule), status);
    case.set_classname(rule.owner.clone().unwrap_or_else(|| "keysweep".to_owned()));
    case
}
