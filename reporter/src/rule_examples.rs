//! Names of keys that break rules, from the reports of a run.

use keysweep_model::messages::{ExamplesByRule, RuleExamples};
use keysweep_storage::records::{Record, RecordError, Records};

/// Keys that break a rule in a run whose policy asks for so many ([`keysweep_model::messages::Policy::examples`]), by rule
/// and reason. The records must still exist.
///
/// # Errors
/// When the store fails.
pub async fn rule_examples(records: &Records, wanted: u8) -> Result<Vec<RuleExamples>, RecordError> {
    if wanted == 0 {
        return Ok(Vec::new());
    }
    let (mut all, mut revision) = (ExamplesByRule::wanting(wanted), 0);
    while let Some((at, record)) = records.next_after(revision).await? {
        revision = at;
        if let Some(Record::Report(report)) = record {
            all.merge(report.rule_examples);
        }
    }
    Ok(all.finish())
}
