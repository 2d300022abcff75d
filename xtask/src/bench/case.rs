//! What is measured: a contender, the number of keys that it gets, and how many of them are stale (pure).

use super::contenders::Contender;
use super::data::Data;

/// The share of stale keys, in percent, unless a contender is measured with several.
pub(crate) const USUAL_PERCENT: u8 = 10;

/// A contender with its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Case {
    /// The contender.
    pub(crate) contender: Contender,
    /// The share of keys without a TTL, in percent; contenders with data of their own ignore it.
    pub(crate) stale_percent: u8,
    /// The number of keys.
    pub(crate) keys: u64,
}

impl Case {
    /// `contender` on as many of `keys` keys as it gets.
    pub(crate) fn new(contender: Contender, stale_percent: u8, keys: u64) -> Self {
        Self { contender, stale_percent, keys: keys.min(contender.keys_max()) }
    }

    /// Its name in the tables, which differs from those of all other cases with as many keys.
    pub(crate) fn label(&self) -> String {
        let label = self.contender.label();
        match self.stale_percent {
            USUAL_PERCENT => label.to_owned(),
            percent => format!("{label}, {percent} %"),
        }
    }

    /// Its data.
    pub(crate) fn data(&self) -> Data {
        self.contender.own_data().unwrap_or(Data::Stale { percent: self.stale_percent })
    }
}

/// The cases of a comparison: keysweep and the floor once for each of `shares` (in percent), and then all others with
/// the usual share.
pub(crate) fn cases(contenders: &[Contender], shares: &[u8], keys: u64) -> Vec<Case> {
    let (varied, others): (Vec<Contender>, Vec<Contender>) =
        contenders.iter().partition(|contender| contender.is_varied());
    let varied = shares.iter().flat_map(|percent| varied.iter().map(move |contender| (*contender, *percent)));
    let others = others.iter().map(|contender| (*contender, USUAL_PERCENT));
    varied.chain(others).map(|(contender, percent)| Case::new(contender, percent, keys)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_keysweep_and_the_floor_get_several_shares() {
        let contenders = [Contender::RedisCli, Contender::Keysweep, Contender::Floor];
        let cases = cases(&contenders, &[1, 10], 1_000_000);
        let labels: Vec<String> = cases.iter().map(Case::label).collect();
        assert_eq!(labels, ["keysweep, 1 %", "floor, 1 %", "keysweep", "floor", "redis-cli"]);
        assert_eq!((cases[0].keys, cases[4].keys), (1_000_000, 50_000));
        assert_eq!(cases[1].data(), Data::Stale { percent: 1 });
    }

    #[test]
    fn labels_are_short() {
        for contender in Contender::ALL {
            let shares: &[u8] = if contender.is_varied() { &[100] } else { &[USUAL_PERCENT] };
            let label = cases(&[contender], shares, 1_000)[0].label();
            assert!(label.len() <= 18, "{label}");
        }
    }
}
