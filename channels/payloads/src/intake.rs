//! What comes in for a payload, checked against what was announced, and its digest.

use aws_lc_rs::digest::{Context, SHA256};
use towpath_event::Digest;

use crate::StoreError;

/// Counts the bytes of a payload that is being written.
pub(crate) struct Intake {
    announced: Option<u64>,
    came: u64,
    digest: Option<Context>,
}

impl Intake {
    /// `digest`: whether to make one. Hashing costs 0.5 ms of CPU for each MiB or so.
    pub(crate) fn new(announced: Option<u64>, digest: bool) -> Self {
        Self {
            announced,
            came: 0,
            digest: digest.then(|| Context::new(&SHA256)),
        }
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// [`StoreError::Length`] when more came than was announced.
    pub(crate) fn take(&mut self, chunk: &[u8]) -> Result<(), StoreError> {
        self.came += chunk.len() as u64;
        if let Some(announced) = self.announced.filter(|announced| self.came > *announced) {
            return Err(StoreError::Length {
                announced,
                came: self.came,
            });
        }
        if let Some(digest) = &mut self.digest {
            digest.update(chunk);
        }
        Ok(())
    }

    /// Bytes that came so far.
    pub(crate) fn came(&self) -> u64 {
        self.came
    }

    /// The end: the digest, if one is made.
    ///
    /// # Errors
    /// [`StoreError::Length`] when fewer came than were announced.
    pub(crate) fn end(&mut self) -> Result<Option<Digest>, StoreError> {
        let came = self.came;
        if let Some(announced) = self.announced.filter(|announced| came < *announced) {
            return Err(StoreError::Length { announced, came });
        }
        let digest = self.digest.take().map(Context::finish);
        Ok(digest.and_then(|digest| {
            let bytes = digest.as_ref().try_into().ok()?;
            Some(Digest::from_bytes(bytes))
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_announced_must_come_no_more_and_no_less() {
        let mut intake = Intake::new(Some(3), false);
        intake.take(b"ab").unwrap();
        let short = intake.end().unwrap_err();
        assert_eq!(
            short,
            StoreError::Length {
                announced: 3,
                came: 2
            }
        );
        intake.take(b"c").unwrap();
        assert_eq!(intake.end(), Ok(None));
        intake.take(b"d").unwrap_err();
        let mut open = Intake::new(None, false);
        open.take(b"anything").unwrap();
        assert_eq!((open.end(), open.came()), (Ok(None), 8));
    }

    #[test]
    fn the_digest_is_sha256_of_the_whole() {
        let mut intake = Intake::new(None, true);
        intake.take(b"a").unwrap();
        intake.take(b"bc").unwrap();
        let digest = intake.end().unwrap().unwrap();
        let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digest.to_string(), known);
    }
}
