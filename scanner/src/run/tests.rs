//! What a report says of a task that is handed back whole.

use shared::ids::{Alias, NodeId, TaskId};
use shared::range::{CursorRange, Table};

use super::*;

#[test]
fn a_part_of_a_pass_that_is_handed_back_makes_the_counts_approximate() {
    let check = |scope: Scope, approximate: bool| {
        let (run, task, alias) = (RunId::new(), TaskId::new(), Alias::new("main"));
        let report =
            handed_back(&ScanTask { run, task, alias, node: NodeId::new("n"), scope, keys: 0, replans: 0 });
        assert_eq!((report.rest.len(), report.approximate), (1, approximate));
    };
    let (ranges, process) = (vec![CursorRange::part(1, 1)], String::new());
    let table = Table::Database;
    let cursors =
        CursorScope { pass: TaskId::new(), table, ranges, bits: 1, slots: Some(SlotSet::all()), process };
    check(Scope::Cursors(cursors), true);
    check(Scope::Slots { slots: SlotSet::all(), listing: SlotListing::KeysInSlot }, false);
}
