//! What came of test files, as JUnit's XML.

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::{Suite, Verdict};

/// The report of test files, with the verdicts of the cases that were run. It says no times: the
/// same is said of the same.
///
/// # Errors
/// If that is no XML.
pub fn report(
    suites: &[(&Suite, Vec<(usize, Verdict)>)],
) -> Result<String, quick_junit::SerializeError> {
    let mut report = Report::new("limbeck test");
    for (suite, verdicts) in suites {
        let mut of_suite = TestSuite::new(suite.name.as_str());
        for (number, verdict) in verdicts {
            let case = &suite.cases[*number];
            let (status, line) = match verdict {
                Verdict::Passed => (TestCaseStatus::success(), case.line),
                Verdict::Failed(failed) => {
                    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
                    let message = format!("{}:{}", suite.name, failed.line);
                    status.set_message(message).set_description(failed.text.as_str());
                    (status, failed.line)
                }
            };
            let mut of_case = TestCase::new(case.name.as_str(), status);
            of_case.set_classname(suite.name.as_str());
            of_case.extra.insert("file".into(), suite.name.as_str().into());
            of_case.extra.insert("line".into(), line.to_string().into());
            of_suite.add_test_case(of_case);
        }
        report.add_test_suite(of_suite);
    }
    report.to_string()
}
