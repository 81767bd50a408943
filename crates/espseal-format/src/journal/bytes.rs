//! Little-endian fields, one after another.

use super::{Install, JournalError};
use crate::units::{Digest, Position};

/// Takes fields from the front of a slice that is long enough for all of them.
pub(super) struct Input<'a> {
    rest: &'a [u8],
    len: usize,
}

impl<'a> Input<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes,
            len: bytes.len(),
        }
    }

    /// Takes `N` bytes; zeros past the end, which a record of checked length does not reach.
    fn take<const N: usize>(&mut self) -> [u8; N] {
        match self.rest.split_first_chunk() {
            Some((bytes, rest)) => {
                self.rest = rest;
                *bytes
            }
            None => [0; N],
        }
    }

    pub(super) fn skip(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }

    pub(super) fn u8(&mut self) -> u8 {
        let [byte] = self.take();
        byte
    }

    pub(super) fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    pub(super) fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }

    pub(super) fn digest(&mut self) -> Digest {
        Digest(self.take())
    }

    pub(super) fn position(&mut self) -> Position {
        Position {
            generation: self.u32(),
            version: self.u64(),
        }
    }

    pub(super) fn install(&mut self) -> Install {
        Install {
            position: self.position(),
            manifest: self.digest(),
            plaintext: self.digest(),
        }
    }

    /// Refuses reserved bytes that are not zero.
    pub(super) fn reserved(&mut self, bytes: usize) -> Result<(), JournalError> {
        for _ in 0..bytes {
            let offset = self.len.saturating_sub(self.rest.len());
            match self.u8() {
                0 => {}
                found => return Err(JournalError::Reserved { offset, found }),
            }
        }
        Ok(())
    }
}

/// Puts fields to the front of a slice that is long enough for all of them.
pub(super) struct Output<'a> {
    rest: &'a mut [u8],
}

impl<'a> Output<'a> {
    pub(super) const fn new(bytes: &'a mut [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        if let Some((place, rest)) =
            core::mem::take(&mut self.rest).split_at_mut_checked(bytes.len())
        {
            place.copy_from_slice(bytes);
            self.rest = rest;
        }
    }

    pub(super) fn position(&mut self, position: Position) {
        self.bytes(&position.generation.to_le_bytes());
        self.bytes(&position.version.to_le_bytes());
    }

    pub(super) fn install(&mut self, install: &Install) {
        self.position(install.position);
        self.bytes(&install.manifest.0);
        self.bytes(&install.plaintext.0);
    }
}
