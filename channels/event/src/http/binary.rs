//! Binary mode: attributes in headers, data in the body.

use ::http::header::CONTENT_TYPE;
use ::http::{HeaderMap, HeaderValue};

use super::SPECVERSION;
use crate::{Attributes, Invalid, SpecVersion, Value, check, name};

/// Reads the attributes of a binary event from the headers of its request or response (F2.2). Header values are
/// kept as the bytes that came and not copied (C3.10); of a repeated header the first counts (C3.11).
/// `ce-datacontenttype` is not legal and is ignored, whatever it says; `Content-Type` is that attribute (C3.11). An
/// empty `Content-Type` counts as none.
///
/// # Errors
/// A required attribute is missing or empty, the specversion is unknown, a name or value breaks C3.4 or C3.5, a
/// value is not UTF-8, or there are more than [`Attributes::MAX`].
pub fn read_binary(headers: &HeaderMap) -> Result<Attributes, Invalid> {
    let version = headers
        .get(&SPECVERSION)
        .ok_or_else(|| Invalid::missing("specversion"))?;
    let version = SpecVersion::required(&String::from_utf8_lossy(version.as_bytes()))?;
    let mut attributes = Attributes::of(version, headers.keys_len());
    let mut last = None;
    for (header, value) in headers {
        // Values of one name come one after another, the first one first.
        let repeated = last.replace(header) == Some(header);
        let Some(name) = name::of_header(header).filter(|_| !repeated && header != SPECVERSION)
        else {
            continue;
        };
        if header == CONTENT_TYPE {
            if value.as_bytes().trim_ascii().is_empty() {
                continue;
            }
        } else {
            name::check(name)?;
        }
        let value = Value::from_header(value).ok_or_else(|| {
            Invalid::bare(
                name,
                "its value is not UTF-8; percent-encode it, or send it as UTF-8",
            )
        })?;
        check::value(version, name, value.as_str())?;
        attributes.push(header.clone(), value)?;
    }
    attributes.complete()
}

/// Writes the attributes of a binary event as headers (F2.2), replacing headers of the same names: the bytes that
/// came as they are, other text with controls and non-ASCII percent-encoded and nothing else (C3.10).
/// `has_data` is whether a body follows. Without `datacontenttype` no `Content-Type` is written, unless there is
/// data that came as a JSON value, which is then `application/json` (C3.7).
pub fn write_binary(attributes: &Attributes, has_data: bool, headers: &mut HeaderMap) {
    headers.insert(
        &SPECVERSION,
        HeaderValue::from_static(attributes.specversion().as_str()),
    );
    if has_data && attributes.json_implied() {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    for (header, value) in attributes.headers() {
        let value = if header == CONTENT_TYPE {
            value.to_plain_header()
        } else {
            value.to_header()
        };
        headers.insert(header, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::read_structured;
    use ::http::HeaderName;
    use rstest::rstest;

    fn headers(list: &[(&'static str, &[u8])]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in list {
            headers.append(
                HeaderName::from_static(name),
                HeaderValue::from_bytes(value).unwrap(),
            );
        }
        headers
    }

    fn minimal(more: &[(&'static str, &[u8])]) -> HeaderMap {
        let least: [(&str, &[u8]); 4] = [
            ("ce-specversion", b"1.0"),
            ("ce-id", b"1"),
            ("ce-source", b"/s"),
            ("ce-type", b"t"),
        ];
        headers(&[&least[..], more].concat())
    }

    fn written(attributes: &Attributes, has_data: bool) -> HeaderMap {
        let mut headers = HeaderMap::new();
        write_binary(attributes, has_data, &mut headers);
        headers
    }

    #[test]
    fn c3_10_forwards_the_bytes_that_came() {
        let sent = minimal(&[
            ("ce-subject", "hello world a%2Fb \"q\" h\u{e9}".as_bytes()),
            ("content-type", b"application/xml;q=1"),
            ("ce-empty", b""),
        ]);
        let attributes = read_binary(&sent).unwrap();
        assert_eq!(
            attributes.get("subject"),
            Some("hello world a%2Fb \"q\" h\u{e9}")
        );
        assert_eq!(attributes.content_type(), Some("application/xml;q=1"));
        assert_eq!(written(&attributes, true), sent);
    }

    #[test]
    fn c3_11_the_first_of_repeated_headers_counts() {
        let sent = minimal(&[
            ("ce-x", b"first"),
            ("ce-y", b"y"),
            ("ce-x", b"second"),
            ("ce-id", b"2"),
        ]);
        let attributes = read_binary(&sent).unwrap();
        assert_eq!((attributes.get("x"), attributes.id()), (Some("first"), "1"));
        assert_eq!(attributes.iter().count(), 6);
        assert_eq!(written(&attributes, true)["ce-x"], "first");
    }

    #[test]
    fn c3_11_the_content_type_is_the_only_datacontenttype() {
        let attributes = read_binary(&minimal(&[("ce-datacontenttype", b"text/html")])).unwrap();
        assert_eq!(attributes.content_type(), None);
        let sent = minimal(&[
            ("ce-datacontenttype", b"text/html"),
            ("content-type", b"text/xml"),
        ]);
        assert_eq!(read_binary(&sent).unwrap().content_type(), Some("text/xml"));
    }

    #[test]
    fn other_headers_are_no_attributes() {
        let attributes = read_binary(&minimal(&[
            ("host", b"a"),
            ("cecil", b"b"),
            ("content-length", b"0"),
        ]))
        .unwrap();
        assert_eq!(attributes.iter().count(), 4);
    }

    #[rstest]
    #[case("ce-specversion")]
    #[case("ce-id")]
    #[case("ce-source")]
    #[case("ce-type")]
    fn c3_4_what_is_required(#[case] name: &'static str) {
        let mut sent = minimal(&[]);
        sent.remove(name);
        let attribute = name.trim_start_matches("ce-");
        assert_eq!(read_binary(&sent).unwrap_err().name(), attribute);
        for empty in ["", " "] {
            sent.insert(name, HeaderValue::from_static(empty));
            assert_eq!(read_binary(&sent).unwrap_err().name(), attribute);
        }
    }

    #[rstest]
    #[case("ce-specversion", b"19.0", "specversion")]
    #[case("ce-time", b"noon", "time")]
    #[case("ce-source", b":", "source")]
    #[case("ce-dataschema", b"relative", "dataschema")]
    #[case("ce-subject", b" ", "subject")]
    #[case("content-type", b"xyz", "datacontenttype")]
    #[case("ce-my-ext", b"x", "my-ext")]
    #[case("ce-", b"x", "")]
    #[case("ce-data", b"x", "data")]
    #[case("ce-x", b"a\xffb", "x")]
    #[case("ce-x", b"\xc0\xa0", "x")]
    fn c2_4_what_is_refused(
        #[case] name: &'static str,
        #[case] value: &'static [u8],
        #[case] attribute: &str,
    ) {
        let mut sent = minimal(&[]);
        sent.insert(name, HeaderValue::from_bytes(value).unwrap());
        assert_eq!(read_binary(&sent).unwrap_err().name(), attribute);
    }

    #[test]
    fn c3_7_no_content_type_without_one() {
        let attributes = read_binary(&minimal(&[("content-type", b"")])).unwrap();
        assert!(!written(&attributes, true).contains_key(CONTENT_TYPE));
        let attributes = read_binary(&minimal(&[("content-type", b"text/xml")])).unwrap();
        assert_eq!(written(&attributes, false)[CONTENT_TYPE], "text/xml");
    }

    #[test]
    fn c3_7_data_that_came_as_a_json_value_is_application_json() {
        let read = |members: &str| {
            let body =
                format!(r#"{{"specversion":"1.0","id":"1","source":"/s","type":"t"{members}}}"#);
            read_structured(&body.into()).unwrap().attributes
        };
        let implied = read(r#","data":{}"#);
        assert_eq!(implied.content_type(), None);
        assert_eq!(written(&implied, true)[CONTENT_TYPE], "application/json");
        assert!(!written(&implied, false).contains_key(CONTENT_TYPE));
        let given = read(r#","data":{},"datacontenttype":"a/b+json""#);
        assert_eq!(written(&given, true)[CONTENT_TYPE], "a/b+json");
        for none in ["", r#","data_base64":"e30=""#] {
            assert!(!written(&read(none), true).contains_key(CONTENT_TYPE));
        }
    }

    #[test]
    fn too_many_attributes_are_refused() {
        let mut sent = minimal(&[]);
        for i in 0..200 {
            let name = HeaderName::try_from(format!("ce-x{i}")).unwrap();
            sent.insert(name, HeaderValue::from_static("x"));
        }
        assert!(
            read_binary(&sent)
                .unwrap_err()
                .to_string()
                .contains("100 attributes")
        );
    }
}
