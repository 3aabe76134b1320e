//! Media types: what a content type says about the data. Zero-copy, as it is asked on the hot path.

/// The media type of a content type: what is before `;`, trimmed. Compare it without regard to case.
pub(crate) fn essence(content_type: &[u8]) -> &[u8] {
    content_type
        .split(|&byte| byte == b';')
        .next()
        .unwrap_or_default()
        .trim_ascii()
}

/// Whether data of this content type is JSON: subtype `json`, or one that ends in `+json` (F2.8).
pub(crate) fn is_json(content_type: &str) -> bool {
    let essence = essence(content_type.as_bytes());
    let subtype = essence
        .split(|&byte| byte == b'/')
        .nth(1)
        .unwrap_or_default();
    let suffix = subtype
        .rsplit(|&byte| byte == b'+')
        .next()
        .unwrap_or_default();
    suffix.eq_ignore_ascii_case(b"json")
}

/// Whether the bytes of UTF-8 text are the text's own in this content type: no `charset`, or one that UTF-8 covers.
pub(crate) fn is_utf8(content_type: &str) -> bool {
    let charset = content_type.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("charset")
            .then(|| value.trim().trim_matches('"'))
    });
    charset.is_none_or(|charset| {
        ["utf-8", "utf8", "us-ascii", "ascii"]
            .iter()
            .any(|name| charset.eq_ignore_ascii_case(name))
    })
}

/// Whether this is a media type (C3.4): `type/subtype`, and parameters, which are not looked at.
pub(crate) fn is_media_type(content_type: &str) -> bool {
    if content_type
        .bytes()
        .any(|byte| (byte < 0x20 && byte != b'\t') || byte == 0x7f)
    {
        return false;
    }
    let mut parts = essence(content_type.as_bytes()).split(|&byte| byte == b'/');
    parts.next().is_some_and(is_token)
        && parts.next().is_some_and(is_token)
        && parts.next().is_none()
}

/// `token` of RFC 9110.
fn is_token(text: &[u8]) -> bool {
    let special = |byte| b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty()
        && text
            .iter()
            .all(|&byte| byte.is_ascii_alphanumeric() || special(byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("application/json", true)]
    #[case(" Application/JSON ; charset=utf-8", true)]
    #[case("text/json", true)]
    #[case("application/vnd.api+json", true)]
    #[case("application/x-json", false)]
    #[case("application/jsonp", false)]
    #[case("json", false)]
    #[case("text/plain; format=a/json", false)]
    fn f2_8_tells_json(#[case] content_type: &str, #[case] json: bool) {
        assert_eq!(is_json(content_type), json);
    }

    #[rstest]
    #[case("text/plain", true)]
    #[case("text/plain; charset=utf-8", true)]
    #[case("text/plain; Charset=\"US-ASCII\"", true)]
    #[case("text/plain; a=b; charset=iso-8859-1", false)]
    fn tells_text_whose_bytes_are_utf_8(#[case] content_type: &str, #[case] utf8: bool) {
        assert_eq!(is_utf8(content_type), utf8);
    }

    #[rstest]
    #[case("text/plain", true)]
    #[case("application/vnd.x+xml; q=\"a;b\"", true)]
    #[case("application/json;", true)]
    #[case("xyz", false)]
    #[case("", false)]
    #[case("a/", false)]
    #[case("/b", false)]
    #[case("a/b/c", false)]
    #[case("a b/c", false)]
    #[case("text/plain;\r\nx: y", false)]
    fn c3_4_tells_a_media_type(#[case] content_type: &str, #[case] valid: bool) {
        assert_eq!(is_media_type(content_type), valid);
    }
}
