//! What a subscriber sees of a payload that it gets by reference, and what its answer makes of it.

use std::path::{Component, Path, PathBuf};

use towpath_event::{Attributes, Digest, Invalid, Value};
use url::Url;

/// The path of payload URLs, before the token.
pub(crate) const PATH: &str = "/-/payloads/";
/// Longest `dataref`, in bytes: what is added to an event is bounded (DESIGN section 5).
pub(crate) const MAX_DATAREF: usize = 256;
/// Longest base of payload URLs (setting payloads.url), in bytes, so that every URL is a `dataref`.
pub(crate) const MAX_BASE: usize = MAX_DATAREF - PATH.len() - super::token::MAX_TEXT;

const DATAREF: &str = "dataref";
const DATASIZE: &str = "datasize";
const DATADIGEST: &str = "datadigest";
/// The attributes that stand for a payload.
const OURS: [&str; 3] = [DATAREF, DATASIZE, DATADIGEST];

/// What a subscriber's answer does with a payload reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answered<'a> {
    /// It holds none of ours: its attributes stay as they are.
    Ordinary,
    /// It has data of its own, and a reference of ours that was only copied: [`strip`] makes it an ordinary reply.
    Strip,
    /// Its data is what this token stands for: a payload that was shown, or one that was uploaded.
    Reference(&'a str),
    /// Its data is this file, whose name lies beneath the shared directory. Whether the file does is for whoever
    /// opens it to see.
    File(PathBuf),
}

/// The URL under which `token` is served; `base` as for [`classify`].
pub(crate) fn url(base: &str, token: &str) -> String {
    format!("{base}{PATH}{token}")
}

/// Adds to the attributes of an event what stands for its payload: `dataref`, an URL of at most [`MAX_DATAREF`] bytes;
/// `datasize`, the length in decimal digits (text, since an integer attribute has 32 bits); and, if there is a digest,
/// `datadigest`, as `sha256:<64 hexadecimal digits>` (F4.8).
///
/// `false`, and nothing is changed, if the event cannot be shown so: it carries an attribute of such a name from its
/// producer (C9.2), has no room for more attributes, or the URL is too long. Then the subscriber gets its data.
#[must_use]
pub(crate) fn present(
    attributes: &mut Attributes,
    url: &str,
    size: u64,
    digest: Option<Digest>,
) -> bool {
    if url.len() > MAX_DATAREF || OURS.iter().any(|name| attributes.get(name).is_some()) {
        return false;
    }
    let add = |mut shown: Attributes| -> Result<Attributes, Invalid> {
        shown.set(DATAREF, Value::from(url))?;
        shown.set(DATASIZE, Value::from(size.to_string()))?;
        if let Some(digest) = digest {
            shown.set(DATADIGEST, Value::from(format!("sha256:{digest}")))?;
        }
        Ok(shown)
    };
    match add(attributes.clone()) {
        Ok(shown) => {
            *attributes = shown;
            true
        }
        Err(_) => false,
    }
}

/// What the event in an answer makes of a payload reference. `base` is where this gateway's payload URLs begin, without
/// a slash at its end; `shared` the directory that is shared with the subscriber, absolute.
///
/// A `dataref` is ours if it is one of these URLs, valid or not, or a `file:` URL (RFC 8089) of a name beneath `shared`.
/// Any other is the subscriber's own affair (C9.2).
pub(crate) fn classify<'a>(
    attributes: &'a Attributes,
    has_body: bool,
    base: &str,
    shared: Option<&Path>,
) -> Answered<'a> {
    let ours = attributes
        .get(DATAREF)
        .and_then(|dataref| token_of(dataref, base).or_else(|| file(dataref, shared?)));
    match ours {
        None => Answered::Ordinary,
        Some(_) if has_body => Answered::Strip,
        Some(answered) => answered,
    }
}

/// Takes away what stands for a payload.
pub(crate) fn strip(attributes: &mut Attributes) {
    for name in OURS {
        attributes.remove(name);
    }
}

/// Takes away from an answer what is left of the reference that its request showed: subscribers copy attributes, and a
/// `datasize` of other data would be wrong. `shown` are the attributes as the subscriber got them, after [`present`].
pub(crate) fn strip_copied(attributes: &mut Attributes, shown: &Attributes) {
    for name in OURS {
        if attributes.get(name).is_some() && attributes.get(name) == shown.get(name) {
            attributes.remove(name);
        }
    }
}

fn token_of<'a>(dataref: &'a str, base: &str) -> Option<Answered<'a>> {
    let token = dataref.strip_prefix(base)?.strip_prefix(PATH)?;
    Some(Answered::Reference(token))
}

fn file<'a>(dataref: &str, shared: &Path) -> Option<Answered<'a>> {
    let url = Url::parse(dataref).ok()?;
    // A file has neither; in a name they are percent-encoded.
    if url.scheme() != "file" || url.query().is_some() || url.fragment().is_some() {
        return None;
    }
    // Only of this host. Dot segments are resolved by now, but not those behind an encoded slash.
    let path = url.to_file_path().ok()?;
    let mut beneath = path.strip_prefix(shared).ok()?.components().peekable();
    let is_there = beneath.peek().is_some();
    let is_beneath = beneath.all(|part| matches!(part, Component::Normal(_)));
    (is_there && is_beneath).then_some(Answered::File(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use towpath_event::SpecVersion;

    const BASE: &str = "http://127.0.0.1:8080";
    const SHARED: &str = "/var/shared";

    fn attributes() -> Attributes {
        Attributes::new(SpecVersion::V10, "1", "/s", "t").unwrap()
    }

    fn with(dataref: &str) -> Attributes {
        attributes().with(DATAREF, dataref).unwrap()
    }

    fn answered(attributes: &Attributes, has_body: bool) -> Answered<'_> {
        classify(attributes, has_body, BASE, Some(Path::new(SHARED)))
    }

    #[test]
    fn f4_8_a_reference_comes_with_size_and_digest() {
        let mut shown = attributes();
        let digest = Digest::from_bytes([0xab; 32]);
        assert!(present(&mut shown, "http://a/b", u64::MAX, Some(digest)));
        let hex = "ab".repeat(32);
        for (name, value) in [
            (DATAREF, "http://a/b"),
            (DATASIZE, "18446744073709551615"),
            (DATADIGEST, &format!("sha256:{hex}")),
        ] {
            assert_eq!(shown.get(name), Some(value));
        }
        strip(&mut shown);
        assert_eq!(shown, attributes());
        assert!(present(&mut shown, "http://a/b", 1, None));
        assert_eq!(shown.get(DATADIGEST), None);
    }

    #[test]
    fn c9_2_a_producers_own_reference_is_not_touched() {
        for name in OURS {
            let own = attributes().with(name, "its own").unwrap();
            let mut shown = own.clone();
            assert!(!present(&mut shown, "http://a/b", 1, None));
            assert_eq!(shown, own);
        }
    }

    #[test]
    fn what_has_no_room_is_not_changed() {
        let mut full = attributes();
        // Room for two of the three.
        for i in 0..Attributes::MAX - 3 - 2 {
            full.set(&format!("x{i}"), Value::from("")).unwrap();
        }
        let before = full.clone();
        let digest = Some(Digest::from_bytes([1; 32]));
        assert!(!present(&mut full, "http://a/b", 1, digest));
        assert_eq!(full, before);
        assert!(present(&mut full, "http://a/b", 1, None));
        let mut long = attributes();
        assert!(!present(&mut long, &"u".repeat(MAX_DATAREF + 1), 1, None));
        assert_eq!(long, attributes());
    }

    #[test]
    fn an_answer_with_our_url_is_a_reference() {
        let ours = with(&url(BASE, "token"));
        assert_eq!(answered(&ours, false), Answered::Reference("token"));
        assert_eq!(answered(&ours, true), Answered::Strip);
        let cut = with(&url(BASE, ""));
        assert_eq!(answered(&cut, false), Answered::Reference(""));
    }

    #[test]
    fn c9_2_other_references_pass_untouched() {
        for dataref in [
            "http://127.0.0.1:80801/-/payloads/token",
            "http://127.0.0.1:8080/payloads/token",
            "https://127.0.0.1:8080/-/payloads/token",
            "http://elsewhere/-/payloads/token",
            "/-/payloads/token",
            "s3://bucket/key",
            "",
            "file:///etc/passwd",
            "file:///var/shared",
            "file:///var/shared/",
            "file:///var/shared2/a",
            "file:///var/shared/../../etc/passwd",
            "file:///var/shared/%2e%2e/a",
            "file:///var/shared/out/..%2f..%2f..%2fetc/passwd",
            "file:///var/shared/out/..%2Fa",
            "file://elsewhere/var/shared/a",
            "file:///var/shared/a?b",
            "file:///var/shared/a#b",
            "file:var",
            "file:",
            "/var/shared/a",
            "http://[",
        ] {
            let attributes = with(dataref);
            for has_body in [false, true] {
                let answered = answered(&attributes, has_body);
                assert_eq!(answered, Answered::Ordinary, "{dataref}");
            }
        }
        assert_eq!(answered(&attributes(), false), Answered::Ordinary);
        let sized = attributes().with(DATASIZE, "5").unwrap();
        assert_eq!(answered(&sized, true), Answered::Ordinary);
    }

    #[test]
    fn a_file_of_the_shared_directory() {
        for (dataref, path) in [
            ("file:///var/shared/out/a", "/var/shared/out/a"),
            ("file:/var/shared/a", "/var/shared/a"),
            ("file://localhost/var/shared/a", "/var/shared/a"),
            ("FILE:///var/shared/a", "/var/shared/a"),
            ("file:///var/shared/a%20b%25", "/var/shared/a b%"),
            ("file:///var/%73hared/%C3%A9", "/var/shared/\u{e9}"),
            ("file:///var/shared/out/../in/a", "/var/shared/in/a"),
            ("file:///var/shared/./a", "/var/shared/a"),
            ("file:///var/shared/a%3Fb", "/var/shared/a?b"),
        ] {
            let attributes = with(dataref);
            let expected = Answered::File(path.into());
            assert_eq!(answered(&attributes, false), expected, "{dataref}");
            assert_eq!(answered(&attributes, true), Answered::Strip, "{dataref}");
            let unshared = classify(&attributes, false, BASE, None);
            assert_eq!(unshared, Answered::Ordinary, "{dataref}");
        }
        let nul = with("file:///var/shared/a%00b");
        assert!(matches!(
            answered(&nul, false),
            Answered::File(_) | Answered::Ordinary
        ));
    }

    #[test]
    fn only_what_was_copied_is_taken_away() {
        let mut shown = attributes();
        assert!(present(&mut shown, "http://a/b", 7, None));
        let mut copied = attributes()
            .with(DATASIZE, "7")
            .and_then(|a| a.with(DATADIGEST, "own"))
            .unwrap();
        strip_copied(&mut copied, &shown);
        assert_eq!(copied, attributes().with(DATADIGEST, "own").unwrap());
        let own = attributes().with(DATASIZE, "8").unwrap();
        let mut kept = own.clone();
        strip_copied(&mut kept, &shown);
        strip_copied(&mut kept, &attributes());
        assert_eq!(kept, own);
    }
}
