//! A sample of a server whose counters and cursors cannot be relied on. The whole database is listed once, which counts
//! its keys, and matching keys selected by their hash are looked up. Such a server may list keys in name order, so its
//! first pages are not representative. Reads only.

use std::collections::HashSet;

use keysweep_model::key::{self, Key};
use keysweep_model::scan_end::ScanEnd;
use keysweep_redis::{KeyState, Listing, RedisError, RedisErrorKind, ScanConnection, WindowReply};
use tokio::time::Instant;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::classify::Classifier;
use crate::sample::{KeySample, SampleRequest};

/// `COUNT` of a page.
const PAGE_KEYS: usize = 1_000;

/// Lists the whole database, which has `counted` keys according to the server. Returns the sample and the number of
/// listed keys; keys listed twice are counted twice.
///
/// # Errors
/// When the server fails, or its cursors do not reach an end.
pub async fn sample_whole(
    lister: &mut ScanConnection,
    counted: u64,
    wanted: SampleRequest,
    selector: &Classifier<'_>,
) -> Result<(KeySample, u64), RedisError> {
    let count = wanted.breaks.at_once(PAGE_KEYS) as u32;
    let (mut listed, mut looked_up, mut cursor) = (WindowReply::default(), WindowReply::default(), 0);
    let mut end = ScanEnd::new(0, 0, counted);
    let mut drawing = HashSample { seed: fastrand::u64(..), ..HashSample::default() };
    loop {
        let sent = Instant::now();
        let page = Listing::Scan { cursor, count };
        lister
            .window(&[page], drawing.to_look_up.iter().map(Key::as_bytes), wanted.ask, &mut looked_up)
            .await?;
        wanted.breaks.rest(sent).await;
        drawing.looked_up(&looked_up);
        std::mem::swap(&mut listed, &mut looked_up);
        let next = listed.pages().next().map_or(0, |page| page.next);
        drawing.listed(&listed, selector);
        drawing.thin(wanted);
        if next == 0 {
            break;
        }
        let on = end.check_progress(&next, count.into(), listed.keys().count() as u64);
        on.map_err(|why| RedisError::new(RedisErrorKind::Protocol, lister.address(), why))?;
        cursor = next;
    }
    let left = drawing.to_look_up.iter().map(Key::as_bytes);
    lister.window(&[], left, wanted.ask, &mut looked_up).await?;
    drawing.looked_up(&looked_up);
    drawing.thin(wanted);
    Ok(drawing.finish())
}

/// Selects keys whose hash ends in at least `zeros` zero bits; if there are too many, `zeros` grows by one.
#[derive(Default)]
struct HashSample {
    seed: u64,
    zeros: u32,
    /// Keys listed, by the number of trailing zero bits of their hash.
    by_zeros: Vec<u64>,
    /// Selected keys that wait for their lookup.
    to_look_up: Vec<Key>,
    drawn: HashSet<Key>,
    /// Bytes of the stored names: a selected key is stored in `drawn` and in either `to_look_up` or `looks`.
    bytes: usize,
    looks: Vec<(Key, KeyState)>,
    sampled: KeySample,
}

impl HashSample {
    fn zeros_of(&self, key: &[u8]) -> u32 {
        xxh3_64_with_seed(key, self.seed).trailing_zeros()
    }

    fn listed(&mut self, answers: &WindowReply, selector: &Classifier<'_>) {
        self.by_zeros.resize(u64::BITS as usize + 1, 0);
        for key in answers.keys().filter(|key| !key::is_own(key)) {
            let zeros = self.zeros_of(key);
            self.by_zeros[zeros as usize] += 1;
            self.sampled.names.observe(key);
            if zeros >= self.zeros && selector.wants(key) && self.drawn.insert(Key::new(key)) {
                self.bytes += 2 * key.len();
                self.to_look_up.push(Key::new(key));
            }
        }
    }

    fn looked_up(&mut self, answers: &WindowReply) {
        self.sampled.lookups += answers.lookups();
        self.looks.extend(self.to_look_up.drain(..).zip(answers.seen().iter().copied()));
    }

    /// Raises `zeros` until few enough keys are left, or the next step would leave none.
    fn thin(&mut self, wanted: SampleRequest) {
        while self.drawn.len() as u64 > 2 * wanted.keys || self.bytes > wanted.bytes {
            let (seed, zeros) = (self.seed, self.zeros + 1);
            let stays = |key: &Key| xxh3_64_with_seed(key.as_bytes(), seed).trailing_zeros() >= zeros;
            if !self.drawn.iter().any(stays) {
                return;
            }
            self.zeros = zeros;
            self.drawn.retain(stays);
            self.bytes = self.drawn.iter().map(|key| 2 * key.as_bytes().len()).sum();
            self.to_look_up.retain(stays);
            self.looks.retain(|(key, _)| stays(key));
        }
    }

    fn finish(self) -> (KeySample, u64) {
        let all: u64 = self.by_zeros.iter().sum();
        let listed = self.by_zeros.iter().skip(self.zeros as usize).sum();
        (KeySample { listed, looks: self.looks, all: self.zeros == 0, ..self.sampled }, all)
    }
}

#[cfg(test)]
mod tests {
    use keysweep_model::messages::Rules;
    use keysweep_redis::{LookupKind, Throttle, Ttl};

    use super::*;

    /// Draws from `pages` of names. Returns the sample, the listed keys, and the largest size of stored names after a
    /// page.
    fn draw(pages: impl Iterator<Item = Vec<Vec<u8>>>, bytes: usize) -> (KeySample, u64, usize) {
        let rules = Rules::deleting(&["*"], &[]).unwrap();
        let (selector, breaks) = (Classifier::new(&rules, None), Throttle::NONE);
        let wanted = SampleRequest { keys: 100, bytes, search: true, ask: LookupKind::Ttl, breaks };
        let mut drawing = HashSample { seed: 7, ..HashSample::default() };
        let mut most = 0;
        for page in pages {
            drawing.listed(&WindowReply::of([(0, page)]), &selector);
            let looked: Vec<_> = drawing.to_look_up.drain(..).collect();
            drawing.looks.extend(looked.into_iter().map(|key| (key, KeyState::only(Ttl::Persistent))));
            drawing.thin(wanted);
            most = most.max(drawing.bytes);
        }
        let (sampled, all) = drawing.finish();
        (sampled, all, most)
    }

    fn pages(pages: usize, name_bytes: usize) -> impl Iterator<Item = Vec<Vec<u8>>> {
        (0..pages).map(move |page| {
            let name = |n: usize| format!("{:0name_bytes$}", page * 10 + n).into_bytes();
            (0..10).map(name).collect()
        })
    }

    #[test]
    fn sample_is_bounded_in_keys_and_bytes() {
        let (sampled, all, _) = draw(pages(100, 20), usize::MAX);
        assert_eq!((all, sampled.all), (1_000, false));
        assert!((50..=200).contains(&sampled.looks.len()), "{}", sampled.looks.len());
        assert_eq!(sampled.listed, sampled.looks.len() as u64, "all match");
        let (sampled, all, most) = draw(pages(100, 10_000), 200_000);
        assert!(all == 1_000 && most <= 200_000, "{most} bytes were stored");
        assert!((3..=10).contains(&sampled.looks.len()), "{}", sampled.looks.len());
        assert_eq!(sampled.listed, sampled.looks.len() as u64);
        // At least one name is kept, of any length.
        let (sampled, all, _) = draw(pages(10, 10_000), 1);
        assert!(all == 100 && (1..=3).contains(&sampled.looks.len()), "{}", sampled.looks.len());
        assert_eq!(sampled.listed, sampled.looks.len() as u64);
        let (sampled, all, _) = draw(pages(1, 10), 1_000);
        assert!(all == 10 && sampled.all && sampled.looks.len() == 10);
    }
}
