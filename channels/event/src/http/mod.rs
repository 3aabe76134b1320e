//! Events on HTTP: the content modes of requests and responses (C3, F2).

mod binary;
mod members;
mod structured_read;
mod structured_write;

pub use binary::{read_binary, write_binary};
pub use structured_read::read_structured;
pub use structured_write::write_structured;

use ::http::header::CONTENT_TYPE;
use ::http::{HeaderMap, HeaderName};

use crate::{SpecVersion, media};

/// The content type of a structured event, as Knative sends it (C3.9).
pub const STRUCTURED_JSON: &str = "application/cloudevents+json";

/// What begins the content type of a batch, whatever its format (F2.1).
const BATCH: &[u8] = b"application/cloudevents-batch";

pub(crate) static SPECVERSION: HeaderName = HeaderName::from_static("ce-specversion");

/// How an event is laid out in a request or response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Attributes in headers, data in the body.
    Binary,
    /// All in the body, as one JSON object.
    Structured,
    /// Many events in one body, which no channel or broker takes (C2.5).
    Batch,
    /// No event, or one of a version that is not known. [`read_binary`] says which, for the text of the 400.
    NotAnEvent,
}

/// The mode that the headers of a request or response announce (C3.2, F2.1). A structured or batch content type
/// wins over `ce-` headers. Structured formats other than JSON are not known: with a `ce-specversion` header their
/// body is the data of a binary event, as it is for Knative's own channels.
pub fn mode(headers: &HeaderMap) -> Mode {
    if let Some(content_type) = headers.get(CONTENT_TYPE) {
        let essence = media::essence(content_type.as_bytes());
        if essence.eq_ignore_ascii_case(STRUCTURED_JSON.as_bytes()) {
            return Mode::Structured;
        }
        if essence
            .get(..BATCH.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(BATCH))
        {
            return Mode::Batch;
        }
    }
    match headers
        .get(&SPECVERSION)
        .and_then(|version| SpecVersion::parse(version.as_bytes()))
    {
        Some(_) => Mode::Binary,
        None => Mode::NotAnEvent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::http::HeaderValue;
    use rstest::rstest;

    #[rstest]
    #[case("", "1.0", Mode::Binary)]
    #[case("", "0.3", Mode::Binary)]
    #[case("", "19.0", Mode::NotAnEvent)]
    #[case("", "", Mode::NotAnEvent)]
    #[case("application/json", "", Mode::NotAnEvent)]
    #[case("application/json", "1.0", Mode::Binary)]
    #[case("application/cloudevents+json", "", Mode::Structured)]
    #[case("application/cloudevents+json", "1.0", Mode::Structured)]
    #[case(
        " Application/CloudEvents+JSON ; charset=UTF-8",
        "0.3",
        Mode::Structured
    )]
    #[case("application/cloudevents-batch+json", "1.0", Mode::Batch)]
    #[case("APPLICATION/CLOUDEVENTS-BATCH+xml; a=b", "", Mode::Batch)]
    #[case("application/cloudevents+xml", "", Mode::NotAnEvent)]
    #[case("application/cloudevents+xml", "1.0", Mode::Binary)]
    fn c3_2_the_content_type_wins(
        #[case] content_type: &'static str,
        #[case] version: &'static str,
        #[case] expected: Mode,
    ) {
        let mut headers = HeaderMap::new();
        if !content_type.is_empty() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        if !version.is_empty() {
            headers.insert(&SPECVERSION, HeaderValue::from_static(version));
        }
        assert_eq!(mode(&headers), expected);
    }
}
