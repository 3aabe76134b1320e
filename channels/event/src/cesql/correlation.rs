//! `KN_VERIFY_CORRELATION_ID`: whether an event is the reply that a RequestReply object waits for (B5.8).

use aws_lc_rs::aead::{Aad, LessSafeKey, NONCE_LEN, Nonce};
use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::Environment;

/// Which RequestReply object asks, and which of its pods.
pub(super) struct Expected<'a> {
    pub(super) name: &'a str,
    pub(super) namespace: &'a str,
    pub(super) secret: &'a str,
    pub(super) pod: i32,
    pub(super) replicas: i32,
}

/// Knative pads; who does not is understood too.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Whether `id` is `<original id>:<base64url of nonce and ciphertext of it>:<pod>`, for this pod, encrypted with one
/// of the object's keys. Anything else is no error but an event for someone else.
pub(super) fn verify(id: &str, expected: &Expected<'_>, environment: &Environment) -> bool {
    let mut parts = id.split(':');
    let (Some(original), Some(encrypted), Some(pod), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let to_this_pod = pod
        .parse::<i32>()
        .ok()
        .and_then(|pod| pod.checked_rem(expected.replicas))
        == Some(expected.pod);
    if !to_this_pod {
        return false;
    }
    let Ok(encrypted) = BASE64.decode(encrypted) else {
        return false;
    };
    let prefix = format!("{}.{}.", expected.namespace, expected.name);
    environment
        .keys(expected.secret, &prefix)
        .any(|key| decrypts(key, &encrypted, original))
}

fn decrypts(key: &LessSafeKey, encrypted: &[u8], original: &str) -> bool {
    let Some((nonce, text)) = encrypted.split_at_checked(NONCE_LEN) else {
        return false;
    };
    let Ok(nonce) = Nonce::try_assume_unique_for_key(nonce) else {
        return false;
    };
    let mut text = text.to_vec();
    key.open_in_place(nonce, Aad::empty(), &mut text)
        .is_ok_and(|text| text == original.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cesql::{EvalError, Expression, Value};
    use crate::{Attributes, SpecVersion};
    use aws_lc_rs::aead::{AES_256_GCM, UnboundKey};
    use rstest::rstest;

    const KEY: [u8; 32] = [7; 32];

    /// An id as Knative makes it.
    fn correlation_id(original: &str, key: &[u8], pod: &str) -> String {
        let nonce = [3; NONCE_LEN];
        let mut text = original.as_bytes().to_vec();
        LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).unwrap())
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut text)
            .unwrap();
        let encrypted =
            base64::engine::general_purpose::URL_SAFE.encode([&nonce[..], &text].concat());
        format!("{original}:{encrypted}:{pod}")
    }

    fn verified(id: &str) -> bool {
        let environment = Environment::default().with_secret(
            "keys",
            [
                ("ns.other.key", &[7; 32][..]),
                ("ns.name.short", &[7; 5]),
                ("ns.name.old", &[1; 16]),
                ("ns.name.key", &KEY),
            ],
        );
        let attributes = Attributes::new(SpecVersion::V10, "1", "/s", "t")
            .unwrap()
            .with("replyid", id)
            .unwrap();
        let expression =
            Expression::parse(r#"KN_VERIFY_CORRELATION_ID(replyid, "name", "ns", "keys", 1, 3)"#)
                .unwrap();
        let evaluated = expression.evaluate(&attributes, &environment);
        assert_eq!(evaluated.error, None);
        assert_eq!(
            evaluated.value,
            Value::Boolean(expression.matches(&attributes, &environment))
        );
        expression.matches(&attributes, &environment)
    }

    #[rstest]
    #[case("event-1", &KEY, "1", true)]
    #[case("event-1", &KEY, "4", true)]
    #[case("\u{e9}", &KEY, "1", true)]
    #[case("event-1", &KEY, "2", false)]
    #[case("event-1", &KEY, "-1", false)]
    #[case("event-1", &KEY, "one", false)]
    #[case("event-1", &[8; 32], "1", false)]
    #[case("with:colon", &KEY, "1", false)]
    fn b5_8_verifies(
        #[case] original: &str,
        #[case] key: &[u8],
        #[case] pod: &str,
        #[case] valid: bool,
    ) {
        assert_eq!(verified(&correlation_id(original, key, pod)), valid);
    }

    #[test]
    fn b5_8_what_is_no_correlation_id_is_not_valid() {
        let id = correlation_id("event-1", &KEY, "1");
        let parts: Vec<_> = id.split(':').collect();
        let [original, encrypted, pod] = parts[..] else {
            panic!("{id}")
        };
        assert!(verified(&format!(
            "{original}:{}:{pod}",
            encrypted.trim_end_matches('=')
        )));
        for id in [
            String::new(),
            "::1".to_owned(),
            format!("{original}:{encrypted}"),
            format!("other:{encrypted}:{pod}"),
            format!("{original}:AAAA:{pod}"),
            format!("{original}:***:{pod}"),
            format!("{id}:1"),
        ] {
            assert!(!verified(&id), "{id}");
        }
    }

    #[test]
    fn b5_8_without_secrets_or_replicas_nothing_is_valid() {
        let id = correlation_id("event-1", &KEY, "0");
        let of = |replicas| Expected {
            name: "name",
            namespace: "ns",
            secret: "keys",
            pod: 0,
            replicas,
        };
        let environment = Environment::default().with_secret("keys", [("ns.name.key", KEY)]);
        assert!(verify(&id, &of(1), &environment));
        assert!(!verify(&id, &of(0), &environment));
        assert!(!verify(&id, &of(1), &Environment::default()));
        let other = Environment::default().with_secret("keys", [("ns.names.key", KEY)]);
        assert!(!verify(&id, &of(1), &other), "another object's key");
        assert!(!format!("{environment:?}").contains('7'));
    }

    #[test]
    fn b5_8_a_missing_attribute_is_an_error() {
        let attributes = Attributes::new(SpecVersion::V10, "1", "/s", "t").unwrap();
        let expression =
            Expression::parse("kn_verify_correlation_id(replyid, 'n', 'ns', 's', 0, 1)").unwrap();
        let environment = Environment::default();
        let evaluated = expression.evaluate(&attributes, &environment);
        assert!(matches!(
            evaluated.error,
            Some(EvalError::MissingAttribute(_))
        ));
    }
}
