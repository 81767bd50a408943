//! Signature sector of secure boot v2: up to three blocks of 1216 bytes, rest 0xFF.
//!
//! The ROM ignores a block whose magic or CRC is wrong and looks at the next; so does this parser,
//! which says for each place what is there. The layouts are in [`RsaSignatureBlock`] and
//! [`EcdsaBlock`].
//!
//! Source: ESP-IDF `docs/en/security/secure-boot-v2.rst`, "Signature Block Format".

use core::fmt;

use crate::crc32;
use crate::sha384::Sha384;
use crate::units::{Digest, Digest384, SECTOR_SIZE};

mod ecdsa;
mod rsa;

pub use ecdsa::{Curve, EcdsaBlock, EcdsaP192Block, EcdsaP256Block, EcdsaP384Block, EcdsaParts};
pub use rsa::{RSA_LEN, RsaParts, RsaSignatureBlock};

/// First byte of a block.
pub const MAGIC: u8 = 0xE7;
/// Second byte of an RSA-3072 block.
pub const VERSION_RSA: u8 = 2;
/// Second byte of an ECDSA block.
pub const VERSION_ECDSA: u8 = 3;
/// Bytes of a block.
pub const BLOCK_LEN: usize = 1216;
/// Places for blocks in a sector.
pub const MAX_BLOCKS: usize = 3;
/// Where the CRC stands in a block: it covers the bytes before.
const CRC_OFFSET: usize = 1196;

const _: () = assert!(MAX_BLOCKS * BLOCK_LEN <= SECTOR_SIZE);

/// What stands in each of the three places of a signature sector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureSector<'a> {
    places: [Result<SignatureBlock<'a>, BlockError>; MAX_BLOCKS],
}

impl<'a> SignatureSector<'a> {
    /// Looks at the three places of a sector.
    #[must_use]
    pub fn parse(sector: &'a [u8; SECTOR_SIZE]) -> Self {
        let (blocks, _rest) = sector.as_chunks::<BLOCK_LEN>();
        let place = |index| match blocks.get(index) {
            Some(block) => SignatureBlock::parse(block),
            None => Err(BlockError::Absent),
        };
        Self {
            places: [place(0), place(1), place(2)],
        }
    }

    /// Returns the valid blocks with their place, in order.
    pub fn blocks(&self) -> impl Iterator<Item = (usize, SignatureBlock<'a>)> + '_ {
        self.places
            .iter()
            .enumerate()
            .filter_map(|(index, place)| Some((index, (*place).ok()?)))
    }

    /// Returns the valid RSA blocks with their place, in order.
    pub fn rsa_blocks(&self) -> impl Iterator<Item = (usize, &'a RsaSignatureBlock)> + '_ {
        self.blocks().filter_map(|(index, block)| match block {
            SignatureBlock::Rsa(block) => Some((index, block)),
            _ => None,
        })
    }

    /// Returns what stands in each place.
    pub const fn places(&self) -> &[Result<SignatureBlock<'a>, BlockError>; MAX_BLOCKS] {
        &self.places
    }

    /// Writes blocks into an otherwise erased sector.
    #[must_use]
    pub fn encode(blocks: [Option<SignatureBlock<'_>>; MAX_BLOCKS]) -> [u8; SECTOR_SIZE] {
        let mut sector = [0xFF; SECTOR_SIZE];
        let (places, _rest) = sector.as_chunks_mut::<BLOCK_LEN>();
        for (place, block) in places.iter_mut().zip(blocks) {
            if let Some(block) = block {
                *place = *block.as_bytes();
            }
        }
        sector
    }
}

/// A block with the right magic and CRC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SignatureBlock<'a> {
    /// RSA-3072-PSS.
    Rsa(&'a RsaSignatureBlock),
    /// ECDSA over P-192 with SHA-256.
    EcdsaP192(&'a EcdsaP192Block),
    /// ECDSA over P-256 with SHA-256.
    EcdsaP256(&'a EcdsaP256Block),
    /// ECDSA over P-384 with SHA-384.
    EcdsaP384(&'a EcdsaP384Block),
    /// A scheme that this version does not interpret; kept as it is.
    Unknown(&'a [u8; BLOCK_LEN]),
}

impl<'a> SignatureBlock<'a> {
    /// Parses one block.
    ///
    /// # Errors
    /// [`BlockError::Absent`] for erased flash, else what is wrong.
    pub fn parse(bytes: &'a [u8; BLOCK_LEN]) -> Result<Self, BlockError> {
        let [magic, version, ..] = *bytes;
        if magic != MAGIC {
            return Err(if bytes.iter().all(|byte| *byte == 0xFF) {
                BlockError::Absent
            } else {
                BlockError::Magic { found: magic }
            });
        }
        let block: &RsaSignatureBlock = zerocopy::transmute_ref!(bytes);
        let (computed, stored) = (crc_of(bytes), block.crc());
        if computed != stored {
            return Err(BlockError::Crc { computed, stored });
        }
        Ok(match version {
            VERSION_RSA => Self::Rsa(block),
            VERSION_ECDSA => match ecdsa::curve_of(bytes) {
                Some(Curve::P192) => Self::EcdsaP192(zerocopy::transmute_ref!(bytes)),
                Some(Curve::P256) => Self::EcdsaP256(zerocopy::transmute_ref!(bytes)),
                Some(Curve::P384) => Self::EcdsaP384(zerocopy::transmute_ref!(bytes)),
                None => Self::Unknown(bytes),
            },
            _ => Self::Unknown(bytes),
        })
    }

    /// Returns the block as stored.
    #[must_use]
    pub fn as_bytes(&self) -> &'a [u8; BLOCK_LEN] {
        match self {
            Self::Rsa(block) => zerocopy::transmute_ref!(*block),
            Self::EcdsaP192(block) => zerocopy::transmute_ref!(*block),
            Self::EcdsaP256(block) => zerocopy::transmute_ref!(*block),
            Self::EcdsaP384(block) => zerocopy::transmute_ref!(*block),
            Self::Unknown(bytes) => bytes,
        }
    }

    /// Returns the scheme; `None` when this version does not interpret it.
    #[must_use]
    pub const fn scheme(&self) -> Option<SignatureScheme> {
        Some(match self {
            Self::Rsa(_) => SignatureScheme::Rsa3072,
            Self::EcdsaP192(_) => SignatureScheme::Ecdsa(Curve::P192),
            Self::EcdsaP256(_) => SignatureScheme::Ecdsa(Curve::P256),
            Self::EcdsaP384(_) => SignatureScheme::Ecdsa(Curve::P384),
            Self::Unknown(_) => return None,
        })
    }

    /// Returns what eFuses hold of the public key; `None` when the scheme is not interpreted.
    #[must_use]
    pub fn key_digest(&self) -> Option<Digest> {
        Some(match self {
            Self::Rsa(block) => block.key_digest(),
            Self::EcdsaP192(block) => block.key_digest(),
            Self::EcdsaP256(block) => block.key_digest(),
            Self::EcdsaP384(block) => block.key_digest(),
            Self::Unknown(_) => return None,
        })
    }

    /// Returns the version byte.
    #[must_use]
    pub fn version(&self) -> u8 {
        let [_, version, ..] = *self.as_bytes();
        version
    }
}

/// How an image is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SignatureScheme {
    /// RSA-3072-PSS with SHA-256.
    Rsa3072,
    /// ECDSA, with SHA-256 up to P-256 and SHA-384 for P-384.
    Ecdsa(Curve),
}

impl fmt::Display for SignatureScheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rsa3072 => f.write_str("RSA-3072"),
            Self::Ecdsa(curve) => write!(f, "ECDSA {curve}"),
        }
    }
}

/// Both digests of the bytes in front of a signature sector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageDigests {
    /// For RSA-3072, P-192 and P-256.
    pub sha256: Digest,
    /// For P-384.
    pub sha384: Digest384,
}

impl ImageDigests {
    /// Hashes an image with its padding.
    #[must_use]
    pub fn of(image: &[u8]) -> Self {
        Self {
            sha256: Digest::of(image),
            sha384: {
                let mut hash = Sha384::new();
                hash.update(image);
                hash.finish()
            },
        }
    }
}

/// CRC-32 of everything before a block's CRC.
fn crc_of(bytes: &[u8; BLOCK_LEN]) -> u32 {
    crc32::from_zero(bytes.get(..CRC_OFFSET).unwrap_or_default())
}

/// Why a place of a signature sector holds no usable block. Offsets count from the block's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BlockError {
    /// Erased flash.
    Absent,
    /// The first byte is another.
    Magic {
        /// The byte.
        found: u8,
    },
    /// The CRC does not match.
    Crc {
        /// Over bytes 0..1196.
        computed: u32,
        /// In the block.
        stored: u32,
    },
    /// A valid block, but of another scheme than asked for.
    Scheme {
        /// The version byte.
        found: u8,
    },
}

impl fmt::Display for BlockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("no signature block here: the flash is erased"),
            Self::Magic { found } => write!(
                f,
                "no signature block: magic byte at offset 0x0 is {found:#04x}, expected {MAGIC:#04x}; is the image signed for secure boot v2?"
            ),
            Self::Crc { computed, stored } => write!(
                f,
                "crc of the signature block at offset 0x4ac is {stored:#010x}, the block gives {computed:#010x}; sign the image again"
            ),
            Self::Scheme { found } => write!(
                f,
                "version at offset 0x1 of the signature block is {found}, expected {VERSION_RSA} (RSA-3072)"
            ),
        }
    }
}

impl core::error::Error for BlockError {}

#[cfg(test)]
mod tests;
