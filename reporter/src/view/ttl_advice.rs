//! TTL advice: what it comes from, the curve with its intervals, and the refusal in words. Pure.

use keysweep_model::ttl_advice::{
    SampledTtlAdvice, TtlAdvice, TtlDiagnostics, TtlEstimate, TtlGroup, TtlPoint,
};

use super::Section;
use super::blocks::{Block, Chart, Kind, Table};
use crate::format::{bytes, counted, grouped, moment, span};

/// The section of a report.
pub(super) fn section(sampled: &SampledTtlAdvice) -> Section<'_> {
    let SampledTtlAdvice { at, advice } = sampled;
    let about = format!("From looks of the service at the cache between runs, the last one {}.", moment(at));
    let chart = (!advice.curve.is_empty()).then_some(Block::Chart(Chart::TtlCurve(advice)));
    let words = ttl_advice(advice).into_iter().filter(|block| !is_empty(block));
    let details = [Block::Text(about)].into_iter().chain(words).chain(chart).collect();
    Section { id: "ttl-advice", title: "Other TTLs", summary: Vec::new(), details }
}

fn is_empty(block: &Block<'_>) -> bool {
    matches!(block, Block::Text(text) if text.is_empty())
}

/// The advice in words and figures, and that about each group of keys.
#[must_use]
pub fn ttl_advice(advice: &TtlAdvice) -> Vec<Block<'static>> {
    let of_group = |group: &TtlGroup| {
        let about = match group.by.as_str() {
            "rule" => format!("Keys of the rule for {}:", group.keys),
            _ => format!("Keys named {}:", group.keys),
        };
        [empty(), Block::Text(about)].into_iter().chain(of_keys(&group.advice)).collect::<Vec<_>>()
    };
    of_keys(advice).into_iter().chain(advice.groups.iter().flat_map(of_group)).collect()
}

fn of_keys(advice: &TtlAdvice) -> Vec<Block<'static>> {
    let of = &advice.diagnostics;
    let mut blocks: Vec<Block<'_>> =
        [Some(sampled(of)), requests(of)].into_iter().flatten().map(Block::Text).collect();
    if let Some(why) = &advice.refused {
        blocks.extend([empty(), Block::Problem(format!("No advice: {why}."))]);
    }
    if !advice.curve.is_empty() {
        blocks.extend([empty(), Block::Table(table(advice)), empty()]);
        blocks.push(Block::Text(recommendation(advice)));
    }
    let notes: Vec<Block<'_>> = [share_of_misses(of), never_read(of), ended_early(of)]
        .into_iter()
        .flatten()
        .map(Block::Text)
        .collect();
    if advice.refused.is_some() && !notes.is_empty() {
        blocks.push(empty());
    }
    blocks.extend(notes);
    blocks
}

fn empty() -> Block<'static> {
    Block::Text(String::new())
}

fn sampled(of: &TtlDiagnostics) -> String {
    let keys = counted(of.sampled_keys, "key", "keys");
    let live =
        of.live_keys.map_or_else(String::new, |live| format!(" of about {} with a TTL", grouped(live)));
    let ttl = match (of.current_ttl_seconds, of.ttl_from.as_deref()) {
        (Some(ttl), Some("configured")) => format!("TTL of today: {}, as configured. ", span(ttl)),
        (Some(ttl), _) => format!("TTL of today: {}, from what remains of it. ", span(ttl)),
        (None, _) => String::new(),
    };
    let followed = match of.followed_keys {
        0 => String::new(),
        followed => format!(", {} of them followed beyond their expiry", grouped(followed)),
    };
    format!("{ttl}Sampled: {keys}{live}{followed}.")
}

fn requests(of: &TtlDiagnostics) -> Option<String> {
    let (requests, misses) = of.requests.zip(of.misses)?;
    let rate = of.hit_rate.map_or_else(|| "unknown".to_owned(), |rate| format!("{rate:.1} %"));
    let window = of.window_seconds.map_or_else(String::new, |window| format!(" in {}", span(window)));
    Some(format!(
        "Counted: {} with {}{window}, a hit rate of {rate}.",
        counted(requests, "request", "requests"),
        counted(misses, "miss", "misses")
    ))
}

/// The curve: an estimate and the ends of its 95 % interval.
fn table(advice: &TtlAdvice) -> Table {
    let row = |point: &TtlPoint| {
        vec![
            span(point.ttl_seconds),
            format!("{:.1} %", point.hit_rate.estimate),
            format!("{:.1}–{:.1}", point.hit_rate.low, point.hit_rate.high),
            format!("{:.2}", point.misses.estimate),
            format!("{:.2}–{:.2}", point.misses.low, point.misses.high),
            size(point),
            advice.marks(point).join(", "),
        ]
    };
    let numbers = ["TTL", "hit rate", "95 %", "misses", "95 %", "keys"];
    Table::new("What is expected with other TTLs", "TTLs")
        .columns(Kind::Number, numbers)
        .columns(Kind::Text, [""])
        .rows(advice.curve.iter().map(row))
}

/// Keys, and their memory if it is known.
fn size(point: &TtlPoint) -> String {
    let keys = grouped(whole(point.keys.estimate));
    point.bytes.map_or(keys.clone(), |memory| format!("{keys}, {}", bytes(whole(memory.estimate))))
}

fn whole(estimate: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "never negative, and saturating"
    )]
    let whole = estimate.round() as u64;
    whole
}

fn recommendation(advice: &TtlAdvice) -> String {
    let from = match advice.diagnostics.method.as_deref() {
        Some("panel") => "Estimated from keys that were followed.",
        _ => "Estimated from keys at one moment: keys that are followed from look to look tell more.",
    };
    let chosen = match &advice.recommended {
        Some(chosen) => format!("Recommended: {}, because {}.", span(chosen.ttl_seconds), chosen.reason),
        None => {
            "Nothing is recommended: no TTL of the table reaches the target hit rate with its whole interval."
                .to_owned()
        }
    };
    format!("{chosen} {from} Misses are relative to today. About other TTLs nothing is known.")
}

fn share_of_misses(of: &TtlDiagnostics) -> Option<String> {
    let share = interval(of.share_of_misses?);
    Some(format!(
        "Requests for other keys are counted, too: {share} of the misses are of these keys, and hit rates are those of all \
         requests if the TTL of these keys alone changes."
    ))
}

fn never_read(of: &TtlDiagnostics) -> Option<String> {
    let share = interval(of.never_read?);
    Some(format!("Never read again before they expire: {share} of the entries."))
}

fn ended_early(of: &TtlDiagnostics) -> Option<String> {
    let share = interval(of.ended_early?);
    let most = of.saved_at_most.filter(|most| *most < 99.0).map_or_else(String::new, |most| {
        format!("; a longer TTL saves at most {most:.1} % of today's misses")
    });
    Some(format!("Deleted or written again before they expire: {share} of the entries{most}."))
}

fn interval(of: TtlEstimate) -> String {
    format!("{:.1} % ({:.1}–{:.1})", of.estimate, of.low, of.high)
}

#[cfg(test)]
mod tests {
    use keysweep_model::ttl_advice::RecommendedTtl;

    use super::*;
    use crate::printer::terminal;

    fn advice() -> TtlAdvice {
        let exactly = |estimate: f64| TtlEstimate { estimate, low: estimate - 1.0, high: estimate + 1.0 };
        let point = |ttl_seconds: f64, rate: f64| TtlPoint {
            ttl_seconds,
            hit_rate: exactly(rate),
            misses: exactly(1.5),
            keys: exactly(1_489.0),
            bytes: None,
        };
        TtlAdvice {
            curve: vec![point(900.0, 79.3), point(1_800.0, 85.8)],
            recommended: Some(RecommendedTtl { ttl_seconds: 1_800.0, reason: "it pays".to_owned() }),
            diagnostics: TtlDiagnostics {
                current_ttl_seconds: Some(900.0),
                share_of_misses: Some(exactly(34.0)),
                ..TtlDiagnostics::default()
            },
            ..TtlAdvice::default()
        }
    }

    #[test]
    fn each_group_has_its_own_advice_within_eighty_columns() {
        let refused = TtlAdvice {
            refused: Some("the sample has 3 keys".to_owned()),
            refusal: Some("tooFewKeys".to_owned()),
            ..TtlAdvice::default()
        };
        let group = |keys: &str, by: &str, advice: TtlAdvice| TtlGroup {
            keys: keys.to_owned(),
            by: by.to_owned(),
            advice,
        };
        let all = TtlAdvice {
            refused: Some("the keys have several TTLs".to_owned()),
            groups: vec![group("session:{id}", "namespace", advice()), group("page:*", "rule", refused)],
            ..TtlAdvice::default()
        };
        let text = terminal::blocks(&ttl_advice(&all));
        let order = [
            "No advice: the keys have several TTLs.",
            "Keys named session:{id}:",
            "TTL of today: 15 min",
            "84.8–86.8",
            "Recommended: 30 min, because it pays.",
            "34.0 % (33.0–35.0) of the misses",
            "Keys of the rule for page:*:",
            "No advice: the sample has 3 keys.",
        ];
        let mut at = 0;
        for part in order {
            at += text[at..].find(part).unwrap_or_else(|| panic!("{part} in {text}"));
        }
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }

    #[test]
    fn a_report_has_the_curve() {
        let sampled = SampledTtlAdvice { at: "2026-11-30T12:00:00Z".to_owned(), advice: advice() };
        let section = section(&sampled);
        assert!(section.details.iter().any(|block| matches!(block, Block::Chart(Chart::TtlCurve(_)))));
        assert!(matches!(&section.details[0], Block::Text(text) if text.contains("30 Nov 2026")));
    }
}
