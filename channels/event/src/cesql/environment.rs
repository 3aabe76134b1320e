//! What an expression may use beside the event: secrets, for Knative's function that verifies correlation ids.

use std::collections::BTreeMap;
use std::fmt;

use aws_lc_rs::aead::{AES_128_GCM, AES_192_GCM, AES_256_GCM, LessSafeKey, UnboundKey};

/// What `KN_VERIFY_CORRELATION_ID` looks its keys up in (B5.8): secrets of the system namespace, by name. Empty by
/// default, and then no correlation id is valid.
#[derive(Default)]
pub struct Environment {
    secrets: BTreeMap<Box<str>, Vec<Key>>,
}

/// One entry of a secret, ready for use.
struct Key {
    name: Box<str>,
    key: LessSafeKey,
}

impl Environment {
    /// Adds a secret: the names and bytes of its keys, in place of those under the same name. AES keys have 16, 24
    /// or 32 bytes; entries of other lengths decrypt nothing and are left out.
    #[must_use]
    pub fn with_secret<N, B>(mut self, secret: &str, keys: impl IntoIterator<Item = (N, B)>) -> Self
    where
        N: Into<Box<str>>,
        B: AsRef<[u8]>,
    {
        let keys = keys.into_iter().filter_map(|(name, bytes)| {
            let name = name.into();
            let key = LessSafeKey::new(key(bytes.as_ref())?);
            Some(Key { name, key })
        });
        self.secrets.insert(secret.into(), keys.collect());
        self
    }

    /// The keys of `secret` whose names begin with `prefix`.
    pub(super) fn keys<'a>(
        &'a self,
        secret: &str,
        prefix: &'a str,
    ) -> impl Iterator<Item = &'a LessSafeKey> {
        let keys = self.secrets.get(secret).map_or(&[][..], Vec::as_slice);
        keys.iter()
            .filter(move |key| key.name.starts_with(prefix))
            .map(|key| &key.key)
    }
}

fn key(bytes: &[u8]) -> Option<UnboundKey> {
    let algorithm = match bytes.len() {
        16 => &AES_128_GCM,
        24 => &AES_192_GCM,
        32 => &AES_256_GCM,
        _ => return None,
    };
    UnboundKey::new(algorithm, bytes).ok()
}

/// Names only.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |keys: &Vec<Key>| keys.iter().map(|key| key.name.clone()).collect::<Vec<_>>();
        let secrets = self.secrets.iter().map(|(name, keys)| (name, names(keys)));
        f.debug_map().entries(secrets).finish()
    }
}
