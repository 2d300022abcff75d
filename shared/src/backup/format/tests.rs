//! Files are read as they were written, and of damaged ones what is intact.

use proptest::prelude::*;

use super::*;

fn header() -> Header {
    Header {
        run: RunId::new(),
        job: "a job".to_owned(),
        alias: Alias::new("main"),
        db: 3,
        node: NodeId::new("standalone"),
        batch: BatchId::new(),
        at_ms: 1_790_000_000_000,
    }
}

fn entry(index: u32, value: Vec<u8>) -> Entry {
    let (reason, expires_at_ms) = if index.is_multiple_of(2) {
        (Reason::Stale, None)
    } else {
        (Reason::Inactive, Some(1_790_000_000_123))
    };
    let key = Key::new([b"permissions:\xff\x00", &index.to_le_bytes()[..]].concat());
    Entry { group: index / 3, index: index % 3, reason, expires_at_ms, key, value }
}

/// A file of several blocks.
fn file(header: &Header, entries: &[Entry]) -> Vec<u8> {
    let mut file = Saved::new(header.clone());
    entries.iter().for_each(|entry| file.add(entry));
    assert_eq!(file.entries(), entries.len() as u64);
    file.finish()
}

fn entries() -> Vec<Entry> {
    (0..40).map(|index| entry(index, vec![u8::try_from(index).unwrap(); 10_000])).collect()
}

#[test]
fn an_intact_file_holds_what_was_put_in() {
    let (header, mut entries) = (header(), entries());
    let mut random = fastrand::Rng::with_seed(7);
    entries.push(entry(40, (0..300_000).map(|_| random.u8(..)).collect()));
    entries.push(Entry { key: Key::new(*b""), value: Vec::new(), ..entry(41, Vec::new()) });
    let bytes = file(&header, &entries);
    assert!(bytes.len() < 320_000, "{} bytes: what repeats is compressed", bytes.len());
    let expected = Decoded { header: Some(header), entries, lost: Some(0), ..Decoded::default() };
    assert_eq!(decode(&bytes), expected);
}

#[test]
fn outcomes_are_read_as_they_were_written() {
    let header = header();
    let recorded = |group, letters: &[u8]| Recorded {
        group,
        outcomes: letters.iter().map(|letter| Outcome::from_letter(*letter).unwrap()).collect(),
    };
    let recorded = vec![recorded(0, b"ddsv"), recorded(7, b"")];
    let bytes = encode_outcomes(header.clone(), &recorded);
    let expected = Decoded { header: Some(header), recorded, lost: Some(0), ..Decoded::default() };
    assert_eq!(decode(&bytes), expected);
}

#[test]
fn a_byte_that_changed_costs_one_block_and_is_named() {
    let (header, entries) = (header(), entries());
    let bytes = file(&header, &entries);
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        let found = decode(&damaged);
        let [damage, ..] = found.damages.as_slice() else { panic!("byte {at}: no damage was noticed") };
        assert!(damage.offset <= at as u64, "{at}: {damage:?}");
        if (8..10).contains(&at) {
            // A version of which nothing is known.
            assert!(found.entries.is_empty() && damage.what.contains("format"), "{at}: {found:?}");
            continue;
        }
        assert!(found.entries.len() + 6 >= entries.len(), "{at}: {} entries", found.entries.len());
        assert!(found.entries.iter().all(|entry| entries.contains(entry)), "byte {at}");
        assert_eq!(found.header.as_ref(), Some(&header), "byte {at}: it stands at both ends");
        if let Some(lost) = found.lost {
            assert_eq!(lost, (entries.len() - found.entries.len()) as u64, "byte {at}");
        }
    }
}

#[test]
fn a_file_that_was_cut_off_says_so_and_gives_what_is_there() {
    let (header, entries) = (header(), entries());
    let bytes = file(&header, &entries);
    for length in 0..bytes.len() {
        let found = decode(&bytes[..length]);
        assert_eq!(found.lost, None, "{length}");
        assert!(found.damages.iter().any(|damage| damage.what.contains("cut off")), "{length}: {found:?}");
        assert_eq!(found.entries, entries[..found.entries.len()], "{length}");
    }
}

proptest! {
    #[test]
    fn no_bytes_at_all_do_any_harm(mut bytes in prop::collection::vec(any::<u8>(), 0..400), begin: bool) {
        if begin {
            bytes.splice(0..0, *b"keysweep\x01\x00");
        }
        let found = decode(&bytes);
        prop_assert!(found.entries.is_empty() && !found.damages.is_empty());
    }

    #[test]
    fn blocks_that_make_no_sense_do_no_harm(content in prop::collection::vec(any::<u8>(), 0..200), kind in 0..4_usize) {
        let kinds = [FrameKind::Header, FrameKind::Entries, FrameKind::Outcomes, FrameKind::End];
        let mut bytes = begin(&header());
        frame::write(&mut bytes, kinds[kind], &content);
        let _ = decode(&bytes);
    }
}
