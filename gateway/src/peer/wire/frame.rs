//! A head and data in one body: the head as names with values, each with its length before it, so that nothing needs an
//! escape and no limit of an HTTP implementation on headers applies.

use bytes::{BufMut, Bytes, BytesMut};

use super::WireError;

/// Longest head, in bytes. An event has at most 100 attributes, but a structured one may have long ones.
pub(in crate::peer) const MAX_HEAD: usize = 1 << 20;
/// Most entries of a head.
const MAX_ENTRIES: usize = 4096;
/// Bytes before the head: its length.
const LENGTH: usize = 4;

/// A head being written.
pub(super) struct Writer(BytesMut);

/// A head as it came.
pub(super) struct Head<'a>(Vec<(&'a str, &'a [u8])>);

impl Writer {
    pub(super) fn new() -> Self {
        let mut bytes = BytesMut::with_capacity(1024);
        bytes.put_u32(0);
        Self(bytes)
    }

    /// Adds an entry.
    ///
    /// # Errors
    /// [`WireError::Head`]: over [`MAX_HEAD`].
    pub(super) fn put(&mut self, name: &str, value: &[u8]) -> Result<(), WireError> {
        let bytes = self.0.len() + name.len() + value.len();
        let (Ok(name_len), Ok(value_len)) = (u16::try_from(name.len()), u32::try_from(value.len()))
        else {
            return Err(WireError::Head { bytes });
        };
        if bytes > MAX_HEAD {
            return Err(WireError::Head { bytes });
        }
        self.0.put_u16(name_len);
        self.0.put_u32(value_len);
        self.0.put_slice(name.as_bytes());
        self.0.put_slice(value);
        Ok(())
    }

    pub(super) fn put_text(
        &mut self,
        name: &str,
        value: impl std::fmt::Display,
    ) -> Result<(), WireError> {
        self.put(name, value.to_string().as_bytes())
    }

    /// The head with its length before it.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub(super) fn finish(mut self) -> Result<Bytes, WireError> {
        let bytes = self.0.len() - LENGTH;
        let length = u32::try_from(bytes).ok().filter(|_| bytes <= MAX_HEAD);
        let length = length.ok_or(WireError::Head { bytes })?;
        if let Some(first) = self.0.first_chunk_mut::<LENGTH>() {
            *first = length.to_be_bytes();
        }
        Ok(self.0.freeze())
    }
}

/// The head of `body`, and the data behind it.
///
/// # Errors
/// [`WireError::Head`] for a head over [`MAX_HEAD`], [`WireError::Broken`] for one that does not end where it should, has
/// over 4096 entries, or a name that is not UTF-8.
pub(super) fn split(body: &Bytes) -> Result<(Head<'_>, Bytes), WireError> {
    let (length, rest) = body
        .split_first_chunk::<LENGTH>()
        .ok_or(WireError::Broken)?;
    let bytes = u32::from_be_bytes(*length) as usize;
    if bytes > MAX_HEAD {
        return Err(WireError::Head { bytes });
    }
    let (mut head, _) = rest.split_at_checked(bytes).ok_or(WireError::Broken)?;
    let mut entries = Vec::with_capacity(32);
    while !head.is_empty() {
        if entries.len() == MAX_ENTRIES {
            return Err(WireError::Broken);
        }
        let name_len = u16::from_be_bytes(take(&mut head)?);
        let value_len = u32::from_be_bytes(take(&mut head)?);
        let (name, rest) = head
            .split_at_checked(usize::from(name_len))
            .ok_or(WireError::Broken)?;
        let (value, rest) = rest
            .split_at_checked(value_len as usize)
            .ok_or(WireError::Broken)?;
        let name = std::str::from_utf8(name).map_err(|_| WireError::Broken)?;
        entries.push((name, value));
        head = rest;
    }
    Ok((Head(entries), body.slice(LENGTH + bytes..)))
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], WireError> {
    let (first, rest) = bytes.split_first_chunk().ok_or(WireError::Broken)?;
    *bytes = rest;
    Ok(*first)
}

impl<'a> Head<'a> {
    /// Every entry, in order.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> + Clone {
        self.0.iter().copied()
    }

    /// The text of the first entry of this name; `None` if there is none.
    ///
    /// # Errors
    /// [`WireError::Value`]: it is not UTF-8.
    pub(super) fn text(&self, name: &'static str) -> Result<Option<&'a str>, WireError> {
        let mut entries = self.entries();
        let Some((_, value)) = entries.find(|(present, _)| *present == name) else {
            return Ok(None);
        };
        let text = std::str::from_utf8(value);
        text.map(Some).map_err(|_| WireError::Value(name))
    }

    /// As [`text`](Self::text), for an entry that must be there.
    ///
    /// # Errors
    /// Also [`WireError::Missing`].
    pub(super) fn required(&self, name: &'static str) -> Result<&'a str, WireError> {
        self.text(name)?.ok_or(WireError::Missing(name))
    }

    /// What the required text is, read by `parse`.
    ///
    /// # Errors
    /// Also [`WireError::Value`]: `parse` does not take it.
    pub(super) fn parsed<T>(
        &self,
        name: &'static str,
        parse: impl FnOnce(&'a str) -> Option<T>,
    ) -> Result<T, WireError> {
        parse(self.required(name)?).ok_or(WireError::Value(name))
    }
}
