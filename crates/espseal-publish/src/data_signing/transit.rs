//! Data that is signed on its way from one file to another: little of it is in memory at a time.

use espseal_format::sha256::Sha256;
use espseal_format::signature_block::ImageDigests;
use espseal_format::units::Digest384;
use sha2::{Digest as _, Sha384};

use crate::blame::Blame;
use crate::files::{Draft, FileError, Input};
use crate::observer::{Observer, Stage};

/// The way of data from its file to the signed one.
#[derive(Debug)]
pub struct Transit<'a, O> {
    /// Where the data comes from.
    pub input: Input,
    /// Where it goes; the caller gives it its name when everything is there.
    pub output: &'a mut Draft,
    /// Who watches, and may interrupt.
    pub observer: &'a O,
}

impl<O: Observer> Transit<'_, O> {
    /// Copies everything but the last `held` bytes, which it returns, and shows `each` what passes.
    ///
    /// # Errors
    /// [`TransitError`].
    pub fn copy_but_last(
        &mut self,
        held: usize,
        mut each: impl FnMut(&[u8]),
    ) -> Result<Vec<u8>, TransitError> {
        let Self {
            input,
            output,
            observer,
        } = self;
        observer.begin(Stage::Signing, 0);
        input.read_but_last(held, |piece| {
            if observer.is_interrupted() {
                return Err(TransitError::Interrupted);
            }
            each(piece);
            Ok(output.put(piece)?)
        })
    }
}

/// Both digests of data that comes in pieces.
#[derive(Clone, Default)]
pub(super) struct Hasher {
    sha256: Sha256,
    sha384: Sha384,
    length: u64,
}

impl Hasher {
    /// Takes the next piece.
    pub(super) fn update(&mut self, piece: &[u8]) {
        self.sha256.update(piece);
        self.sha384.update(piece);
        self.length = self.length.saturating_add(piece.len() as u64);
    }

    /// Bytes so far.
    pub(super) const fn length(&self) -> u64 {
        self.length
    }

    /// The digests of all pieces.
    pub(super) fn finish(self) -> ImageDigests {
        ImageDigests {
            sha256: self.sha256.finish(),
            sha384: Digest384(self.sha384.finalize().into()),
        }
    }
}

/// Why data did not get from one file to the other.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransitError {
    /// The user interrupted the work.
    #[error("interrupted; nothing was written")]
    Interrupted,
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
}

impl TransitError {
    /// Who has to act.
    #[must_use]
    pub const fn blame(&self) -> Blame {
        match self {
            Self::Interrupted => Blame::Interrupted,
            Self::File(_) => Blame::Io,
        }
    }
}
