//! W3C trace context: which trace an event is part of.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};

static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
static TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
static BAGGAGE: HeaderName = HeaderName::from_static("baggage");

/// The flags that W3C trace context defines: sampled, and random trace id. Unknown ones must be sent as zero.
const KNOWN_FLAGS: u8 = 0b11;

/// A place in a trace (C4.5, G3.1): trace id, span id and flags, with `tracestate` and `baggage` as they came.
/// It is about the transport: `traceparent` attributes of an event are attributes like any other.
#[derive(Clone, PartialEq, Eq)]
pub struct TraceContext {
    trace_id: u128,
    span_id: u64,
    flags: u8,
    tracestate: Vec<HeaderValue>,
    baggage: Vec<HeaderValue>,
}

impl TraceContext {
    /// The start of a new trace, with random ids, not sampled.
    pub fn root() -> Self {
        Self {
            trace_id: fastrand::u128(1..),
            span_id: fastrand::u64(1..),
            flags: 0,
            tracestate: Vec::new(),
            baggage: Vec::new(),
        }
    }

    /// The context that a request carries; a new root if it carries none, more than one, or a malformed one.
    /// `tracestate` counts only beside a valid `traceparent`; `baggage` is kept in any case.
    pub fn from_headers(headers: &HeaderMap) -> Self {
        let mut parents = headers.get_all(&TRACEPARENT).iter();
        let parent = match (parents.next(), parents.next()) {
            (Some(only), None) => parse(only.as_bytes()),
            _ => None,
        };
        let mut context = Self::root();
        if let Some((trace_id, span_id, flags)) = parent {
            let tracestate = headers.get_all(&TRACESTATE).iter().cloned().collect();
            context = Self {
                trace_id,
                span_id,
                flags,
                tracestate,
                ..context
            };
        }
        context.baggage = headers.get_all(&BAGGAGE).iter().cloned().collect();
        context
    }

    /// A step further in the same trace: a new span id, the rest as it is.
    #[must_use]
    pub fn child(&self) -> Self {
        Self {
            span_id: fastrand::u64(1..),
            ..self.clone()
        }
    }

    /// Writes `traceparent`, `tracestate` and `baggage`, in place of those that are there.
    pub fn write(&self, headers: &mut HeaderMap) {
        let Self {
            trace_id,
            span_id,
            flags,
            tracestate,
            baggage,
        } = self;
        if let Ok(parent) =
            HeaderValue::try_from(format!("00-{trace_id:032x}-{span_id:016x}-{flags:02x}"))
        {
            headers.insert(&TRACEPARENT, parent);
        }
        for (name, values) in [(&TRACESTATE, tracestate), (&BAGGAGE, baggage)] {
            headers.remove(name);
            for value in values {
                // Fails only beyond 32768 headers, which no server lets in.
                let _ = headers.try_append(name, value.clone());
            }
        }
    }

    /// The trace id: 32 hexadecimal digits.
    pub fn trace_id_hex(&self) -> String {
        format!("{:032x}", self.trace_id)
    }

    /// The span id: 16 hexadecimal digits.
    pub fn span_id_hex(&self) -> String {
        format!("{:016x}", self.span_id)
    }

    /// Whether whoever began the trace records it.
    pub fn is_sampled(&self) -> bool {
        self.flags & 1 == 1
    }
}

/// The ids only: baggage may hold what does not belong in a log.
impl fmt::Debug for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "TraceContext({:032x}-{:016x}-{:02x})",
            self.trace_id, self.span_id, self.flags
        )
    }
}

/// `version-traceid-spanid-flags` of W3C trace context: lower-case hexadecimal, ids not zero, version not `ff`; of
/// versions after 00 the first four fields count.
fn parse(text: &[u8]) -> Option<(u128, u64, u8)> {
    let (known, more) = text.split_at_checked(55)?;
    let dashes = [2, 35, 52].iter().all(|&at| known.get(at) == Some(&b'-'));
    let version = hex(known.get(..2)?)?;
    let fits = match version {
        0 => more.is_empty(),
        0xff => false,
        _ => more.is_empty() || more.starts_with(b"-"),
    };
    let trace_id = hex(known.get(3..35)?)?;
    let span_id = u64::try_from(hex(known.get(36..52)?)?).ok()?;
    let flags = u8::try_from(hex(known.get(53..)?)?).ok()?;
    (dashes && fits && trace_id != 0 && span_id != 0).then_some((
        trace_id,
        span_id,
        flags & KNOWN_FLAGS,
    ))
}

/// The number in at most 32 lower-case hexadecimal digits.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |sum, &digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(sum << 4 | u128::from(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    fn headers(list: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in list {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn c4_5_a_child_is_in_the_same_trace_with_a_new_span() {
        let sent = headers(&[
            ("traceparent", PARENT),
            ("tracestate", "a=1"),
            ("tracestate", "b=2"),
            ("baggage", "k=v;p"),
        ]);
        let context = TraceContext::from_headers(&sent);
        let child = context.child();
        assert_eq!(child.trace_id_hex(), TRACE_ID);
        assert_ne!(child.span_id_hex(), context.span_id_hex());
        assert!(child.is_sampled());
        let mut written = headers(&[("traceparent", "x"), ("tracestate", "x"), ("baggage", "x")]);
        child.write(&mut written);
        assert_eq!(
            written["traceparent"],
            format!("00-{TRACE_ID}-{}-01", child.span_id_hex())
        );
        assert!(written.get_all("tracestate").iter().eq(["a=1", "b=2"]));
        assert!(written.get_all("baggage").iter().eq(["k=v;p"]));
        let mut unchanged = HeaderMap::new();
        context.write(&mut unchanged);
        assert_eq!(unchanged, sent);
    }

    #[rstest]
    #[case("")]
    #[case("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7")]
    #[case("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-extra")]
    #[case("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01")]
    #[case("00-00000000000000000000000000000000-00f067aa0ba902b7-01")]
    #[case("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01")]
    #[case("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")]
    #[case("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01x")]
    #[case("00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")]
    #[case("00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01")]
    fn c4_5_a_malformed_one_starts_a_new_trace(#[case] parent: &str) {
        let context = TraceContext::from_headers(&headers(&[
            ("traceparent", parent),
            ("tracestate", "a=1"),
            ("baggage", "k=v"),
        ]));
        assert_ne!(context.trace_id_hex(), TRACE_ID);
        assert_eq!(
            (
                context.flags,
                context.tracestate.len(),
                context.baggage.len()
            ),
            (0, 0, 1)
        );
        assert_ne!((context.trace_id, context.span_id), (0, 0));
    }

    #[test]
    fn two_traceparents_are_none() {
        let context = TraceContext::from_headers(&headers(&[
            ("traceparent", PARENT),
            ("traceparent", PARENT),
        ]));
        assert_ne!(context.trace_id_hex(), TRACE_ID);
    }

    #[rstest]
    #[case(
        "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-the-future-brings",
        1
    )]
    #[case("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff", 3)]
    #[case("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00", 0)]
    fn c4_5_future_versions_count_by_their_first_four_fields(
        #[case] parent: &str,
        #[case] flags: u8,
    ) {
        let context = TraceContext::from_headers(&headers(&[("traceparent", parent)]));
        assert_eq!(
            (context.trace_id_hex().as_str(), context.flags),
            (TRACE_ID, flags)
        );
    }
}
