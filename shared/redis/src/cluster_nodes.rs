//! Parses a node's own line of `CLUSTER NODES`, which is the only place where it reports its open slots (those being
//! moved). Other lines are skipped: this is queried around each task, and a cluster has many nodes.
//!
//! A line: `id ip:port@busport,hostname flags primary ping pong epoch link slot slot-slot [slot->-id]`.

use keysweep_model::slot::{SLOTS, SlotSet};

use super::node::SlotView;
use super::parse_error::ParseError;

/// The slots that the queried node serves.
///
/// # Errors
/// When its own line is missing or malformed: skipped slots would be a gap in coverage.
pub fn own_slots(text: &str) -> Result<SlotView, ParseError> {
    let own = text.lines().find(|line| line.contains("myself") && has_flag(line, "myself"));
    let line = own.ok_or_else(|| ParseError::new("the node's own line", text))?;
    let mut fields = line.split_ascii_whitespace().skip(6);
    let epoch = fields.next().ok_or_else(|| ParseError::new("the config epoch of a node", line))?;
    let epoch = epoch.parse().map_err(|_| ParseError::new("a config epoch", epoch))?;
    fields.next().ok_or_else(|| ParseError::new("the link state of a node", line))?;
    let (mut owned, mut open) = (SlotSet::new(), SlotSet::new());
    for token in fields {
        if let Some(moving) = token.strip_prefix('[') {
            let slot = open_slot(moving).ok_or_else(|| ParseError::new("an open slot", token))?;
            open.extend(&std::iter::once(slot).collect());
        } else {
            let (first, last) = token.split_once('-').unwrap_or((token, token));
            insert(&mut owned, first, last).ok_or_else(|| ParseError::new("a slot range", token))?;
        }
    }
    // A replica serves no slots, even if its line lists some.
    let owned = if has_flag(line, "master") { owned } else { SlotSet::new() };
    Ok(SlotView { epoch, owned, open })
}

fn has_flag(line: &str, flag: &str) -> bool {
    line.split_ascii_whitespace().nth(2).is_some_and(|flags| flags.split(',').any(|one| one == flag))
}

fn insert(slots: &mut SlotSet, first: &str, last: &str) -> Option<()> {
    slots.insert_range(first.parse().ok()?, last.parse().ok()?).ok()
}

/// The slot of `93->-id]` (migrating to another node) or `77-<-id]` (importing), without the opening bracket.
fn open_slot(text: &str) -> Option<u16> {
    let (slot, rest) = text.strip_suffix(']')?.split_once('-')?;
    let (direction, _) = rest.split_once('-')?;
    let slot = slot.parse().ok().filter(|&slot| slot < SLOTS)?;
    matches!(direction, ">" | "<").then_some(slot)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// From a cluster of redis-server 7.0.15 whose replica had been killed; a hostname that is not a flag and a gap in
    /// the slots were added.
    const CAPTURED: &str = "\
676368050199fd879908f0cb202b9bf21d1995de 127.0.0.1:17563@27563 slave,fail 6c0868928d695e8a96d843abeb43e5e01fbc6349 1795341072330 1795341071524 0 disconnected
2904a29b1d72df3e17905daac700a09dd44fe083 127.0.0.1:17562@27562,myself master - 0 1795341075360 7 connected 8192-16383
6c0868928d695e8a96d843abeb43e5e01fbc6349 127.0.0.1:17561@27561 myself,master - 0 1795341074000 4 connected 0-90 92 93-8191 [93->-2904a29b1d72df3e17905daac700a09dd44fe083] [9000-<-2904a29b1d72df3e17905daac700a09dd44fe083]
";

    fn set(ranges: &[(u16, u16)]) -> SlotSet {
        ranges.iter().flat_map(|(first, last)| *first..=*last).collect()
    }

    #[test]
    fn captured_reply_is_parsed() {
        let owned = set(&[(0, 90), (92, 8191)]);
        let expected = SlotView { epoch: 4, owned, open: set(&[(93, 93), (9000, 9000)]) };
        assert_eq!(own_slots(CAPTURED), Ok(expected));
    }

    #[test]
    fn replica_serves_no_slots() {
        let view = own_slots("id :0@0 myself,slave,nofailover 2904 0 0 7 connected 0-5 [3->-x]").unwrap();
        assert_eq!((view.epoch, view.owned, view.open), (7, SlotSet::new(), set(&[(3, 3)])));
    }

    #[test]
    fn malformed_line_is_refused() {
        let check = |end: &str, expected: &str| {
            let text = format!("id 1.1.1.1:1@2 myself,master - 0 0 {end}");
            assert_eq!(own_slots(&text).unwrap_err().to_string(), expected);
        };
        check("3 connected 5-2", "parse a slot range in `5-2`");
        check("3 connected 0-16384", "parse a slot range in `0-16384`");
        check("3 connected [16384->-x]", "parse an open slot in `[16384->-x]`");
        check("3 connected [3=>=x]", "parse an open slot in `[3=>=x]`");
        check("x connected", "parse a config epoch in `x`");
        check("", "parse the config epoch of a node in `id 1.1.1.1:1@2 myself,master - 0 0 `");
        check("3", "parse the link state of a node in `id 1.1.1.1:1@2 myself,master - 0 0 3`");
        let others = "myself 1.1.1.1:1@2 master - 0 0 3 connected 0-5";
        assert_eq!(
            own_slots(others).unwrap_err().to_string(),
            format!("parse the node's own line in `{others}`")
        );
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_without_panic(text: String, slots in r"[0-9\[\]<> -]{0,40}") {
            let _ = own_slots(&text);
            let _ = own_slots(&format!("id 1.1.1.1:1@2 myself,master - 0 0 3 connected {slots}"));
        }
    }
}
