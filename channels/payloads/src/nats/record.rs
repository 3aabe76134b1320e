//! The subjects of a payload, and the record that makes it one.

use serde::{Deserialize, Serialize};
use towpath_event::{Digest, PayloadId};

/// Subjects of one installation begin with this: `<bucket>.<store id>`.
#[derive(Debug, Clone)]
pub(super) struct Subjects(String);

/// What a subject is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// A chunk, by its number.
    Chunk(u64),
    /// The record of a payload.
    Record,
    /// Another payload has its bytes here.
    Link(PayloadId),
}

/// The record of a payload. Once it is stored the payload is complete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// Its length in bytes.
    pub(super) size: u64,
    /// Its digest as text, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    /// Bytes of every chunk but the last.
    pub(super) chunk: u64,
    /// The payload whose chunks hold its bytes.
    bytes: String,
}

impl Subjects {
    pub(super) fn new(bucket: &str, store_id: &str) -> Self {
        Self(format!("{bucket}.{store_id}"))
    }

    pub(super) fn of(&self, id: PayloadId, role: Role) -> String {
        let Self(prefix) = self;
        match role {
            Role::Chunk(number) => format!("{prefix}.{id}.c.{number}"),
            Role::Record => format!("{prefix}.{id}.record"),
            Role::Link(other) => format!("{prefix}.{id}.link.{other}"),
        }
    }

    /// A filter: all of one payload's.
    pub(super) fn all_of(&self, id: PayloadId) -> String {
        format!("{}.{id}.>", self.0)
    }

    /// A filter: the links to one payload's chunks.
    pub(super) fn links_to(&self, id: PayloadId) -> String {
        format!("{}.{id}.link.*", self.0)
    }

    /// A filter: everything.
    pub(super) fn all(&self) -> String {
        format!("{}.>", self.0)
    }

    /// Whose subject this is, and what for; `None` if it is none of ours.
    pub(super) fn parse(&self, subject: &str) -> Option<(PayloadId, Role)> {
        let rest = subject.strip_prefix(self.0.as_str())?.strip_prefix('.')?;
        let (id, role) = rest.split_once('.')?;
        let role = match role.split_once('.') {
            None if role == "record" => Role::Record,
            Some(("c", number)) => Role::Chunk(number.parse().ok()?),
            Some(("link", other)) => Role::Link(other.parse().ok()?),
            None | Some(_) => return None,
        };
        Some((id.parse().ok()?, role))
    }
}

impl Record {
    pub(super) fn new(size: u64, digest: Option<Digest>, chunk: u64, bytes: PayloadId) -> Self {
        Self {
            size,
            digest: digest.map(|digest| digest.to_string()),
            chunk,
            bytes: bytes.to_string(),
        }
    }

    /// Its text, and the payload whose chunks hold the bytes.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub(super) fn parse(text: &[u8]) -> Result<(Self, PayloadId), String> {
        let record: Self = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        let bytes = record.bytes.parse();
        let bytes = bytes.map_err(|error: towpath_event::InvalidClaim| error.to_string())?;
        if record.chunk == 0 && record.size > 0 {
            return Err("chunks of 0 bytes".into());
        }
        Ok((record, bytes))
    }

    pub(super) fn to_text(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_survive_and_others_are_passed_over() {
        let subjects = Subjects::new("bucket", "store");
        let [id, other] = [1, 2].map(|n| PayloadId::from_bytes([n; 16]));
        for role in [
            Role::Chunk(0),
            Role::Chunk(u64::MAX),
            Role::Record,
            Role::Link(other),
        ] {
            let subject = subjects.of(id, role);
            assert_eq!(subjects.parse(&subject), Some((id, role)), "{subject}");
        }
        for alien in [
            String::new(),
            "bucket.store".into(),
            format!("bucket.stores.{id}.record"),
            format!("bucket.store.{id}"),
            format!("bucket.store.{id}.records"),
            format!("bucket.store.{id}.c.x"),
            format!("bucket.store.{id}.link.x"),
            "bucket.store.x.record".into(),
        ] {
            assert_eq!(subjects.parse(&alien), None, "{alien}");
        }
    }

    #[test]
    fn a_record_survives_its_text_and_nonsense_is_refused() {
        let id = PayloadId::from_bytes([3; 16]);
        for digest in [None, Some(Digest::from_bytes([4; 32]))] {
            let record = Record::new(5, digest, 4096, id);
            let text = record.to_text().unwrap();
            assert_eq!(Record::parse(&text), Ok((record, id)));
        }
        let none = Record::new(1, None, 0, id).to_text().unwrap();
        for text in [&b""[..], b"{}", b"[]", &none] {
            Record::parse(text).unwrap_err();
        }
        let alien = br#"{"size":1,"chunk":4096,"bytes":"../x"}"#;
        assert!(Record::parse(alien).unwrap_err().contains("payload id"));
    }
}
