//! Files are read as they were written; of damaged ones, the intact content is read.

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

fn entry(index: u32, value: Vec<u8>) -> BackupEntry {
    let (reason, expires_at_ms) = if index.is_multiple_of(2) {
        (Reason::Stale, None)
    } else {
        (Reason::Inactive, Some(1_790_000_000_123))
    };
    let key = Key::new([b"permissions:\xff\x00", &index.to_le_bytes()[..]].concat());
    BackupEntry { group: index / 3, index: index % 3, reason, expires_at_ms, key, value }
}

/// A file of several blocks.
fn file(header: &Header, entries: &[BackupEntry]) -> Vec<u8> {
    let mut file = Saved::new(header.clone());
    entries.iter().for_each(|entry| file.add(entry));
    assert_eq!(file.entries(), entries.len() as u64);
    file.finish()
}

fn entries() -> Vec<BackupEntry> {
    (0..40).map(|index| entry(index, vec![u8::try_from(index).unwrap(); 10_000])).collect()
}

#[test]
fn intact_file_contains_all_entries() {
    let (header, mut entries) = (header(), entries());
    let mut random = fastrand::Rng::with_seed(7);
    entries.push(entry(40, (0..300_000).map(|_| random.u8(..)).collect()));
    entries.push(BackupEntry { key: Key::new(*b""), value: Vec::new(), ..entry(41, Vec::new()) });
    let bytes = file(&header, &entries);
    assert!(bytes.len() < 320_000, "{} bytes: repeated content is compressed", bytes.len());
    let expected = Decoded { header: Some(header), entries, lost: Some(0), ..Decoded::default() };
    assert_eq!(decode(&bytes), expected);
}

#[test]
fn outcomes_are_read_as_they_were_written() {
    let header = header();
    let recorded = |group, letters: &[u8]| Recorded {
        group,
        outcomes: letters.iter().map(|letter| Outcome::from_code(*letter).unwrap()).collect(),
    };
    let recorded = vec![recorded(0, b"ddsv"), recorded(7, b"")];
    let bytes = encode_outcomes(header.clone(), &recorded);
    let expected =
        Decoded { header: Some(header), recorded, lost: Some(0), outcomes: 6, ..Decoded::default() };
    assert_eq!(decode(&bytes), expected);
}

#[test]
fn changed_byte_costs_one_block_and_is_reported() {
    let (header, entries) = (header(), entries());
    let bytes = file(&header, &entries);
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        let found = decode(&damaged);
        let [damage, ..] = found.damages.as_slice() else { panic!("byte {at}: no damage was noticed") };
        assert!(damage.offset <= at as u64, "{at}: {damage:?}");
        if (8..10).contains(&at) {
            // An unknown version.
            assert!(found.entries.is_empty() && damage.what.contains("format"), "{at}: {found:?}");
            continue;
        }
        assert!(found.entries.len() + 6 >= entries.len(), "{at}: {} entries", found.entries.len());
        assert!(found.entries.iter().all(|entry| entries.contains(entry)), "byte {at}");
        assert_eq!(found.header.as_ref(), Some(&header), "byte {at}: it is stored at both ends");
        if let Some(lost) = found.lost {
            assert_eq!(lost, (entries.len() - found.entries.len()) as u64, "byte {at}");
        }
    }
}

#[test]
fn a_truncated_file_is_reported_and_read_up_to_the_cut() {
    let (header, entries) = (header(), entries());
    let bytes = file(&header, &entries);
    for length in 0..bytes.len() {
        let found = decode(&bytes[..length]);
        assert_eq!(found.lost, None, "{length}");
        assert!(found.damages.iter().any(|damage| damage.what.contains("cut off")), "{length}: {found:?}");
        assert_eq!(found.entries, entries[..found.entries.len()], "{length}");
    }
}

/// The head of a frame with these claims.
fn head(kind: FrameKind, content: u32, stored: u32) -> Vec<u8> {
    let sum = 7_u64.to_le_bytes();
    [&[0xf5, b'k', b's', 0xfa, kind as u8][..], &content.to_le_bytes(), &stored.to_le_bytes(), &sum].concat()
}

/// Reads `file`, which takes time that grows only with its size.
#[track_caller]
fn read_quickly(file: &[u8]) -> Decoded {
    let began = std::time::Instant::now();
    let found = decode(file);
    assert!(
        began.elapsed() < std::time::Duration::from_secs(20),
        "{:?} for {} bytes",
        began.elapsed(),
        file.len()
    );
    assert!(found.damages.len() <= DAMAGES_NAMED_MAX && found.damages.len() as u64 <= found.damaged);
    found
}

#[test]
fn false_frame_heads_are_not_all_hashed() {
    // 8 MiB of heads, each of which claims all that follows: together, 1.6 TiB to hash.
    const HEADS: u32 = (8 << 20) / 21;
    let mut file = begin(&header());
    for n in 1..=HEADS {
        let rest = 21 * (HEADS - n);
        file.extend(head(FrameKind::Entries, rest, rest));
    }
    let found = read_quickly(&file);
    assert!(found.entries.is_empty() && found.header.is_some(), "{:?}", found.damages);
}

#[test]
fn a_frame_behind_some_false_beginnings_is_found() {
    let (header, entries) = (header(), entries());
    let bytes = file(&header, &entries);
    let mut damaged = begin(&header);
    let at = damaged.len();
    for _ in 0..100 {
        damaged.extend(head(FrameKind::Entries, 50, 20));
    }
    damaged.extend(&bytes[at..]);
    let found = read_quickly(&damaged);
    assert_eq!((found.entries, found.damaged, found.lost), (entries, 1, Some(0)));
}

#[test]
fn frames_beyond_the_content_limit_are_not_decompressed() {
    let mut bytes = begin(&header());
    // One MiB each.
    let mut bomb = Vec::new();
    frame::write(&mut bomb, FrameKind::Header, &vec![0; 250 << 20]);
    (0..200).for_each(|_| bytes.extend(&bomb));
    let found = read_quickly(&bytes);
    assert!(
        found.damages.iter().any(|damage| damage.what.contains("more than any backup file")),
        "{:?}",
        found.damages
    );
}

#[test]
fn impossible_compression_ratio_allocates_no_memory() {
    let mut bytes = begin(&header());
    bytes.extend(head(FrameKind::Entries, 250 << 20, 21));
    bytes.extend([0; 21]);
    assert_eq!(read_quickly(&bytes).damaged, 2, "it, and that the end is missing");
}

#[test]
fn more_keys_than_a_batch_has_are_not_read() {
    let (mut block, mut bytes) = (Vec::new(), begin(&header()));
    let nothing = BackupEntry { key: Key::new(*b""), value: Vec::new(), ..entry(0, Vec::new()) };
    (0..1_000_000).for_each(|_| put(&mut block, &nothing));
    frame::write(&mut bytes, FrameKind::Entries, &block);
    let found = read_quickly(&bytes);
    assert!(found.entries.len() <= ENTRIES_MAX + 1 && found.damaged >= 1, "{}", found.entries.len());
    let mut bytes = begin(&header());
    for _ in 0..100_000 {
        frame::write(&mut bytes, FrameKind::Outcomes, &[0; 4]);
    }
    assert!(read_quickly(&bytes).recorded.len() <= ENTRIES_MAX + 1);
}

#[test]
fn invalid_frames_are_counted_and_only_some_are_listed() {
    let mut bytes = begin(&header());
    for _ in 0..200_000 {
        frame::write(&mut bytes, FrameKind::Outcomes, b"");
    }
    let found = read_quickly(&end(bytes, header(), u64::MAX));
    assert_eq!(
        (found.damaged, found.lost),
        (200_002, None),
        "with an end that claims more than there can be"
    );
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..400), begin: bool) {
        if begin {
            bytes.splice(0..0, *b"keysweep\x01\x00");
        }
        let found = decode(&bytes);
        prop_assert!(found.entries.is_empty() && !found.damages.is_empty());
    }

    #[test]
    fn invalid_blocks_are_read_without_panic(content in prop::collection::vec(any::<u8>(), 0..200), kind in 0..4_usize) {
        let kinds = [FrameKind::Header, FrameKind::Entries, FrameKind::Outcomes, FrameKind::End];
        let mut bytes = begin(&header());
        frame::write(&mut bytes, kinds[kind], &content);
        let _ = decode(&bytes);
    }
}
