//! The names of attributes, which are kept as the headers that they are in binary mode.

use http::HeaderName;
use http::header::CONTENT_TYPE;

use crate::Invalid;

/// What begins the header of an attribute (F2.2); header names come in lower case.
const PREFIX: &str = "ce-";

/// Headers of the usual attributes, so that a structured event makes no new ones.
static USUAL: [HeaderName; 15] = [
    HeaderName::from_static("ce-id"),
    HeaderName::from_static("ce-source"),
    HeaderName::from_static("ce-type"),
    HeaderName::from_static("ce-time"),
    HeaderName::from_static("ce-subject"),
    HeaderName::from_static("ce-dataschema"),
    HeaderName::from_static("ce-schemaurl"),
    HeaderName::from_static("ce-dataref"),
    HeaderName::from_static("ce-traceparent"),
    HeaderName::from_static("ce-tracestate"),
    HeaderName::from_static("ce-partitionkey"),
    HeaderName::from_static("ce-knativebrokerttl"),
    HeaderName::from_static("ce-knativeerrordest"),
    HeaderName::from_static("ce-knativeerrorcode"),
    HeaderName::from_static("ce-knativeerrordata"),
];

/// The attribute that a header of a binary event carries, if it is one: `Content-Type` is `datacontenttype`, and
/// so `ce-datacontenttype` is none (C3.11).
pub(crate) fn of_header(header: &HeaderName) -> Option<&str> {
    match header.as_str().strip_prefix(PREFIX) {
        Some("datacontenttype") => None,
        Some(name) => Some(name),
        None => (header == CONTENT_TYPE).then_some("datacontenttype"),
    }
}

/// The header that carries the attribute `name`, which must be a valid name (C3.5).
pub(crate) fn to_header(name: &str) -> Result<HeaderName, Invalid> {
    if name == "datacontenttype" {
        return Ok(CONTENT_TYPE);
    }
    check(name)?;
    let usual = USUAL
        .iter()
        .find(|header| header.as_str().strip_prefix(PREFIX) == Some(name));
    match usual {
        Some(header) => Ok(header.clone()),
        None => HeaderName::try_from(format!("{PREFIX}{name}")).map_err(|_| {
            Invalid::bare(
                name,
                "its name is too long for a header; use at most 20 characters",
            )
        }),
    }
}

/// Whether `name` may be the name of an attribute (C3.5, F2.5). Its length is bounded by what a header takes.
pub(crate) fn check(name: &str) -> Result<(), Invalid> {
    if name.is_empty()
        || !name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    {
        return Err(Invalid::bare(
            name,
            "the name of an attribute must be of a-z and 0-9 only",
        ));
    }
    if name == "data" {
        return Err(Invalid::bare(
            name,
            "this name is taken by the data itself; use another one",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("id", true)]
    #[case("my2ext", true)]
    #[case("", false)]
    #[case("my-ext", false)]
    #[case("my_ext", false)]
    #[case("MyExt", false)]
    #[case("\u{e9}", false)]
    #[case("data", false)]
    #[case("data_base64", false)]
    fn c3_5_names(#[case] name: &str, #[case] valid: bool) {
        assert_eq!(check(name).is_ok(), valid);
        assert_eq!(to_header(name).is_ok(), valid);
    }

    #[test]
    fn c3_5_a_name_that_no_header_takes_is_refused() {
        assert!(to_header(&"a".repeat(100_000)).is_err());
    }

    #[test]
    fn c3_11_headers_and_names_go_together() {
        for name in ["id", "knativeerrordest", "comexample", "datacontenttype"] {
            assert_eq!(of_header(&to_header(name).unwrap()), Some(name));
        }
        assert_eq!(
            of_header(&HeaderName::from_static("ce-datacontenttype")),
            None
        );
        assert_eq!(of_header(&HeaderName::from_static("cecil")), None);
    }
}
