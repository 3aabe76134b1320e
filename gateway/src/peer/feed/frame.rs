//! The load feed on the wire: frames of changes, in numbers of as few bytes as they need. Pure.
//!
//! A frame is its length and then its changes; one without changes says that the owner is alive. A change is a word and
//! the index of a replica: *name* adds its address, *load* the five numbers of a [`Feed`], *gone* nothing.

use std::net::SocketAddr;

use bytes::{Buf, Bytes, BytesMut};

use crate::routing::load::Feed;

/// What changed of one replica, which is named once and known by its index from then on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// This index stands for the replica at this address.
    Name(u32, SocketAddr),
    /// Its load.
    Load(u32, Feed),
    /// The owner tells no more of it.
    Gone(u32),
}

/// A feed is malformed, or of another version: the stream is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the load feed is malformed, or of another version of Towpath")]
pub(super) struct Malformed;

/// Longest frame, in bytes; about 30,000 replicas.
const MAX_FRAME: usize = 1 << 20;
/// Replicas that one stream tells of at most.
pub(super) const MAX_REPLICAS: u32 = 1 << 16;
/// Most bytes of a number of 64 bits, 7 of them in each.
const MAX_NUMBER: usize = 10;
/// Longest text of an address, in bytes: IPv6 with a scope and a port.
const MAX_ADDRESS: usize = 64;

const NAME: u64 = 0;
const LOAD: u64 = 1;
const GONE: u64 = 2;
/// Bits of an index that hold the word.
const WORD: u32 = 2;

/// A frame with these changes.
pub(super) fn frame(changes: &[Change]) -> Bytes {
    let mut body = Vec::with_capacity(changes.len() * 16);
    for change in changes {
        write_change(&mut body, change);
    }
    let mut frame = Vec::with_capacity(body.len() + MAX_NUMBER);
    write(&mut frame, body.len() as u64);
    frame.extend_from_slice(&body);
    frame.into()
}

fn write_change(body: &mut Vec<u8>, change: &Change) {
    let (word, index) = match change {
        Change::Name(index, _) => (NAME, *index),
        Change::Load(index, _) => (LOAD, *index),
        Change::Gone(index) => (GONE, *index),
    };
    write(body, u64::from(index) << WORD | word);
    match change {
        Change::Name(_, address) => {
            let text = address.to_string();
            write(body, text.len() as u64);
            body.extend_from_slice(text.as_bytes());
        }
        Change::Load(_, feed) => {
            let Feed {
                in_flight,
                yours,
                others_pulling_nanos,
                service_nanos,
                slots,
            } = *feed;
            write(body, in_flight.into());
            write(body, yours.into());
            write(body, others_pulling_nanos);
            write(body, service_nanos);
            write(body, slots.into());
        }
        Change::Gone(_) => {}
    }
}

fn write(bytes: &mut Vec<u8>, mut number: u64) {
    while number > 0x7f {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Bytes of a feed that came and are not used yet: at most one frame, and what came with its end.
#[derive(Debug, Default)]
pub(super) struct Reader(BytesMut);

impl Reader {
    /// Adds what came.
    pub(super) fn push(&mut self, chunk: &[u8]) {
        self.0.extend_from_slice(chunk);
    }

    /// The next whole frame; `None` until more comes.
    ///
    /// # Errors
    /// [`Malformed`], also for a frame over 1 MiB.
    pub(super) fn next(&mut self) -> Result<Option<Vec<Change>>, Malformed> {
        let mut rest = &self.0[..];
        let Some(length) = number(&mut rest)? else {
            return Ok(None);
        };
        let length = usize::try_from(length).map_err(|_| Malformed)?;
        if length > MAX_FRAME {
            return Err(Malformed);
        }
        let Some(mut body) = rest.get(..length) else {
            return Ok(None);
        };
        let used = self.0.len() - rest.len() + length;
        let mut changes = Vec::new();
        while !body.is_empty() {
            changes.push(change(&mut body)?);
        }
        self.0.advance(used);
        Ok(Some(changes))
    }
}

fn change(body: &mut &[u8]) -> Result<Change, Malformed> {
    let first: u64 = whole(body)?;
    let index = u32::try_from(first >> WORD).ok();
    let index = index.filter(|index| *index < MAX_REPLICAS);
    let index = index.ok_or(Malformed)?;
    match first & ((1 << WORD) - 1) {
        NAME => {
            let length: usize = whole(body)?;
            let (text, rest) = body
                .split_at_checked(length)
                .filter(|_| length <= MAX_ADDRESS)
                .ok_or(Malformed)?;
            *body = rest;
            let text = std::str::from_utf8(text).map_err(|_| Malformed)?;
            Ok(Change::Name(index, text.parse().map_err(|_| Malformed)?))
        }
        LOAD => {
            let feed = Feed {
                in_flight: whole(body)?,
                yours: whole(body)?,
                others_pulling_nanos: whole(body)?,
                service_nanos: whole(body)?,
                slots: whole(body)?,
            };
            Ok(Change::Load(index, feed))
        }
        GONE => Ok(Change::Gone(index)),
        _ => Err(Malformed),
    }
}

/// A number that must be there.
fn whole<T: TryFrom<u64>>(bytes: &mut &[u8]) -> Result<T, Malformed> {
    let number = number(bytes)?.ok_or(Malformed)?;
    T::try_from(number).map_err(|_| Malformed)
}

/// A number; `None` if not all of it is there.
fn number(bytes: &mut &[u8]) -> Result<Option<u64>, Malformed> {
    let mut value = 0u64;
    for (position, byte) in bytes.iter().enumerate().take(MAX_NUMBER) {
        let part = u64::from(byte & 0x7f);
        let shifted = part << (7 * position);
        // the tenth byte has one bit only
        if shifted >> (7 * position) != part {
            return Err(Malformed);
        }
        value |= shifted;
        if byte & 0x80 == 0 {
            *bytes = &bytes[position + 1..];
            return Ok(Some(value));
        }
    }
    if bytes.len() >= MAX_NUMBER {
        return Err(Malformed);
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn feed() -> impl Strategy<Value = Feed> {
        any::<(u32, u32, u64, u64, u32)>().prop_map(|numbers| Feed {
            in_flight: numbers.0,
            yours: numbers.1,
            others_pulling_nanos: numbers.2,
            service_nanos: numbers.3,
            slots: numbers.4,
        })
    }

    fn changes() -> impl Strategy<Value = Vec<Change>> {
        let index = 0..MAX_REPLICAS;
        let one = prop_oneof![
            (index.clone(), any::<SocketAddr>()).prop_map(|(index, mut address)| {
                if let SocketAddr::V6(address) = &mut address {
                    address.set_flowinfo(0);
                }
                Change::Name(index, address)
            }),
            (index.clone(), feed()).prop_map(|(index, feed)| Change::Load(index, feed)),
            index.prop_map(Change::Gone),
        ];
        prop::collection::vec(one, 0..40)
    }

    proptest! {
        #[test]
        fn frames_survive_however_they_are_cut(
            frames in prop::collection::vec(changes(), 1..4),
            piece in 1usize..200,
        ) {
            let bytes: Vec<u8> = frames.iter().flat_map(|changes| frame(changes)).collect();
            let (mut reader, mut read) = (Reader::default(), Vec::new());
            for chunk in bytes.chunks(piece) {
                reader.push(chunk);
                while let Some(changes) = reader.next().unwrap() {
                    read.push(changes);
                }
            }
            prop_assert_eq!(read, frames);
            prop_assert!(reader.0.is_empty());
        }

        #[test]
        fn no_input_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut reader = Reader::default();
            reader.push(&bytes);
            while let Ok(Some(_)) = reader.next() {}
        }
    }

    #[test]
    fn what_is_too_much_is_refused() {
        let over = |write_it: fn(&mut Vec<u8>)| {
            let mut bytes = Vec::new();
            write_it(&mut bytes);
            let mut reader = Reader::default();
            reader.push(&bytes);
            reader.next()
        };
        assert_eq!(over(|bytes| write(bytes, MAX_FRAME as u64)), Ok(None));
        assert_eq!(
            over(|bytes| write(bytes, MAX_FRAME as u64 + 1)),
            Err(Malformed)
        );
        assert_eq!(over(|bytes| bytes.extend([0xff; 10])), Err(Malformed));
        let gone = Change::Gone(MAX_REPLICAS);
        let mut reader = Reader::default();
        reader.push(&frame(&[gone]));
        assert_eq!(reader.next(), Err(Malformed));
        assert_eq!(frame(&[]), [0][..], "alive");
    }
}
