//! Where work belongs in a distributed trace: W3C `traceparent`. The trace of a run has the run's id, so that any process
//! can name it without asking another.

use std::fmt;
use std::num::{NonZeroU64, NonZeroU128};

use crate::ids::RunId;

/// The length of a `traceparent` of version 00.
const TEXT_LEN: usize = 55;

/// A span within a trace, as messages carry it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    /// The trace.
    pub trace: NonZeroU128,
    /// The span.
    pub span: NonZeroU64,
}

impl TraceParent {
    /// The root span of a run: the trace id is the id of the run without hyphens, the span id its last 64 bits.
    #[must_use]
    pub fn of_run(run: RunId) -> Self {
        let id = run.as_u128();
        let low = u64::try_from(id & u128::from(u64::MAX)).unwrap_or_default();
        Self {
            trace: NonZeroU128::new(id).unwrap_or(NonZeroU128::MIN),
            span: NonZeroU64::new(low).unwrap_or(NonZeroU64::MIN),
        }
    }

    /// Reads the header `traceparent`; `None` if it is none of version 00, which later versions begin with, too.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.get(..TEXT_LEN)?.split('-').collect();
        let [version, trace, span, flags] = fields[..] else { return None };
        let hex = |field: &str, len: usize| {
            let lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
            field.len() == len && field.bytes().all(lower)
        };
        let is_valid = hex(version, 2) && hex(trace, 32) && hex(span, 16) && hex(flags, 2) && version != "ff";
        let goes_on = text.len() == TEXT_LEN || version != "00" && text.as_bytes()[TEXT_LEN] == b'-';
        if !is_valid || !goes_on {
            return None;
        }
        let trace = NonZeroU128::new(u128::from_str_radix(trace, 16).ok()?)?;
        Some(Self { trace, span: NonZeroU64::new(u64::from_str_radix(span, 16).ok()?)? })
    }
}

/// The header: version 00, sampled.
impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-01", self.trace, self.span)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_trace_of_a_run_has_its_id() {
        let run: RunId = "019abcde-0123-7456-89ab-cdef01234567".parse().expect("an id");
        let header = TraceParent::of_run(run).to_string();
        assert_eq!(header, "00-019abcde0123745689abcdef01234567-89abcdef01234567-01");
        assert_eq!(TraceParent::parse(&header), Some(TraceParent::of_run(run)));
    }

    #[test]
    fn what_is_no_header_names_no_parent() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert!(TraceParent::parse(good).is_some());
        assert!(TraceParent::parse(&good.replacen("00", "cc", 1)).is_some());
        assert!(TraceParent::parse(&format!("{}-more", good.replacen("00", "cc", 1))).is_some());
        let bad = [
            String::new(),
            good[..54].to_owned(),
            format!("{good}-more"),
            format!("{good}0"),
            good.to_uppercase(),
            good.replacen("00", "ff", 1),
            good.replace("b7ad6b7169203331", "0000000000000000"),
            good.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            good.replace('7', "+"),
            good.replace('-', "_"),
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b71692033-é1".to_owned(),
        ];
        for text in bad {
            assert_eq!(TraceParent::parse(&text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in any::<String>()) {
            let _ = TraceParent::parse(&text);
        }

        #[test]
        fn headers_are_read_as_they_are_written(trace in 1_u128.., span in 1_u64..) {
            let parent = TraceParent {
                trace: NonZeroU128::new(trace).expect("from 1"),
                span: NonZeroU64::new(span).expect("from 1"),
            };
            prop_assert_eq!(TraceParent::parse(&parent.to_string()), Some(parent));
        }
    }
}
