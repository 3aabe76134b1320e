//! The claim check: what it takes to find a payload again that was set aside (DESIGN sections 1 and 12).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Names a payload in a store: 16 random bytes, never used again. As text 32 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PayloadId([u8; 16]);

/// SHA-256 of a payload. As text 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

/// Where a payload rests.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Place {
    /// In the memory of this process: cannot be found from anywhere else.
    Memory,
    /// In the node store with this id.
    Node(Arc<str>),
    /// In the object store of this name.
    Object(Arc<str>),
    /// In this bucket of NATS.
    Nats(Arc<str>),
    /// In the memory or the directory of the gateway on this node.
    Gateway(Arc<str>),
}

/// What it takes to find a payload again.
///
/// Its text is the value of the header `towpath-claim`: `v1;<id>;<size>;<digest or nothing>;<place>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClaimCheck {
    /// Its name in the store.
    pub id: PayloadId,
    /// Its length in bytes.
    pub size: u64,
    /// Its digest, if one was asked for.
    pub digest: Option<Digest>,
    /// Where it is.
    pub place: Place,
}

/// Why a text is no claim check, no id, no digest or no place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {what}")]
pub struct InvalidClaim {
    text: Box<str>,
    what: &'static str,
}

/// Version of the text of a claim check.
const VERSION: &str = "v1";
/// What the name of a store may be made of, so that a claim needs no escapes.
const IN_STORE_NAMES: fn(char) -> bool = |c| c.is_ascii_alphanumeric() || "-_.".contains(c);
/// Longest name of a store.
const STORE_NAME: usize = 64;
/// Longest name of a node, as Kubernetes has it.
const NODE_NAME: usize = 253;

impl PayloadId {
    /// The id with these bytes. They must be random: an id is never used again.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl Digest {
    /// The digest with these bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for PayloadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PayloadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory"),
            Self::Node(store) => write!(f, "node:{store}"),
            Self::Object(store) => write!(f, "object:{store}"),
            Self::Nats(bucket) => write!(f, "nats:{bucket}"),
            Self::Gateway(node) => write!(f, "gateway:{node}"),
        }
    }
}

impl fmt::Display for ClaimCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            id,
            size,
            digest,
            place,
        } = self;
        write!(f, "{VERSION};{id};{size};")?;
        if let Some(digest) = digest {
            digest.fmt(f)?;
        }
        write!(f, ";{place}")
    }
}

impl FromStr for PayloadId {
    type Err = InvalidClaim;

    fn from_str(text: &str) -> Result<Self, InvalidClaim> {
        hex(text).map(Self).ok_or_else(|| {
            invalid(
                text,
                "a payload id: 32 hexadecimal digits, letters in lower case",
            )
        })
    }
}

impl FromStr for Digest {
    type Err = InvalidClaim;

    fn from_str(text: &str) -> Result<Self, InvalidClaim> {
        hex(text).map(Self).ok_or_else(|| {
            invalid(
                text,
                "a digest: 64 hexadecimal digits, letters in lower case",
            )
        })
    }
}

impl FromStr for Place {
    type Err = InvalidClaim;

    fn from_str(text: &str) -> Result<Self, InvalidClaim> {
        let place = match text.split_once(':') {
            None if text == "memory" => Some(Self::Memory),
            Some(("gateway", node)) if is_name(node, NODE_NAME) => Some(Self::Gateway(node.into())),
            Some((kind, name)) if is_store_name(name) => match kind {
                "node" => Some(Self::Node(name.into())),
                "object" => Some(Self::Object(name.into())),
                "nats" => Some(Self::Nats(name.into())),
                _ => None,
            },
            _ => None,
        };
        place.ok_or_else(|| {
            invalid(
                text,
                "the place of a payload: `memory`, `node:<store id>`, `object:<store>`, `nats:<bucket>` or `gateway:<node>`",
            )
        })
    }
}

impl FromStr for ClaimCheck {
    type Err = InvalidClaim;

    fn from_str(text: &str) -> Result<Self, InvalidClaim> {
        let parts: Vec<&str> = text.splitn(6, ';').collect();
        let &[VERSION, id, size, digest, place] = parts.as_slice() else {
            return Err(invalid(
                text,
                "a claim check: `v1;<id>;<size>;<digest>;<place>`",
            ));
        };
        let digits = !size.is_empty() && size.bytes().all(|byte| byte.is_ascii_digit());
        let size = size.parse().ok().filter(|_| digits);
        Ok(Self {
            id: id.parse()?,
            size: size.ok_or_else(|| invalid(text, "a claim check with a size in bytes"))?,
            digest: if digest.is_empty() {
                None
            } else {
                Some(digest.parse()?)
            },
            place: place.parse()?,
        })
    }
}

/// Whether `name` can name a store in a claim check: 1 to 64 letters, digits, `-`, `_` and `.`.
#[must_use]
pub fn is_store_name(name: &str) -> bool {
    is_name(name, STORE_NAME)
}

fn is_name(name: &str, longest: usize) -> bool {
    (1..=longest).contains(&name.len()) && name.chars().all(IN_STORE_NAMES)
}

fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let &[high, low] = pair else { return None };
        *byte = digit(high)? << 4 | digit(low)?;
    }
    Some(bytes)
}

fn invalid(text: &str, what: &'static str) -> InvalidClaim {
    let shown: String = text.chars().take(100).collect();
    InvalidClaim {
        text: shown.into(),
        what,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_check_survives_its_text() {
        let node = format!("gateway:{}", "n".repeat(NODE_NAME));
        let places = ["memory", "node:a-1", "object:main", "nats:towpath_payloads"];
        for place in places.into_iter().chain([&*node]) {
            for digest in [None, Some(Digest::from_bytes([0xab; 32]))] {
                let claim = ClaimCheck {
                    id: PayloadId::from_bytes([7; 16]),
                    size: 5_000_000_000,
                    digest,
                    place: place.parse().unwrap(),
                };
                let text = claim.to_string();
                assert!(text.len() < 400, "{text}");
                assert_eq!(text.parse(), Ok(claim), "{text}");
            }
        }
    }

    #[test]
    fn anything_else_is_refused_and_named() {
        let id = "07".repeat(16);
        for text in [
            String::new(),
            "v1".into(),
            format!("v2;{id};1;;memory"),
            format!("v1;{id};;;memory"),
            format!("v1;{id};+1;;memory"),
            format!("v1;{id};18446744073709551616;;memory"),
            format!(
                "v1;{}0;1;;memory",
                &id[1..].to_uppercase().replace('0', "A")
            ),
            format!("v1;{id};1;00;memory"),
            format!("v1;{id};1;;disk"),
            format!("v1;{id};1;;node:../../etc"),
            format!("v1;{id};1;;node:"),
            format!("v1;{id};1;;node:{}", "n".repeat(STORE_NAME + 1)),
            format!("v1;{id};1;;gateway:"),
            format!("v1;{id};1;;gateway:a/b"),
            format!("v1;{id};1;;gateway:{}", "n".repeat(NODE_NAME + 1)),
            format!("v1;{id};1;;memory;more"),
            format!("v1;é{};1;;memory", &id[2..]),
        ] {
            let error = text.parse::<ClaimCheck>().expect_err(&text);
            assert!(error.to_string().contains("is not"), "{error}");
        }
    }
}
