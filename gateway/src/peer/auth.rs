//! Who speaks at the internal port: a bearer token that only a gateway with the shared keys can make.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderValue;

use crate::payload_api::Keys;

/// Goes into the signature first: the keys sign payload URLs too, and no signature of one kind is good for the other.
const CONTEXT: &[u8] = b"towpath gateway token\0";
/// How far the clocks of two gateways may differ, with the time that a request takes to arrive.
pub(super) const LIFE: Duration = Duration::from_secs(60);
/// Longest name of a node, in bytes.
const NODE: usize = 253;
/// Characters of a signature: SHA-256 in hexadecimal digits.
const SIGNATURE: usize = 64;
const VERSION: &str = "v1";
const SCHEME: &str = "Bearer ";

/// Why a request is not from a gateway. For the log: the answer says only that it was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AuthError {
    /// There is no token.
    #[error("the request has no bearer token")]
    None,
    /// It is no token of ours.
    #[error("the token is not `v1.<node>.<seconds>.<signature>`")]
    Malformed,
    /// Nobody with our keys made it.
    #[error(
        "the token is forged, or signed with a key that is not known here; give every gateway the same keys (setting \
         payloads.keyFile)"
    )]
    Signature,
    /// It was made at another time than now.
    #[error(
        "the token is {seconds} s old, and at most {} s are allowed either way; set the clocks of both nodes",
        LIFE.as_secs()
    )]
    Time {
        /// Its age; negative if it is from the future.
        seconds: i64,
    },
}

/// The value of `Authorization` with which the gateway on `node` speaks at `now`: `v1.<node>.<unix seconds>.<HMAC-SHA256>`,
/// good for [`LIFE`] before and after. `None` if `node` is nothing that a header can hold.
pub(super) fn bearer(keys: &Keys, node: &str, now: SystemTime) -> Option<HeaderValue> {
    let mut text = format!("{SCHEME}{VERSION}.{node}.{}", seconds(now));
    let tag = keys.seal(CONTEXT, text.get(SCHEME.len()..)?.as_bytes());
    text.push('.');
    for byte in tag.as_ref() {
        // writing to a text does not fail
        let _ = write!(text, "{byte:02x}");
    }
    let mut value = HeaderValue::try_from(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// The node of the gateway that made the value of `Authorization`.
///
/// # Errors
/// [`AuthError`].
pub(super) fn verify<'a>(
    keys: &Keys,
    authorization: Option<&'a HeaderValue>,
    now: SystemTime,
) -> Result<&'a str, AuthError> {
    let text = authorization.ok_or(AuthError::None)?.to_str();
    let text = text.map_err(|_| AuthError::Malformed)?;
    let token = text.strip_prefix(SCHEME).ok_or(AuthError::None)?;
    let (signed, signature) = token.rsplit_once('.').ok_or(AuthError::Malformed)?;
    let (node, made) = parts(signed).ok_or(AuthError::Malformed)?;
    let tag = bytes(signature).ok_or(AuthError::Malformed)?;
    if !keys.has_sealed(CONTEXT, signed.as_bytes(), &tag) {
        return Err(AuthError::Signature);
    }
    let age = i64::try_from(seconds(now)).unwrap_or(i64::MAX);
    let age = age.saturating_sub_unsigned(made);
    if age.unsigned_abs() > LIFE.as_secs() {
        return Err(AuthError::Time { seconds: age });
    }
    Ok(node)
}

/// Node and seconds of what is signed. The name of a node may have dots.
fn parts(signed: &str) -> Option<(&str, u64)> {
    let rest = signed.strip_prefix(VERSION)?.strip_prefix('.')?;
    let (node, made) = rest.rsplit_once('.')?;
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let good = (1..=NODE).contains(&node.len())
        && node.bytes().all(is_name)
        && made.bytes().all(|byte| byte.is_ascii_digit());
    Some((node, made.parse().ok().filter(|_| good)?))
}

fn bytes(signature: &str) -> Option<[u8; SIGNATURE / 2]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; SIGNATURE / 2];
    if signature.len() != SIGNATURE {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(signature.as_bytes().chunks_exact(2)) {
        let &[high, low] = pair else { return None };
        *byte = digit(high)? << 4 | digit(low)?;
    }
    Some(bytes)
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_800_000_000);

    fn keys(text: &str) -> Keys {
        Keys::parse(text).unwrap()
    }

    fn now() -> SystemTime {
        UNIX_EPOCH + NOW
    }

    fn token(node: &str) -> HeaderValue {
        bearer(&keys("0123456789abcdef-first"), node, now()).unwrap()
    }

    #[test]
    fn any_of_the_keys_verifies_and_no_other() {
        let token = token("node-1.zone_a");
        for (text, expected) in [
            ("0123456789abcdef-first", Ok("node-1.zone_a")),
            (
                "0123456789abcdef-second\n0123456789abcdef-first",
                Ok("node-1.zone_a"),
            ),
            ("0123456789abcdef-second", Err(AuthError::Signature)),
        ] {
            assert_eq!(verify(&keys(text), Some(&token), now()), expected, "{text}");
        }
    }

    #[test]
    fn good_for_a_minute_either_way() {
        let (keys, token) = (keys("0123456789abcdef-first"), token("n"));
        let at = |seconds: i64| {
            let then = NOW.as_secs().saturating_add_signed(seconds);
            verify(&keys, Some(&token), UNIX_EPOCH + Duration::from_secs(then))
        };
        for seconds in [0, 60, -60] {
            assert_eq!(at(seconds), Ok("n"), "{seconds}");
        }
        for seconds in [61, -61, 1_000_000, -1_800_000_000] {
            assert_eq!(at(seconds), Err(AuthError::Time { seconds }));
        }
        assert!(verify(&keys, Some(&token), UNIX_EPOCH - NOW).is_err());
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let (keys, token) = (keys("0123456789abcdef-first"), token("n"));
        for position in 0..token.len() {
            let mut changed = token.as_bytes().to_vec();
            changed[position] ^= 1;
            if let Ok(changed) = HeaderValue::from_bytes(&changed) {
                assert!(verify(&keys, Some(&changed), now()).is_err(), "{changed:?}");
            }
        }
    }

    #[test]
    fn anything_else_is_refused() {
        let keys = keys("0123456789abcdef-first");
        let signature = "0".repeat(64);
        assert_eq!(verify(&keys, None, now()), Err(AuthError::None));
        for (text, expected) in [
            (String::new(), AuthError::None),
            ("Basic v1.n.1.00".into(), AuthError::None),
            ("Bearer ".into(), AuthError::Malformed),
            ("Bearer v1.n.1".into(), AuthError::Malformed),
            (format!("Bearer v2.n.1.{signature}"), AuthError::Malformed),
            (format!("Bearer v1..1.{signature}"), AuthError::Malformed),
            (format!("Bearer v1.n.+1.{signature}"), AuthError::Malformed),
            (format!("Bearer v1.n..{signature}"), AuthError::Malformed),
            (format!("Bearer v1.a/b.1.{signature}"), AuthError::Malformed),
            (
                format!("Bearer v1.{}.1.{signature}", "n".repeat(254)),
                AuthError::Malformed,
            ),
            (
                format!("Bearer v1.n.99999999999999999999.{signature}"),
                AuthError::Malformed,
            ),
            (
                format!("Bearer v1.n.1.{}", "F".repeat(64)),
                AuthError::Malformed,
            ),
            (format!("Bearer v1.n.1.{signature}"), AuthError::Signature),
        ] {
            let value = HeaderValue::try_from(&text).unwrap();
            assert_eq!(verify(&keys, Some(&value), now()), Err(expected), "{text}");
        }
    }
}
