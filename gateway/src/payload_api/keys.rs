//! The keys that sign payload URLs: random, or from a text with one key a line.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;

/// The keys that sign payload URLs. The first signs, all verify: a new key is put before the old one, and the old one is
/// taken away when what it signed has expired.
pub(crate) struct Keys {
    signing: hmac::Key,
    older: Vec<hmac::Key>,
}

/// Why there are no keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeysError {
    /// A line of the text is too short to be a key.
    #[error(
        "line {line}: the key has {bytes} bytes, fewer than {MIN_BYTES}; make one with `openssl rand -hex 32` (setting \
         payloads.keyFile)"
    )]
    Short {
        /// Its number, from 1.
        line: usize,
        /// Bytes of the key.
        bytes: usize,
    },
    /// Every request would try them all.
    #[error(
        "line {line}: a key after {MAX_KEYS}, the limit; remove those whose URLs have expired (setting payloads.keyFile)"
    )]
    TooMany {
        /// The number of the line, from 1.
        line: usize,
    },
    /// Only empty lines and comments.
    #[error(
        "there is no key; write one of at least {MIN_BYTES} bytes on a line of its own (setting payloads.keyFile)"
    )]
    None,
    /// The operating system gave no random bytes.
    #[error("no random key could be made; set payloads.keyFile instead")]
    NotRandom,
}

/// Shortest key, in bytes.
const MIN_BYTES: usize = 16;
/// Most keys.
const MAX_KEYS: usize = 16;

impl Keys {
    /// A random key, which nobody else knows.
    ///
    /// # Errors
    /// [`KeysError::NotRandom`].
    pub(crate) fn random() -> Result<Self, KeysError> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new());
        Ok(Self {
            signing: key.map_err(|_| KeysError::NotRandom)?,
            older: Vec::new(),
        })
    }

    /// The keys of `text`: one a line, each of at least 16 bytes, at most 16 keys. White space around a key is not part
    /// of it; empty lines and those that begin with `#` are skipped.
    ///
    /// # Errors
    /// [`KeysError`], with the number of the line. It shows nothing of the keys.
    pub(crate) fn parse(text: &str) -> Result<Self, KeysError> {
        let mut keys = Vec::new();
        for (line, key) in (1..).zip(text.lines().map(str::trim)) {
            if key.is_empty() || key.starts_with('#') {
                continue;
            }
            let bytes = key.len();
            if bytes < MIN_BYTES {
                return Err(KeysError::Short { line, bytes });
            }
            if keys.len() == MAX_KEYS {
                return Err(KeysError::TooMany { line });
            }
            keys.push(hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()));
        }
        let mut keys = keys.into_iter();
        Ok(Self {
            signing: keys.next().ok_or(KeysError::None)?,
            older: keys.collect(),
        })
    }

    /// What signs `text` for the use that `context` names: no two uses of the keys may have one context. 32 bytes.
    pub(crate) fn seal(&self, context: &[u8], text: &[u8]) -> hmac::Tag {
        seal(&self.signing, context, text)
    }

    /// Whether one of the keys sealed `text` so. Takes as long whatever differs.
    pub(crate) fn has_sealed(&self, context: &[u8], text: &[u8], tag: &[u8]) -> bool {
        let sealed = |key| verify_slices_are_equal(seal(key, context, text).as_ref(), tag).is_ok();
        self.verifying().any(sealed)
    }

    /// The key that signs.
    pub(super) fn signing(&self) -> &hmac::Key {
        &self.signing
    }

    /// The keys that verify, the one that signs first.
    pub(super) fn verifying(&self) -> impl Iterator<Item = &hmac::Key> {
        std::iter::once(&self.signing).chain(&self.older)
    }
}

fn seal(key: &hmac::Key, context: &[u8], text: &[u8]) -> hmac::Tag {
    let mut signing = hmac::Context::with_key(key);
    signing.update(context);
    signing.update(text);
    signing.sign()
}

/// How many; never the keys.
impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({})", 1 + self.older.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_key_a_line_with_comments() {
        let text = "# new\n  0123456789abcdef \r\n\n# old\nfedcba9876543210 with more\n";
        let keys = Keys::parse(text).unwrap();
        assert_eq!(keys.verifying().count(), 2);
        assert_eq!(format!("{keys:?}"), "Keys(2)");
    }

    #[test]
    fn errors_name_the_line_and_show_no_key() {
        let many = "0123456789abcdef\n".repeat(MAX_KEYS + 1);
        for (text, expected, says) in [
            ("", KeysError::None, "no key"),
            ("# only\n\n", KeysError::None, "16 bytes"),
            (
                "0123456789abcdef\n# x\nsecret\n",
                KeysError::Short { line: 3, bytes: 6 },
                "line 3: the key has 6 bytes",
            ),
            (&many, KeysError::TooMany { line: 17 }, "line 17"),
        ] {
            let error = Keys::parse(text).unwrap_err();
            assert_eq!(error, expected);
            let error = error.to_string();
            assert!(error.contains(says) && !error.contains("secret"), "{error}");
            assert!(error.contains("payloads.keyFile"), "{error}");
        }
        Keys::parse(&"0123456789abcdef\n".repeat(MAX_KEYS)).unwrap();
    }

    #[test]
    fn length_is_in_bytes() {
        Keys::parse(&"é".repeat(MIN_BYTES / 2)).unwrap();
        Keys::parse(&"e".repeat(MIN_BYTES - 1)).unwrap_err();
    }
}
