//! Which bytes of a payload a request asks for (RFC 9110 section 14): one range, or the whole.

use std::ops::Range;

use http::header::{self, HeaderMap};

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// All of it: no range is asked for, or one that is not understood, or several.
    Whole,
    /// These bytes: not empty, and within the size.
    Part(Range<u64>),
    /// Bytes that are not there: 416.
    Unsatisfiable,
}

/// What the headers of a GET ask for, of `size` bytes whose entity tag is `etag`, with its quotation marks. The range is
/// ignored unless `If-Range`, where it is given, is that very tag: a date or a weak tag never is.
pub(crate) fn wanted(headers: &HeaderMap, size: u64, etag: &str) -> Wanted {
    let mut ranges = headers.get_all(header::RANGE).iter();
    let (Some(range), None) = (ranges.next(), ranges.next()) else {
        return Wanted::Whole;
    };
    let mut conditions = headers.get_all(header::IF_RANGE).iter();
    if conditions.any(|condition| condition.as_bytes().trim_ascii() != etag.as_bytes()) {
        return Wanted::Whole;
    }
    match range.to_str() {
        Ok(range) => parse(range, size),
        Err(_) => Wanted::Whole,
    }
}

fn parse(text: &str, size: u64) -> Wanted {
    let Some((unit, set)) = text.split_once('=') else {
        return Wanted::Whole;
    };
    // Empty elements of a list count for nothing (RFC 9110 section 5.6.1.2).
    let mut set = set.split(',').map(str::trim).filter(|one| !one.is_empty());
    let (Some(range), None) = (set.next(), set.next()) else {
        return Wanted::Whole;
    };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Wanted::Whole;
    }
    one(range, size).unwrap_or(Wanted::Whole)
}

/// `a-b`, `a-` or `-n`; `None` if it is none of these.
fn one(range: &str, size: u64) -> Option<Wanted> {
    let (first, last) = range.split_once('-')?;
    if first.is_empty() {
        return Some(match number(last)? {
            0 => Wanted::Unsatisfiable,
            // An empty part cannot be said in Content-Range.
            _ if size == 0 => Wanted::Whole,
            suffix => Wanted::Part(size.saturating_sub(suffix)..size),
        });
    }
    let first = number(first)?;
    let end = if last.is_empty() {
        size
    } else {
        let last = number(last)?;
        if last < first {
            return None;
        }
        last.saturating_add(1).min(size)
    };
    Some(if first < size {
        Wanted::Part(first..end)
    } else {
        Wanted::Unsatisfiable
    })
}

/// A number of digits; one that is too large for 64 bits is the largest, since no payload reaches it.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    const ETAG: &str = "\"tag\"";

    fn part(range: Range<u64>) -> Wanted {
        Wanted::Part(range)
    }

    #[test]
    fn one_range_of_bytes() {
        for (text, expected) in [
            ("bytes=0-0", part(0..1)),
            ("bytes=0-9", part(0..10)),
            ("bytes=2-4", part(2..5)),
            ("bytes=9-9", part(9..10)),
            ("bytes=5-", part(5..10)),
            ("bytes=0-", part(0..10)),
            ("bytes=-1", part(9..10)),
            ("bytes=-10", part(0..10)),
            ("bytes=-11", part(0..10)),
            ("bytes=5-99", part(5..10)),
            ("bytes=5-18446744073709551615", part(5..10)),
            ("bytes=5-18446744073709551616", part(5..10)),
            ("bytes=-99999999999999999999999", part(0..10)),
            ("Bytes=1-2", part(1..3)),
            ("bytes= 1-2 ", part(1..3)),
            ("bytes=,1-2,", part(1..3)),
            ("bytes=0000000000000000000000001-2", part(1..3)),
        ] {
            assert_eq!(parse(text, 10), expected, "{text}");
        }
    }

    #[test]
    fn bytes_that_are_not_there() {
        for text in [
            "bytes=10-",
            "bytes=10-10",
            "bytes=11-20",
            "bytes=-0",
            "bytes=18446744073709551616-",
            "bytes=18446744073709551615-18446744073709551615",
        ] {
            assert_eq!(parse(text, 10), Wanted::Unsatisfiable, "{text}");
        }
        assert_eq!(parse("bytes=0-0", 0), Wanted::Unsatisfiable);
        assert_eq!(parse("bytes=-5", 0), Wanted::Whole);
        let last = u64::MAX - 1;
        assert_eq!(parse("bytes=-1", u64::MAX), part(last..u64::MAX));
    }

    #[test]
    fn what_is_not_understood_is_the_whole() {
        for text in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=,",
            "bytes=a-b",
            "bytes=1",
            "bytes=4-2",
            "bytes=+1-2",
            "bytes=1-2-3",
            "bytes=1 - 2",
            "bytes=--1",
            "bytes=0-1,3-4",
            "bytes=0-1,x",
            "items=0-1",
            "0-1",
            "bytes=\u{661}-\u{662}",
        ] {
            assert_eq!(parse(text, 10), Wanted::Whole, "{text}");
        }
    }

    #[test]
    fn if_range_must_be_our_tag() {
        let headers = |range: &[&str], condition: Option<&str>| {
            let mut headers = HeaderMap::new();
            for range in range {
                headers.append(header::RANGE, range.parse().unwrap());
            }
            if let Some(condition) = condition {
                headers.insert(header::IF_RANGE, condition.parse().unwrap());
            }
            headers
        };
        let range = ["bytes=0-1"];
        for (ranges, condition, expected) in [
            (&range[..], None, part(0..2)),
            (&range, Some(ETAG), part(0..2)),
            (&range, Some("\"other\""), Wanted::Whole),
            (&range, Some("tag"), Wanted::Whole),
            (&range, Some("W/\"tag\""), Wanted::Whole),
            (&range, Some("*"), Wanted::Whole),
            (&range, Some("Tue, 15 Nov 1994 08:12:31 GMT"), Wanted::Whole),
            (&["bytes=0-1", "bytes=3-4"], None, Wanted::Whole),
            (&[], Some(ETAG), Wanted::Whole),
        ] {
            let headers = headers(ranges, condition);
            assert_eq!(wanted(&headers, 10, ETAG), expected, "{headers:?}");
        }
        let mut odd = HeaderMap::new();
        odd.insert(
            header::RANGE,
            HeaderValue::from_bytes(b"bytes=0-\xff").unwrap(),
        );
        assert_eq!(wanted(&odd, 10, ETAG), Wanted::Whole);
    }
}
