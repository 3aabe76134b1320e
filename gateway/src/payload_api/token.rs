//! Payload URLs as tokens: what one allows, until when, and the signature that nobody else can make.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use towpath_event::{PayloadId, Place};

use super::keys::Keys;

/// What a payload URL allows its bearer (DESIGN section 12, F4.1).
///
/// Its text is 72 characters of base64url over 54 bytes (one of version, purpose and kind of place; 16 of id; 8 of size;
/// 8 of subscription; 5 of expiry; 16 of signature), then the name of the store as it is: such a name needs no
/// escapes in a URL, and 64 of them would be 86 characters in base64.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    /// What may be done.
    pub(crate) purpose: Purpose,
    /// The payload; for an upload the attempt that it belongs to.
    pub(crate) id: PayloadId,
    /// Where the payload rests; of no meaning for an upload. Its name is one that `is_store_name` takes.
    pub(crate) place: Place,
    /// Length of the payload in bytes; for an upload the most that may come.
    pub(crate) size: u64,
    /// Hash of the key of the subscription that it was made for, for logs.
    pub(crate) subscription: u64,
    /// From when on it is good for nothing. Whole seconds count, up to the year 36,000.
    pub(crate) expires: SystemTime,
}

/// What a payload URL is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To read a payload: GET and HEAD.
    Read,
    /// To leave the payload of a reply: PUT.
    Upload,
}

/// Why a token allows nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenError {
    /// It never was a token.
    #[error(
        "the path does not end in a token of a payload URL; use the URL that came with the event as it is"
    )]
    Malformed,
    /// Not one bit of it may be changed.
    #[error(
        "the payload URL was altered, or signed with a key that is not known here (setting payloads.keyFile); use the URL \
         that came with the event as it is"
    )]
    Signature,
    /// It was good once.
    #[error(
        "the payload URL expired {} s ago; every attempt to deliver the event carries a fresh one",
        since.as_secs()
    )]
    Expired {
        /// How long ago.
        since: Duration,
    },
}

/// Longest text of a token, in bytes.
pub(crate) const MAX_TEXT: usize = FIXED_TEXT + NAME;

const VERSION: u8 = 1;
/// Bytes of the signature: half of SHA-256, the least that RFC 2104 (section 5) advises, and more than can be guessed.
const MAC: usize = 16;
/// Characters before the name of the store. 54 bytes leave no bits over, so that a token has one text only.
const FIXED_TEXT: usize = 72;
/// Longest name of a store.
const NAME: usize = 64;
/// Largest number of seconds that is kept.
const SECONDS: u64 = (1 << 40) - 1;
/// Goes into the signature first: the keys are also used for other things, and what they sign there is no URL.
const CONTEXT: &[u8] = b"towpath payload url\0";

impl Keys {
    /// The text of `token`, at most [`MAX_TEXT`] bytes of `A-Z a-z 0-9 - _ .`.
    pub(crate) fn sign(&self, token: &Token) -> String {
        let (kind, name) = to_kind(&token.place);
        let purpose = match token.purpose {
            Purpose::Read => 0,
            Purpose::Upload => 1,
        };
        let since_epoch = token.expires.duration_since(UNIX_EPOCH).unwrap_or_default();
        let seconds = since_epoch.as_secs().min(SECONDS);
        let mut bytes = vec![VERSION << 4 | purpose << 2 | kind];
        bytes.extend_from_slice(token.id.as_bytes());
        bytes.extend_from_slice(&token.size.to_be_bytes());
        bytes.extend_from_slice(&token.subscription.to_be_bytes());
        let [_, _, _, seconds @ ..] = seconds.to_be_bytes();
        bytes.extend_from_slice(&seconds);
        let mac = mac(self.signing(), &bytes, name);
        bytes.extend_from_slice(&mac);
        let mut text = String::with_capacity(MAX_TEXT);
        URL_SAFE_NO_PAD.encode_string(&bytes, &mut text);
        text.push_str(name);
        text
    }

    /// What `text` allows at the time `now`.
    ///
    /// # Errors
    /// [`TokenError`]; whatever is changed in a text that [`sign`](Self::sign) made, as long as it is still of a token's
    /// letters and length, is [`TokenError::Signature`].
    pub(crate) fn verify(&self, text: &str, now: SystemTime) -> Result<Token, TokenError> {
        let (fixed, name) = text
            .split_at_checked(FIXED_TEXT)
            .filter(|(_, name)| name.len() <= NAME)
            .ok_or(TokenError::Malformed)?;
        let bytes = URL_SAFE_NO_PAD.decode(fixed);
        let bytes = bytes.map_err(|_| TokenError::Malformed)?;
        let (fields, signature) = bytes
            .split_last_chunk::<MAC>()
            .ok_or(TokenError::Malformed)?;
        let signed_with = |key| verify_slices_are_equal(&mac(key, fields, name), signature).is_ok();
        if !self.verifying().any(signed_with) {
            return Err(TokenError::Signature);
        }
        // Signed by us, but perhaps by another version.
        let token = read(fields, name).ok_or(TokenError::Malformed)?;
        match now.duration_since(token.expires) {
            Ok(since) => Err(TokenError::Expired { since }),
            Err(_) => Ok(token),
        }
    }
}

fn read(mut fields: &[u8], name: &str) -> Option<Token> {
    let [first] = take(&mut fields)?;
    if first >> 4 != VERSION {
        return None;
    }
    let token = Token {
        purpose: match first >> 2 & 0b11 {
            0 => Purpose::Read,
            1 => Purpose::Upload,
            _ => return None,
        },
        place: from_kind(first & 0b11, name)?,
        id: PayloadId::from_bytes(take(&mut fields)?),
        size: u64::from_be_bytes(take(&mut fields)?),
        subscription: u64::from_be_bytes(take(&mut fields)?),
        expires: {
            let [a, b, c, d, e] = take(&mut fields)?;
            let seconds = u64::from_be_bytes([0, 0, 0, a, b, c, d, e]);
            UNIX_EPOCH.checked_add(Duration::from_secs(seconds))?
        },
    };
    fields.is_empty().then_some(token)
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*first)
}

fn to_kind(place: &Place) -> (u8, &str) {
    match place {
        // What another gateway holds is found here by its id, as what is in memory is.
        Place::Memory | Place::Gateway(_) => (0, ""),
        Place::Node(name) => (1, name),
        Place::Object(name) => (2, name),
        Place::Nats(name) => (3, name),
    }
}

fn from_kind(kind: u8, name: &str) -> Option<Place> {
    let text = match kind {
        0 if name.is_empty() => "memory".into(),
        1 => format!("node:{name}"),
        2 => format!("object:{name}"),
        3 => format!("nats:{name}"),
        _ => return None,
    };
    text.parse().ok()
}

fn mac(key: &hmac::Key, fields: &[u8], name: &str) -> [u8; MAC] {
    let mut context = hmac::Context::with_key(key);
    // The fields have one length only, so that where the name begins needs no mark.
    [CONTEXT, fields, name.as_bytes()]
        .into_iter()
        .for_each(|part| context.update(part));
    let tag = context.sign();
    tag.as_ref().first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload_api::reference::{MAX_BASE, MAX_DATAREF, url};

    const EXPIRES: u64 = 1_800_000_000;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn token(purpose: Purpose, place: &str) -> Token {
        Token {
            purpose,
            id: PayloadId::from_bytes([0xa5; 16]),
            place: place.parse().unwrap(),
            size: 5_000_000_000,
            subscription: u64::MAX - 1,
            expires: at(EXPIRES),
        }
    }

    fn longest() -> Token {
        token(Purpose::Read, &format!("node:{}", "n".repeat(NAME)))
    }

    fn keys(text: &str) -> Keys {
        Keys::parse(text).unwrap()
    }

    #[test]
    fn a_token_survives_its_text() {
        let keys = Keys::random().unwrap();
        for purpose in [Purpose::Read, Purpose::Upload] {
            for place in [
                "memory",
                "node:a-1",
                "object:main",
                "nats:towpath_payloads.x",
            ] {
                for size in [0, 1, u64::MAX] {
                    let token = Token {
                        size,
                        ..token(purpose, place)
                    };
                    let text = keys.sign(&token);
                    assert_eq!(keys.verify(&text, at(EXPIRES - 1)), Ok(token), "{text}");
                }
            }
        }
    }

    #[test]
    fn f4_1_the_longest_url_is_a_dataref() {
        let text = Keys::random().unwrap().sign(&longest());
        assert_eq!(text.len(), MAX_TEXT);
        for base in [
            format!("http://{}", "h".repeat(100)),
            format!("https://{}", "h".repeat(100)),
            "b".repeat(MAX_BASE),
        ] {
            assert!(base.len() <= MAX_BASE);
            let url = url(&base, &text);
            assert!(url.len() <= MAX_DATAREF, "{} bytes: {url}", url.len());
        }
        let bytes = text.bytes();
        let mut others = bytes.filter(|b| !b.is_ascii_alphanumeric() && !b"-_.".contains(b));
        assert_eq!(others.next(), None, "a URL would need escapes: {text}");
    }

    #[test]
    fn whatever_is_altered_is_refused() {
        let keys = Keys::random().unwrap();
        let now = at(EXPIRES - 1);
        for token in [longest(), token(Purpose::Upload, "memory")] {
            let text = keys.sign(&token);
            for position in 0..text.len() {
                for letter in ["A", "z", "_"] {
                    let mut altered = text.clone();
                    altered.replace_range(position..=position, letter);
                    if altered != text {
                        let verified = keys.verify(&altered, now);
                        assert_eq!(verified, Err(TokenError::Signature), "{altered}");
                    }
                }
                let cut = keys.verify(&text[..position], now);
                let expected = if position < FIXED_TEXT {
                    TokenError::Malformed
                } else {
                    TokenError::Signature
                };
                assert_eq!(cut, Err(expected), "{position}");
            }
        }
        let text = keys.sign(&token(Purpose::Read, "node:a"));
        assert_eq!(
            keys.verify(&format!("{text}b"), now),
            Err(TokenError::Signature)
        );
        let other = Keys::random().unwrap();
        assert_eq!(other.verify(&text, now), Err(TokenError::Signature));
    }

    #[test]
    fn what_is_no_token_is_malformed() {
        let keys = Keys::random().unwrap();
        let text = keys.sign(&token(Purpose::Read, "memory"));
        for text in [
            String::new(),
            "abc".into(),
            "=".repeat(FIXED_TEXT),
            format!("{}é", &text[..FIXED_TEXT - 1]),
            format!("{text}/{}", "x".repeat(NAME)),
            format!("%{}", &text[1..]),
            format!("{}\0", &text[..FIXED_TEXT - 1]),
        ] {
            let verified = keys.verify(&text, at(0));
            assert_eq!(verified, Err(TokenError::Malformed), "{text}");
        }
    }

    #[test]
    fn it_expires() {
        let keys = Keys::random().unwrap();
        let text = keys.sign(&token(Purpose::Read, "memory"));
        keys.verify(&text, at(EXPIRES) - Duration::from_nanos(1))
            .unwrap();
        for (later, since) in [(0, 0), (3600, 3600)] {
            assert_eq!(
                keys.verify(&text, at(EXPIRES + later)),
                Err(TokenError::Expired {
                    since: Duration::from_secs(since)
                })
            );
        }
        let error = keys.verify(&text, at(EXPIRES + 7)).unwrap_err();
        assert!(error.to_string().contains("expired 7 s ago"), "{error}");
        let never = Token {
            expires: at(0) - Duration::from_secs(1),
            ..token(Purpose::Read, "memory")
        };
        assert!(keys.verify(&keys.sign(&never), at(1)).is_err());
    }

    #[test]
    fn a_key_that_became_second_still_verifies() {
        let (first, second) = ("the first key, 16+", "the second key, 16+");
        let old = keys(first).sign(&longest());
        let rotated = keys(&format!("{second}\n{first}\n"));
        assert_eq!(rotated.verify(&old, at(0)), Ok(longest()));
        let new = rotated.sign(&longest());
        assert_eq!(keys(second).verify(&new, at(0)), Ok(longest()));
        assert_eq!(keys(first).verify(&new, at(0)), Err(TokenError::Signature));
    }

    #[test]
    fn a_signed_token_of_another_version_is_not_guessed_at() {
        let keys = Keys::random().unwrap();
        for first in [
            VERSION << 4 | 2 << 2,
            VERSION << 4 | 0b11,
            (VERSION + 1) << 4,
        ] {
            let mut bytes = vec![first];
            bytes.resize(1 + 16 + 8 + 8 + 5, 0xff);
            let mac = mac(keys.signing(), &bytes, "");
            bytes.extend_from_slice(&mac);
            let text = URL_SAFE_NO_PAD.encode(&bytes);
            assert_eq!(keys.verify(&text, at(0)), Err(TokenError::Malformed));
        }
    }
}
