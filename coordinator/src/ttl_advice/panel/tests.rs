//! What looks at a key, one after the other, say about it.

use keysweep_model::ttl_advice::{TtlDiagnostics, TtlGroup};

use super::*;

/// The TTL; keys expire at 1,000 and were first looked at when 100 were left.
const TTL: u64 = 400;

fn panel(remaining_ms: u64) -> Panel {
    let key = PanelKey {
        db: 0,
        key: Key::new(*b"k"),
        remaining_ms,
        expires_at_ms: 1_000,
        idle_ms: Some((0, 1_000)),
        watched_ms: 1_000 - remaining_ms,
        since: Since::Live,
    };
    Panel { ttl_ms: TTL, begun_ms: 1_000 - remaining_ms, live_keys: 1, keys: vec![key] }
}

fn there(at_ms: u64, expires_at_ms: u64) -> Found {
    Found::There { at_ms, expires_at_ms: Some(expires_at_ms) }
}

fn gone(at_ms: u64) -> Found {
    Found::Gone { from_ms: at_ms, until_ms: at_ms }
}

fn check_of(remaining_ms: u64, looks: &[Found], expected: Option<FollowUp>) {
    let mut panel = panel(remaining_ms);
    looks.iter().for_each(|found| panel.follow(&[*found]));
    let known = panel.sampled(&looks[looks.len() - 1..])[0];
    assert_eq!(known.follow_up, expected, "{looks:?}");
    assert_eq!((known.remaining_ms, known.idle), (remaining_ms, panel.keys[0].idle()));
}

fn check(looks: &[Found], expected: Option<FollowUp>) {
    check_of(100, looks, expected);
}

#[test]
fn a_key_that_came_back_tells_when() {
    check(&[there(950, 1_000), there(1_100, 1_430)], Some(FollowUp::CameBack { after_ms: 30 }));
    check(&[gone(1_300), gone(1_600), there(1_900, 2_150)], Some(FollowUp::CameBack { after_ms: 750 }));
    // What follows the return says nothing.
    let looks = [there(1_100, 1_430), gone(1_500), there(1_600, 1_990)];
    check(&looks, Some(FollowUp::CameBack { after_ms: 30 }));
}

#[test]
fn a_key_is_awaited_as_long_as_it_cannot_have_come_and_gone() {
    check(&[gone(1_350)], Some(FollowUp::NotBack { within_ms: 350 }));
    check(&[gone(1_350), gone(1_700)], Some(FollowUp::NotBack { within_ms: 700 }));
    // More than a TTL without a look.
    check(&[gone(1_350), gone(1_800)], Some(FollowUp::NotBack { within_ms: 350 }));
    check(&[gone(1_350), there(1_800, 2_100)], Some(FollowUp::NotBack { within_ms: 350 }));
    check(&[gone(1_350), gone(1_800), gone(1_850)], Some(FollowUp::NotBack { within_ms: 350 }));
    check(&[gone(1_500)], None);
    check(&[there(1_500, 1_700)], None);
    // Another node serves it, or it is permanent.
    check(&[gone(1_350), Found::Unknown, gone(1_400)], Some(FollowUp::NotBack { within_ms: 350 }));
    let permanent = Found::There { at_ms: 1_200, expires_at_ms: None };
    check(&[gone(1_100), permanent], Some(FollowUp::NotBack { within_ms: 100 }));
}

#[test]
fn a_key_that_ended_early_counts_when_its_expiry_has_passed() {
    check(&[gone(950)], None);
    check(&[gone(950), gone(1_050)], Some(FollowUp::EndedEarly));
    check(&[there(950, 1_340), gone(1_050)], Some(FollowUp::EndedEarly));
    // It was written before its expiry.
    check(&[there(1_050, 1_300)], Some(FollowUp::EndedEarly));
    check(&[Found::There { at_ms: 950, expires_at_ms: None }, gone(1_010)], Some(FollowUp::EndedEarly));
    // At the very end of its life it may have expired during the look.
    let during = Found::Gone { from_ms: 998, until_ms: 1_001 };
    check(&[during], Some(FollowUp::NotBack { within_ms: 0 }));
}

#[test]
fn whether_a_key_survived_is_known_only_if_it_was_watched() {
    check_of(300, &[gone(1_100)], None);
    check_of(300, &[there(1_050, 1_300)], None);
    check_of(300, &[there(920, 1_000), gone(1_100)], Some(FollowUp::NotBack { within_ms: 100 }));
    // It ended early, but had it lived, no look would have shown that.
    check_of(300, &[gone(800), gone(1_100)], None);
    check_of(300, &[gone(800), gone(900), gone(1_100)], Some(FollowUp::EndedEarly));
}

#[test]
fn a_panel_is_over_when_all_is_known_or_after_some_ttls() {
    let mut panel = panel(100);
    assert!(!panel.is_over(1_000));
    assert!(panel.is_over(panel.begun_ms + TTL * TTL_PANEL_TTLS));
    panel.follow(&[there(1_100, 1_430)]);
    assert!(panel.is_over(1_100));
}

#[test]
fn looks_come_so_often_that_the_shortest_ttl_is_followed() {
    let of = |current_ttl_seconds| TtlAdvice {
        diagnostics: TtlDiagnostics { current_ttl_seconds, ..TtlDiagnostics::default() },
        ..TtlAdvice::default()
    };
    let grouped = |ttls: &[Option<f64>]| {
        let groups = ttls.iter().map(|ttl| TtlGroup { advice: of(*ttl), ..TtlGroup::default() });
        TtlAdvice { groups: groups.collect(), ..of(None) }
    };
    assert_eq!(pause(&of(Some(3_600.0))), Some(Duration::from_secs(450)));
    assert_eq!(pause(&of(Some(1.0))), Some(TTL_LOOK_PAUSE_MIN));
    assert_eq!(pause(&of(None)), None);
    assert_eq!(pause(&grouped(&[Some(36_000.0), None, Some(3_600.0)])), Some(Duration::from_secs(450)));
    assert_eq!(pause(&grouped(&[None])), None);
}
