//! TTL advice as text: what it comes from, the curve with its intervals, and the refusal in words. Pure.

use coordinator::ttl_advice::{TtlAdvice, TtlDiagnostics, TtlEstimate, TtlPoint};
use reporter::view::{Block, Kind, Table};
use reporter::{bytes, counted, grouped, span};

/// The page.
#[must_use]
pub fn blocks(advice: &TtlAdvice) -> Vec<Block<'static>> {
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
    let notes: Vec<Block<'_>> =
        [never_read(of), ended_early(of)].into_iter().flatten().map(Block::Text).collect();
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
    let ttl = match (of.current_ttl_seconds, of.ttl_from) {
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
            marks(point, advice),
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

fn marks(point: &TtlPoint, advice: &TtlAdvice) -> String {
    let is = |ttl: Option<f64>| ttl.is_some_and(|ttl| (ttl - point.ttl_seconds).abs() < 1e-6);
    let today = is(advice.diagnostics.current_ttl_seconds).then_some("today");
    let chosen = is(advice.recommended.as_ref().map(|chosen| chosen.ttl_seconds)).then_some("recommended");
    today.into_iter().chain(chosen).collect::<Vec<_>>().join(", ")
}

fn recommendation(advice: &TtlAdvice) -> String {
    let from = match advice.diagnostics.method {
        Some("panel") => "Estimated from keys that were followed.",
        _ => "Estimated from keys at one moment: keys that are followed (`--for`, or more calls) tell more.",
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
