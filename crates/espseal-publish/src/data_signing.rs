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
use crate::secure_boot_key::ImageSigner;

mod precalculated;
mod verification;

pub use precalculated::signature_from_file;
pub use verification::{Place, SignedData, SignedDataError};

/// Whether data is filled up to a sector before it is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// With 0xFF, so that the signature sector is one of its own in flash.
    ToSector,
    /// Not at all.
    None,
}

/// Data with the signature blocks that it has so far.
#[derive(Debug)]
pub struct DataToSign {
    content: Vec<u8>,
    digests: ImageDigests,
    padding: usize,
    blocks: Vec<[u8; BLOCK_LEN]>,
}

impl DataToSign {
    /// Takes data that has no signature.
    #[must_use]
    pub fn unsigned(mut data: Vec<u8>, padding: Padding) -> Self {
        let length = data.len();
        if padding == Padding::ToSector {
            data.resize(length.next_multiple_of(SECTOR_SIZE), 0xFF);
        }
        Self {
            digests: ImageDigests::of(&data),
            padding: data.len().saturating_sub(length),
            content: data,
            blocks: Vec::new(),
        }
    }

    /// Takes data that ends in a signature sector, and keeps the valid blocks up to the first that
    /// is not. Without any, the data counts as unsigned.
    ///
    /// Neither the digests nor the signatures of these blocks are checked: see
    /// [`SignedData::parse`].
    #[must_use]
    pub fn signed(mut data: Vec<u8>, padding: Padding) -> Self {
        let is_aligned = data.len().is_multiple_of(SECTOR_SIZE);
        let blocks = match data.last_chunk::<SECTOR_SIZE>() {
            Some(sector) if is_aligned => leading_blocks(sector),
            _ => Vec::new(),
        };
        if blocks.is_empty() {
            return Self::unsigned(data, padding);
        }
        data.truncate(data.len().saturating_sub(SECTOR_SIZE));
        Self {
            digests: ImageDigests::of(&data),
            padding: 0,
            content: data,
            blocks,
        }
    }

    /// Number of signatures so far.
    #[must_use]
    pub fn signatures(&self) -> usize {
        self.blocks.len()
    }

    /// Number of bytes that are signed.
    #[must_use]
    pub fn signed_len(&self) -> usize {
        self.content.len()
    }

    /// Number of bytes that were added as padding.
    #[must_use]
    pub const fn padding(&self) -> usize {
        self.padding
    }

    /// Adds a signature by each key.
    ///
    /// # Errors
    /// [`DataError`]; then no signature was added.
    pub fn sign(&mut self, keys: &[&dyn ImageSigner]) -> Result<(), DataError> {
        self.check_room(keys.len())?;
        let blocks = keys.iter().map(|key| key.sign_block(&self.digests));
        let blocks = blocks.collect::<Result<Vec<_>, _>>()?;
        self.blocks.extend(blocks);
        Ok(())
    }

    /// Adds signatures that were made elsewhere: big-endian, for ECDSA `r || s`.
    ///
    /// # Errors
    /// [`DataError`]; then no signature was added.
    pub fn add(&mut self, signatures: &[(PublicKey, Vec<u8>)]) -> Result<(), DataError> {
        if self.padding > 0 || !self.content.len().is_multiple_of(SECTOR_SIZE) {
            let found = self.content.len().saturating_sub(self.padding);
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

    /// Returns the signed file.
    #[must_use]
    pub fn encode(self) -> Vec<u8> {
        let block = |index| SignatureBlock::parse(self.blocks.get(index)?).ok();
        let sector = SignatureSector::encode([block(0), block(1), block(2)]);
        let mut file = self.content;
        file.extend_from_slice(&sector);
        file
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
        found: usize,
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
