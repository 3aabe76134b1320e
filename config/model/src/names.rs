//! Names and hosts that Knative derives from other names, and how close two words are.

use md5::{Digest, Md5};

/// The longest name of a Service, in bytes (a DNS label).
const LONGEST: usize = 63;
/// Hex digits of an MD5 digest.
const DIGEST: usize = 32;
/// What is left of a name beside the digest.
const HEAD: usize = LONGEST - DIGEST;

/// Name of a child object, as Knative's `kmeta.ChildName` makes it (C-rule A6.2): `parent` + `suffix` if that
/// has at most 63 bytes, else shortened and made unique by the MD5 of the parent.
///
/// Cuts at a character boundary, so that any text is safe; Kubernetes names are ASCII, where it makes no
/// difference.
#[must_use]
pub fn child_name(parent: &str, suffix: &str) -> String {
    if parent.len() + suffix.len() <= LONGEST {
        return format!("{parent}{suffix}");
    }
    if suffix.len() < HEAD {
        return format!(
            "{}{}{suffix}",
            cut(parent, HEAD - suffix.len()),
            md5_hex(parent)
        );
    }
    let mut name = format!(
        "{}{}",
        cut(parent, HEAD),
        md5_hex(&format!("{parent}{suffix}"))
    );
    name.push_str(cut(suffix, LONGEST.saturating_sub(name.len())));
    let end = name
        .trim_end_matches(|c: char| !c.is_ascii_alphanumeric())
        .len();
    name.truncate(end);
    name
}

/// The longest start of `text` of at most `bytes` bytes.
fn cut(text: &str, bytes: usize) -> &str {
    let end = text.floor_char_boundary(bytes);
    text.get(..end).unwrap_or(text)
}

fn md5_hex(text: &str) -> String {
    use std::fmt::Write;
    let mut hex = String::with_capacity(DIGEST);
    for byte in Md5::digest(text.as_bytes()) {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

/// Host of a Service in the cluster's DNS: `<service>.<namespace>.svc.<domain>`.
#[must_use]
pub fn service_host(service: &str, namespace: &str, domain: &str) -> String {
    format!("{service}.{namespace}.svc.{domain}")
}

/// The three forms in which clients write the host of a Service (C1.3), the longest last.
#[must_use]
pub fn host_forms(service: &str, namespace: &str, domain: &str) -> [String; 3] {
    [
        format!("{service}.{namespace}").to_ascii_lowercase(),
        format!("{service}.{namespace}.svc").to_ascii_lowercase(),
        service_host(service, namespace, domain).to_ascii_lowercase(),
    ]
}

/// Host as it is looked up: lower case, without a trailing dot (C1.3).
#[must_use]
pub fn normal_host(host: &str) -> String {
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

/// The known word that the user most likely meant, if one is close.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    /// Jaro-Winkler similarity from which a word counts as a typo of another: `subscribr` and `subscriber`
    /// are 0.98 apart, `spec` and `status` 0.6.
    const CLOSE: f64 = 0.86;
    let word = word.to_ascii_lowercase();
    known
        .into_iter()
        .map(|name| {
            (
                strsim::jaro_winkler(&word, &name.to_ascii_lowercase()),
                name,
            )
        })
        .filter(|(similarity, _)| *similarity >= CLOSE)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

/// Whether `name` is a DNS-1123 subdomain: what Kubernetes demands of most names.
pub(crate) fn is_subdomain(name: &str) -> bool {
    name.len() <= 253 && name.split('.').all(is_label)
}

/// Whether `name` is a DNS-1123 label: what Kubernetes demands of namespaces.
pub(crate) fn is_label(name: &str) -> bool {
    let bytes = name.as_bytes();
    let inner = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-';
    bytes.len() <= LONGEST
        && bytes.iter().all(inner)
        && bytes.first().is_some_and(|b| *b != b'-')
        && bytes.last().is_some_and(|b| *b != b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a6_2_child_name() {
        let long = "a".repeat(60);
        // md5 of sixty times `a`
        let digest = md5_hex(&long);
        let cases = [
            (
                "pipeline".to_owned(),
                "-kn-channel",
                "pipeline-kn-channel".to_owned(),
            ),
            (
                "a".repeat(52),
                "-kn-channel",
                format!("{}-kn-channel", "a".repeat(52)),
            ),
            (
                long.clone(),
                "-kn-channel",
                format!("{}{digest}-kn-channel", "a".repeat(20)),
            ),
        ];
        for (parent, suffix, expected) in cases {
            assert_eq!(child_name(&parent, suffix), expected);
            assert!(expected.len() <= 63);
        }
    }

    #[test]
    fn a6_2_long_suffix_hashes_both() {
        let suffix = format!("-{}", "s".repeat(40));
        let parent = "p".repeat(40);
        let digest = md5_hex(&format!("{parent}{suffix}"));
        assert_eq!(
            child_name(&parent, &suffix),
            format!("{}{digest}", "p".repeat(31))
        );
        // With 31 characters of suffix nothing would be left of the parent.
        let suffix = "-".repeat(30) + "s";
        let digest = md5_hex(&format!("{parent}{suffix}"));
        assert_eq!(
            child_name(&parent, &suffix),
            format!("{}{digest}", "p".repeat(31))
        );
        let short = "q".repeat(23);
        let name = child_name(&short, &suffix);
        assert!(
            name.starts_with(&short) && name.len() <= 63 && !name.ends_with('-'),
            "{name}"
        );
    }

    #[test]
    fn known_digest() {
        assert_eq!(md5_hex("abc"), "900150983cd24fb0d6963f7d28e17f72");
    }

    #[test]
    fn nearest_finds_typos_only() {
        assert_eq!(
            nearest("subscribr", ["channel", "subscriber", "reply"]),
            Some("subscriber")
        );
        assert_eq!(nearest("zebra", ["channel", "subscriber", "reply"]), None);
    }

    #[test]
    fn any_text_is_safe() {
        assert!(child_name(&"é".repeat(60), "-kn-channel").len() <= 63);
    }
}
