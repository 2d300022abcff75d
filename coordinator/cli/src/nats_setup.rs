//! `keysweep nats setup`: the streams and buckets that keysweep uses in NATS, and their state.

use coordinator::exit;
use keysweep_nats::setup::{Piece, PieceState, SetupMode, buckets, check_room, setup};
use keysweep_nats::{Nats, NatsOptions, missing_protections};
use serde_json::json;

use super::args::SetupArgs;
use super::connections::{Connections, PATIENCE};
use super::error::CommandError;
use super::run::OutputMode;

/// `keysweep nats setup`: 0 if everything is as required, 1 if something is missing or differs.
///
/// # Errors
/// When NATS cannot be used.
pub async fn nats_setup(
    connections: &Connections,
    args: &SetupArgs,
    show: OutputMode,
) -> Result<u8, CommandError> {
    let access = NatsOptions::from_settings(&connections.nats).of_worker();
    let nats = Nats::connect(&access, "keysweep-cli", Some(PATIENCE)).await?;
    check_room(&nats)?;
    let mode = if args.apply { SetupMode::Apply } else { SetupMode::Compare };
    let mut pieces = setup(&nats, mode).await?;
    pieces.extend(buckets(&nats, &connections.buckets(), mode).await?);
    let protections = missing_protections(&nats, true);
    nats.close().await;
    let document = json!({ "pieces": pieces, "missingProtections": protections });
    show.print(&document, || page(&pieces, args.apply) + &missing_protections_text(&protections))?;
    let open = pieces.iter().any(|piece| matches!(piece.state, PieceState::Missing | PieceState::Different));
    Ok(if open { exit::FAILED } else { exit::DONE })
}

/// The missing protections, one per line.
fn missing_protections_text(protections: &[&str]) -> String {
    protections.iter().map(|protection| format!("Missing protection: {protection}.\n")).collect()
}

fn page(pieces: &[Piece], apply: bool) -> String {
    let mut page = String::new();
    for piece in pieces {
        page.push_str(&format!("  {:<30}  {}\n", piece.name, piece.state));
        for difference in &piece.differences {
            page.push_str(&format!(
                "      {difference}{}\n",
                if difference.essential { " (cannot be changed)" } else { "" }
            ));
        }
    }
    let has = |state| pieces.iter().any(|piece| piece.state == state);
    if !apply && (has(PieceState::Missing) || has(PieceState::Different)) {
        page.push_str("`keysweep nats setup --apply` creates what is missing and changes what differs.\n");
    }
    if has(PieceState::Different) && apply {
        page.push_str("What cannot be changed has to be deleted first, or choose another `--nats-prefix`.\n");
    }
    page
}
