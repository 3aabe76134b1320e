//! Input as a person can write it: lines `name: value`, and a body after an empty line.

use http::{HeaderMap, HeaderName, HeaderValue};

/// A header: name and value.
pub(super) type Header<'i> = (&'i str, &'i [u8]);

/// Headers, in order, names as text, and a body if there is an empty line. A line without a colon, or whose name is not
/// UTF-8, is left out.
pub(super) fn record(input: &[u8]) -> (Vec<Header<'_>>, Option<&[u8]>) {
    let mut headers = Vec::new();
    let mut rest = input;
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte == b'\n');
        let (line, after) = match end {
            Some(end) => (&rest[..end], &rest[end + 1..]),
            None => (rest, &rest[rest.len()..]),
        };
        if line.is_empty() {
            return (headers, Some(after));
        }
        rest = after;
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        if let Ok(name) = std::str::from_utf8(&line[..colon]) {
            let value = &line[colon + 1..];
            headers.push((name, value.strip_prefix(b" ").unwrap_or(value)));
        }
    }
    (headers, None)
}

/// Those headers that HTTP lets in.
pub(super) fn header_map(input: &[u8]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in record(input).0 {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_bytes(value))
        {
            // over the map's own limit no server lets in more either
            let _ = map.try_append(name, value);
        }
    }
    map
}
