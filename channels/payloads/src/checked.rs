//! A reader whose bytes are checked: exactly as many as asked for, and the digest of the whole.

use std::task::{Context, Poll, ready};

use aws_lc_rs::digest::{Context as Hash, SHA256};
use bytes::Bytes;
use towpath_event::{Digest, Read, ReadError};

/// Passes on what `inner` gives, and holds back the last bytes until all of them are known to be right: whoever got
/// them all got the bytes that were stored.
pub(crate) struct Checked {
    inner: Box<dyn Read>,
    left: u64,
    digest: Option<(Digest, Hash)>,
    failed: bool,
}

impl Checked {
    /// A reader of exactly `length` bytes. `digest`: of all these bytes, if they are the whole payload and it has one.
    pub(crate) fn new(inner: Box<dyn Read>, length: u64, digest: Option<Digest>) -> Self {
        Self {
            inner,
            left: length,
            digest: digest.map(|digest| (digest, Hash::new(&SHA256))),
            failed: false,
        }
    }

    fn take(&mut self, chunk: Bytes) -> Result<Bytes, ReadError> {
        let len = chunk.len() as u64;
        let Some(left) = self.left.checked_sub(len) else {
            let text = format!("{} bytes more than there should be", len - self.left);
            return Err(ReadError::Damaged(text.into()));
        };
        self.left = left;
        if let Some((_, hash)) = &mut self.digest {
            hash.update(&chunk);
        }
        if left == 0 {
            self.compare()?;
        }
        Ok(chunk)
    }

    fn compare(&mut self) -> Result<(), ReadError> {
        let Some((expected, hash)) = self.digest.take() else {
            return Ok(());
        };
        let found = hash.finish();
        let found = found.as_ref().try_into().map(Digest::from_bytes).ok();
        if found == Some(expected) {
            return Ok(());
        }
        let text = format!("its sha256 is not {expected}");
        Err(ReadError::Damaged(text.into()))
    }
}

impl Read for Checked {
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, ReadError>>> {
        if self.failed {
            return Poll::Ready(None);
        }
        let checked = match ready!(self.inner.poll_chunk(cx)) {
            Some(Ok(chunk)) => self.take(chunk),
            Some(Err(error)) => Err(error),
            None if self.left > 0 => {
                let text = format!("it ends {} bytes before its end", self.left);
                Err(ReadError::Damaged(text.into()))
            }
            // Nothing came at all, so that nothing was compared yet.
            None => match self.compare() {
                Ok(()) => return Poll::Ready(None),
                Err(error) => Err(error),
            },
        };
        self.failed = checked.is_err();
        Poll::Ready(Some(checked))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use futures_util::future::poll_fn;

    struct Chunks(Vec<&'static str>);

    impl Read for Chunks {
        fn poll_chunk(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, ReadError>>> {
            let next = (!self.0.is_empty()).then(|| self.0.remove(0));
            Poll::Ready(next.map(|text| Ok(Bytes::from_static(text.as_bytes()))))
        }
    }

    /// What comes of these chunks: the text, and the error that ends it.
    fn read(
        chunks: &[&'static str],
        length: u64,
        digest: Option<Digest>,
    ) -> (String, Option<String>) {
        let mut reader = Checked::new(Box::new(Chunks(chunks.to_vec())), length, digest);
        let mut text = String::new();
        let mut error = None;
        while let Some(chunk) = poll_fn(|cx| reader.poll_chunk(cx)).now_or_never().unwrap() {
            match chunk {
                Ok(chunk) => text.push_str(std::str::from_utf8(&chunk).unwrap()),
                Err(found) => error = Some(found.to_string()),
            }
        }
        (text, error)
    }

    fn digest_of(text: &str) -> Digest {
        let digest = aws_lc_rs::digest::digest(&SHA256, text.as_bytes());
        Digest::from_bytes(digest.as_ref().try_into().unwrap())
    }

    #[test]
    fn what_is_right_passes() {
        let abc = Some(digest_of("abc"));
        assert_eq!(read(&["a", "bc"], 3, abc), ("abc".into(), None));
        assert_eq!(read(&["a", "bc"], 3, None), ("abc".into(), None));
        assert_eq!(read(&[], 0, Some(digest_of(""))), (String::new(), None));
    }

    #[test]
    fn the_last_bytes_of_what_is_wrong_do_not() {
        for (chunks, length, says) in [
            (vec!["a", "bd"], 3, "sha256"),
            (vec!["a", "bcd"], 3, "1 bytes more"),
            (vec!["a"], 3, "2 bytes before"),
            (vec![], 0, "sha256"),
        ] {
            let (text, error) = read(&chunks, length, Some(digest_of("abc")));
            assert!(text.len() < 3, "{text}");
            let error = error.expect("it is refused");
            assert!(error.contains(says), "{error}");
        }
    }
}
