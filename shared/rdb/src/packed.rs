//! How many elements a packed value has, from its first bytes.

/// How elements are packed into a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    /// A listpack.
    Listpack {
        /// Strings that make one element.
        strings_per_element: u64,
    },
    /// A ziplist, as servers before 7.0 wrote it.
    Ziplist {
        /// Strings that make one element.
        strings_per_element: u64,
    },
    /// Sorted numbers.
    Intset,
    /// Fields and values, as servers before 2.6 wrote them.
    Zipmap,
}

/// Bytes that [`Packing::elements`] looks at.
pub(crate) const HEAD_BYTES: usize = 10;

/// The count of a list that has too many elements for it.
const UNCOUNTED: u16 = u16::MAX;

impl Packing {
    /// The number of elements of a packed value that begins like this; `None` if it does not say it.
    pub(crate) fn elements(self, head: &[u8]) -> Option<u64> {
        let (strings, per_element) = match self {
            // Bytes in all, and the number.
            Self::Listpack { strings_per_element } => (short(head, 4)?, strings_per_element),
            // Bytes in all, the place of the last, and the number.
            Self::Ziplist { strings_per_element } => (short(head, 8)?, strings_per_element),
            // Bytes per number, and the number.
            Self::Intset => (u32::from_le_bytes(*head.get(4..)?.first_chunk()?).into(), 1),
            Self::Zipmap => (u64::from(*head.first().filter(|fields| **fields < 254)?), 1),
        };
        Some(strings / per_element)
    }
}

fn short(head: &[u8], at: usize) -> Option<u64> {
    let count = u16::from_le_bytes(*head.get(at..)?.first_chunk()?);
    (count != UNCOUNTED).then_some(count.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_elements_is_in_the_head() {
        let check = |packing: Packing, head: &[u8], expected| assert_eq!(packing.elements(head), expected);
        let listpack = Packing::Listpack { strings_per_element: 2 };
        check(listpack, &[0, 0, 0, 0, 6, 0, 9], Some(3));
        check(listpack, &[0, 0, 0, 0, 255, 255], None);
        check(listpack, &[0, 0, 0, 0, 6], None);
        check(Packing::Ziplist { strings_per_element: 1 }, &[0, 0, 0, 0, 0, 0, 0, 0, 1, 1], Some(257));
        check(Packing::Intset, &[2, 0, 0, 0, 1, 0, 1, 0], Some(65_537));
        check(Packing::Zipmap, &[253], Some(253));
        check(Packing::Zipmap, &[254], None);
    }
}
