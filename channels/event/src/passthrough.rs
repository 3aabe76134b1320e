//! The headers beside an event that go on to its subscriber.

use http::header::{CONTENT_ENCODING, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue};

/// The header with which a gateway tells another one how many hops are left. It is ours and never passed through.
pub static HOPS: HeaderName = HeaderName::from_static("knative-towpath-hops");

/// The headers of a request (or of a subscriber's response, for its reply) that reach the next receiver unchanged:
/// `X-Request-Id`, `Retry-After`, and all whose names begin with `Knative-` or `X-B3-` (C4.1, C4.4), with every value
/// of a repeated one; and `Content-Encoding`, which says how the bytes of a binary event's data are compressed.
/// `Knative-Towpath-Hops` is not among them. Cloning copies no values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PassThrough(Vec<(HeaderName, HeaderValue)>);

impl PassThrough {
    /// Those of `headers` that pass.
    pub fn from_headers(headers: &HeaderMap) -> Self {
        let passing = headers.iter().filter(|(name, _)| passes(name));
        Self(
            passing
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
        )
    }

    /// Adds them to `headers`.
    pub fn write(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.0 {
            // Fails only beyond 32768 headers, which no server lets in.
            let _ = headers.try_append(name, value.clone());
        }
    }

    /// Adds them to `headers`, but for `Content-Encoding`: for a structured event, whose receiver would take it for the
    /// encoding of the whole body. Data that was compressed is then base64 in that body.
    pub fn write_structured(&self, headers: &mut HeaderMap) {
        self.write(headers);
        if self.0.iter().any(|(name, _)| name == CONTENT_ENCODING) {
            headers.remove(CONTENT_ENCODING);
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// They, in order: for encodings that carry them in the headers of a broker.
    pub fn iter(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        self.0.iter().map(|(name, value)| (name, value))
    }
}

/// Header names are in lower case here.
fn passes(name: &HeaderName) -> bool {
    let text = name.as_str();
    let passes =
        text.starts_with("knative-") || text.starts_with("x-b3-") || text == "x-request-id";
    (passes && name != HOPS) || name == RETRY_AFTER || name == CONTENT_ENCODING
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c4_1_exactly_these_pass() {
        let passing = [
            ("knative-hello", "world"),
            ("knative-hello", "again"),
            ("x-b3-traceid", "1"),
            ("x-request-id", "2"),
            ("retry-after", "3"),
            ("content-encoding", "gzip"),
        ];
        let dropped = [
            "authorization",
            "cookie",
            "prefer",
            "accept",
            "b3",
            "x-custom",
            "kn-namespace",
            "knative-towpath-hops",
            "ce-id",
        ];
        let (mut sent, mut expected) = (HeaderMap::new(), HeaderMap::new());
        for (name, value) in passing {
            sent.append(name, HeaderValue::from_static(value));
            expected.append(name, HeaderValue::from_static(value));
        }
        for name in dropped {
            sent.append(name, HeaderValue::from_static("x"));
        }
        let headers = PassThrough::from_headers(&sent);
        let mut written = HeaderMap::new();
        headers.write(&mut written);
        assert_eq!(written, expected);
        assert_eq!(headers.iter().count(), 6);
        let mut structured = HeaderMap::new();
        headers.write_structured(&mut structured);
        expected.remove("content-encoding");
        assert_eq!(structured, expected);
        assert!(!headers.is_empty());
        assert!(PassThrough::from_headers(&HeaderMap::new()).is_empty());
    }
}
