//! Signs any file for secure boot v2, as `espsecure sign-data --version 2` does: what is signed need not
//! be an image.
//!
//! ```text
//! data | FF up to 4 KB, unless told otherwise | signature sector: 1 to 3 blocks, FF
//! ```
//!
//! For apps and bootloaders, whose structure matters, see [`crate::image_signing`].
//!
//! Source: observed with espsecure 5.6.0.

use espseal_crypto::secure_boot::PublicKey;
use espseal_format::signature_block::{
    BLOCK_LEN, ImageDigests, MAX_BLOCKS, SignatureBlock, SignatureSector,
};
use espseal_format::units::SECTOR_SIZE;

use crate::blame::Blame;
use crate::keys::KeyError;
use crate::observer::Observer;
use crate::secure_boot_key::{Content, ImageSigner};

mod precalculated;
mod transit;
mod verification;

pub use precalculated::signature_from_file;
use transit::Hasher;
pub use transit::{Transit, TransitError};
pub use verification::{Place, SignedData, SignedDataError};

/// Whether data is filled up to a sector before it is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// With 0xFF, so that the signature sector is one of its own in flash.
    ToSector,
    /// Not at all.
    None,
}

/// What the data ends in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Itself, whatever it looks like: a signature sector is signed as data.
    Data,
    /// Perhaps a signature sector, whose signatures are kept.
    Signatures,
}

/// Data that is to be signed: its digests, with the signature blocks that it has so far.
#[derive(Debug)]
pub struct DataToSign {
    digests: ImageDigests,
    length: u64,
    padding: usize,
    blocks: Vec<[u8; BLOCK_LEN]>,
}

impl DataToSign {
    /// Takes data in memory that has no signature and is not padded any more.
    #[must_use]
    pub fn unsigned(content: &[u8]) -> Self {
        Self {
            digests: ImageDigests::of(content),
            length: content.len() as u64,
            padding: 0,
            blocks: Vec::new(),
        }
    }

    /// Takes data in memory and the signature sector behind it; keeps the valid blocks up to the first
    /// that is not.
    ///
    /// Neither the digests nor the signatures of these blocks are checked: see
    /// [`SignedData::parse`].
    #[must_use]
    pub fn signed(content: &[u8], sector: &[u8; SECTOR_SIZE]) -> Self {
        Self {
            blocks: leading_blocks(sector),
            ..Self::unsigned(content)
        }
    }

    /// Copies data to the file that it is signed in, with its padding and without its signature
    /// sector; the caller adds [`DataToSign::sector`].
    ///
    /// A sector at the end whose first block is not valid counts as data, as does one that does not
    /// stand on a sector's start.
    ///
    /// # Errors
    /// [`TransitError`].
    pub fn copy(
        transit: &mut Transit<'_, impl Observer>,
        ending: Ending,
        padding: Padding,
    ) -> Result<Self, TransitError> {
        let mut hasher = Hasher::default();
        let mut tail = transit.copy_but_last(SECTOR_SIZE, |piece| hasher.update(piece))?;
        let is_aligned = hasher.length().is_multiple_of(SECTOR_SIZE as u64);
        let blocks = match (ending, tail.first_chunk::<SECTOR_SIZE>()) {
            (Ending::Signatures, Some(sector)) if is_aligned => leading_blocks(sector),
            _ => Vec::new(),
        };
        let mut added = 0;
        if blocks.is_empty() {
            let length = tail.len();
            if padding == Padding::ToSector {
                // Where in its sector the tail begins.
                let start = hasher.length() % SECTOR_SIZE as u64;
                let end = length.saturating_add(usize::try_from(start).unwrap_or_default());
                added = end.next_multiple_of(SECTOR_SIZE).saturating_sub(end);
                tail.resize(length.saturating_add(added), 0xFF);
            }
            hasher.update(&tail);
            transit.output.put(&tail)?;
        }
        Ok(Self {
            length: hasher.length(),
            digests: hasher.finish(),
            padding: added,
            blocks,
        })
    }

    /// Number of signatures so far.
    #[must_use]
    pub fn signatures(&self) -> usize {
        self.blocks.len()
    }

    /// Number of bytes that are signed.
    #[must_use]
    pub const fn signed_len(&self) -> u64 {
        self.length
    }

    /// Number of bytes that were added as padding.
    #[must_use]
    pub const fn padding(&self) -> usize {
        self.padding
    }

    /// Adds a signature by each key over the data, which `content` is.
    ///
    /// # Errors
    /// [`DataError`]; then no signature was added.
    pub fn sign(
        &mut self,
        keys: &[&dyn ImageSigner],
        content: &mut dyn Content,
    ) -> Result<(), DataError> {
        self.check_room(keys.len())?;
        let blocks = keys
            .iter()
            .map(|key| key.sign_block_over(&self.digests, content));
        let blocks = blocks.collect::<Result<Vec<_>, _>>()?;
        self.blocks.extend(blocks);
        Ok(())
    }

    /// Adds signatures that were made elsewhere: big-endian, for ECDSA `r || s`.
    ///
    /// # Errors
    /// [`DataError`]; then no signature was added.
    pub fn add(&mut self, signatures: &[(PublicKey, Vec<u8>)]) -> Result<(), DataError> {
        if self.padding > 0 || !self.length.is_multiple_of(SECTOR_SIZE as u64) {
            let found = self.length.saturating_sub(self.padding as u64);
            return Err(DataError::NotAligned { found });
        }
        self.check_room(signatures.len())?;
        let blocks = signatures
            .iter()
            .zip(1..)
            .map(|((key, signature), number)| {
                key.build_block(&self.digests, signature)
                    .map_err(|_| DataError::ForeignSignature { number })
            });
        let blocks = blocks.collect::<Result<Vec<_>, _>>()?;
        self.blocks.extend(blocks);
        Ok(())
    }

    /// Returns the signature sector, which stands behind the data.
    #[must_use]
    pub fn sector(&self) -> [u8; SECTOR_SIZE] {
        let block = |index| SignatureBlock::parse(self.blocks.get(index)?).ok();
        SignatureSector::encode([block(0), block(1), block(2)])
    }

    fn check_room(&self, added: usize) -> Result<(), DataError> {
        let present = self.blocks.len();
        if added == 0 {
            return Err(DataError::NoSignature);
        }
        if present.saturating_add(added) > MAX_BLOCKS {
            return Err(DataError::TooManySignatures { present, added });
        }
        Ok(())
    }
}

/// The valid blocks of a sector up to the first place that holds none.
fn leading_blocks(sector: &[u8; SECTOR_SIZE]) -> Vec<[u8; BLOCK_LEN]> {
    SignatureSector::parse(sector)
        .places()
        .iter()
        .map_while(|place| match place {
            Ok(SignatureBlock::Unknown(_)) | Err(_) => None,
            Ok(block) => Some(*block.as_bytes()),
        })
        .collect()
}

/// Why data is not signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// There is nothing to sign with.
    #[error("no signature was asked for; name a signing key, or signatures with their public keys")]
    NoSignature,
    /// The sector has no room.
    #[error(
        "{present} signatures are there and {added} are to be added; expected at most {MAX_BLOCKS} \
         in all (an ESP32 or ESP32-C2 looks at the first only): sign the unsigned file again"
    )]
    TooManySignatures {
        /// Signatures in the file.
        present: usize,
        /// Signatures to add.
        added: usize,
    },
    /// Data with signatures made elsewhere is not padded any more.
    #[error(
        "{found} bytes; expected a multiple of {SECTOR_SIZE}, padded with 0xFF before it was signed \
         elsewhere"
    )]
    NotAligned {
        /// Length of the data.
        found: u64,
    },
    /// Signatures and public keys do not pair up.
    #[error("{signatures} signatures and {keys} public keys; expected one public key for each")]
    Unpaired {
        /// Signatures made elsewhere.
        signatures: usize,
        /// Public keys.
        keys: usize,
    },
    /// A signature made elsewhere does not verify.
    #[error(
        "signature {number} is not by its public key over this data with its padding; expected \
         RSASSA-PSS (SHA-256, salt of 32 bytes), or ECDSA in DER (SHA-256, for P-384 SHA-384)"
    )]
    ForeignSignature {
        /// Number of the signature, from 1.
        number: usize,
    },
    /// The key does not sign.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl DataError {
    /// Who has to act.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            Self::NoSignature | Self::Unpaired { .. } => Blame::Usage,
            Self::TooManySignatures { .. }
            | Self::NotAligned { .. }
            | Self::ForeignSignature { .. } => Blame::Refused,
            Self::Key(error) => error.blame(),
        }
    }
}
