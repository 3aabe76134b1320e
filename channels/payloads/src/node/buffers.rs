//! Buffers into which files are read: large and recycled while there are enough, small when there are not.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// Size of a large buffer, in bytes: a system call for this much costs little beside the copy.
pub(super) const LARGE: usize = 256 << 10;
/// Size of a small buffer. These are not counted: a reader holds one at a time.
const SMALL: usize = 16 << 10;
/// Large buffers at once, 32 MiB together: readers that do not take their bytes must not fill the memory.
const MOST: usize = (32 << 20) / LARGE;
/// Large buffers that wait to be used again, 4 MiB together: fresh pages cost more than the copy into them.
const IDLE: usize = (4 << 20) / LARGE;

/// The buffers of one store.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    idle: Vec<Box<[u8]>>,
    out: usize,
}

/// A buffer, which goes back when nobody has its bytes any more.
pub(super) struct Buffer {
    bytes: Box<[u8]>,
    used: usize,
    of: Option<Arc<Buffers>>,
}

impl Buffers {
    /// A buffer for at most `want` bytes.
    pub(super) fn take(self: &Arc<Self>, want: usize) -> Buffer {
        let large = (want > SMALL).then(|| self.large()).flatten();
        match large {
            Some(bytes) => Buffer {
                used: want.min(bytes.len()),
                bytes,
                of: Some(Arc::clone(self)),
            },
            None => Buffer {
                used: want.min(SMALL),
                bytes: vec![0; want.min(SMALL)].into(),
                of: None,
            },
        }
    }

    fn large(&self) -> Option<Box<[u8]>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.out >= MOST {
            return None;
        }
        state.out += 1;
        let idle = state.idle.pop();
        drop(state);
        Some(idle.unwrap_or_else(|| vec![0; LARGE].into()))
    }
}

impl Buffer {
    /// Where to read to.
    pub(super) fn space(&mut self) -> &mut [u8] {
        self.bytes.get_mut(..self.used).unwrap_or_default()
    }

    /// Its first `read` bytes.
    pub(super) fn freeze(mut self, read: usize) -> Bytes {
        self.used = self.used.min(read);
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(..self.used).unwrap_or_default()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let Some(of) = self.of.take() else { return };
        let mut state = of.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.out -= 1;
        if state.idle.len() < IDLE {
            state.idle.push(std::mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_ones_are_recycled_and_bounded() {
        let buffers = Arc::<Buffers>::default();
        let mut first = buffers.take(1 << 30);
        assert_eq!(first.space().len(), LARGE);
        first.space()[0] = 7;
        let at = first.as_ref().as_ptr();
        let bytes = first.freeze(1);
        assert_eq!(bytes, [7][..]);
        drop(bytes);
        assert_eq!(buffers.take(LARGE).as_ref().as_ptr(), at);

        let all: Vec<_> = (0..MOST).map(|_| buffers.take(LARGE)).collect();
        assert_eq!(
            buffers.take(LARGE).as_ref().len(),
            SMALL,
            "readers go on with less"
        );
        drop(all);
        assert_eq!(buffers.take(LARGE).as_ref().len(), LARGE);
        assert_eq!(buffers.state.lock().unwrap().idle.len(), IDLE);
        assert_eq!(buffers.take(10).as_ref().len(), 10);
    }
}
