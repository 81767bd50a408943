//! Signature sector of secure boot v2: up to three blocks of 1216 bytes, rest 0xFF.
//!
//! The ROM ignores a block whose magic or CRC is wrong and looks at the next; so does this parser,
//! which says for each place what is there.
//!
//! Source: ESP-IDF `docs/en/security/secure-boot-v2.rst`, "Signature Block Format".

use core::fmt;
use core::mem::offset_of;

use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::crc32;
use crate::units::{Digest, SECTOR_SIZE};

/// First byte of a block.
pub const MAGIC: u8 = 0xE7;
/// Second byte of an RSA-3072 block.
pub const VERSION_RSA: u8 = 2;
/// Bytes of a block.
pub const BLOCK_LEN: usize = 1216;
/// Places for blocks in a sector.
pub const MAX_BLOCKS: usize = 3;
/// Bytes of an RSA-3072 number.
pub const RSA_LEN: usize = 384;

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
            SignatureBlock::Unknown(_) => None,
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
    /// A scheme that this version does not interpret; kept as it is.
    Unknown(&'a [u8; BLOCK_LEN]),
}

impl<'a> SignatureBlock<'a> {
    /// Parses one block.
    ///
    /// # Errors
    /// [`BlockError::Absent`] for erased flash, else what is wrong.
    pub fn parse(bytes: &'a [u8; BLOCK_LEN]) -> Result<Self, BlockError> {
        let block: &RsaSignatureBlock = zerocopy::transmute_ref!(bytes);
        if block.magic != MAGIC {
            return Err(if bytes.iter().all(|byte| *byte == 0xFF) {
                BlockError::Absent
            } else {
                BlockError::Magic { found: block.magic }
            });
        }
        let (computed, stored) = (block.compute_crc(), block.crc.get());
        if computed != stored {
            return Err(BlockError::Crc { computed, stored });
        }
        Ok(match block.version {
            VERSION_RSA => Self::Rsa(block),
            _ => Self::Unknown(bytes),
        })
    }

    /// Returns the block as stored.
    #[must_use]
    pub fn as_bytes(&self) -> &'a [u8; BLOCK_LEN] {
        match self {
            Self::Rsa(block) => zerocopy::transmute_ref!(*block),
            Self::Unknown(bytes) => bytes,
        }
    }
}

/// An RSA-3072 block as stored: all big numbers are little-endian.
#[doc(alias = "ets_secure_boot_sig_block_t")]
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct RsaSignatureBlock {
    magic: u8,
    version: u8,
    reserved: [u8; 2],
    /// SHA-256 of everything before the sector.
    pub image_digest: [u8; 32],
    /// Modulus n.
    pub n: [u8; RSA_LEN],
    /// Exponent e.
    pub e: U32,
    /// R = 2^6144 mod n, for the Montgomery multiplier.
    pub r: [u8; RSA_LEN],
    /// M' = -n^-1 mod 2^32.
    pub m_prime: U32,
    /// PSS signature (SHA-256, MGF1, salt of 32 bytes).
    pub signature: [u8; RSA_LEN],
    crc: U32,
    padding: [u8; 16],
}

/// The parts of an RSA block that are not magic or CRC; big numbers little-endian.
#[derive(Clone, Copy, Debug)]
pub struct RsaParts {
    /// SHA-256 of everything before the sector.
    pub image_digest: Digest,
    /// Modulus n.
    pub n: [u8; RSA_LEN],
    /// Exponent e.
    pub e: u32,
    /// R = 2^6144 mod n.
    pub r: [u8; RSA_LEN],
    /// M' = -n^-1 mod 2^32.
    pub m_prime: u32,
    /// PSS signature.
    pub signature: [u8; RSA_LEN],
}

impl RsaSignatureBlock {
    /// Puts a block together and computes its CRC.
    #[must_use]
    pub fn new(parts: &RsaParts) -> Self {
        let mut block = Self {
            magic: MAGIC,
            version: VERSION_RSA,
            reserved: [0; 2],
            image_digest: parts.image_digest.0,
            n: parts.n,
            e: U32::new(parts.e),
            r: parts.r,
            m_prime: U32::new(parts.m_prime),
            signature: parts.signature,
            crc: U32::new(0),
            padding: [0; 16],
        };
        block.crc = U32::new(block.compute_crc());
        block
    }

    /// Parses one RSA block.
    ///
    /// Layout (1216 bytes): `0` magic, `1` version, `4..36` image digest, `36..420` n, `420..424`
    /// e, `424..808` R, `808..812` M', `812..1196` signature, `1196..1200` CRC-32 of the bytes
    /// before, `1200..1216` zeros.
    ///
    /// # Errors
    /// [`BlockError`], also for a valid block of another scheme.
    pub fn parse(bytes: &[u8; BLOCK_LEN]) -> Result<&Self, BlockError> {
        match SignatureBlock::parse(bytes)? {
            SignatureBlock::Rsa(block) => Ok(block),
            SignatureBlock::Unknown([_, version, ..]) => {
                Err(BlockError::Scheme { found: *version })
            }
        }
    }

    /// Returns the block as stored.
    #[must_use]
    pub fn encode(&self) -> [u8; BLOCK_LEN] {
        zerocopy::transmute!(*self)
    }

    /// Returns what eFuses hold of the public key: SHA-256 of n, e, R and M' as stored.
    #[must_use]
    pub fn key_digest(&self) -> Digest {
        let key = self.as_bytes().get(36..812).unwrap_or_default();
        Digest::of(key)
    }

    /// CRC of everything before the CRC.
    fn compute_crc(&self) -> u32 {
        crc32::from_zero(
            self.as_bytes()
                .get(..offset_of!(Self, crc))
                .unwrap_or_default(),
        )
    }
}

const _: () = {
    assert!(size_of::<RsaSignatureBlock>() == BLOCK_LEN);
    assert!(offset_of!(RsaSignatureBlock, image_digest) == 4);
    assert!(offset_of!(RsaSignatureBlock, n) == 36);
    assert!(offset_of!(RsaSignatureBlock, e) == 420);
    assert!(offset_of!(RsaSignatureBlock, r) == 424);
    assert!(offset_of!(RsaSignatureBlock, m_prime) == 808);
    assert!(offset_of!(RsaSignatureBlock, signature) == 812);
    assert!(offset_of!(RsaSignatureBlock, crc) == 1196);
    assert!(offset_of!(RsaSignatureBlock, padding) == 1200);
    assert!(MAX_BLOCKS * BLOCK_LEN <= SECTOR_SIZE);
};

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
mod tests {
    use super::*;

    fn block(fill: u8) -> RsaSignatureBlock {
        RsaSignatureBlock::new(&RsaParts {
            image_digest: Digest([fill; 32]),
            n: [fill; RSA_LEN],
            e: 65537,
            r: [!fill; RSA_LEN],
            m_prime: 0x1234_5678,
            signature: [fill; RSA_LEN],
        })
    }

    #[test]
    fn sector_round_trips_with_an_unknown_block_between_two_rsa_blocks() {
        let (first, third) = (block(1), block(3));
        let mut unknown = block(2);
        unknown.version = 3;
        unknown.crc = U32::new(unknown.compute_crc());
        let unknown = unknown.encode();
        let sector = SignatureSector::encode([
            Some(SignatureBlock::Rsa(&first)),
            Some(SignatureBlock::Unknown(&unknown)),
            Some(SignatureBlock::Rsa(&third)),
        ]);
        let read = SignatureSector::parse(&sector);
        assert_eq!(
            read.rsa_blocks().collect::<heapless::Vec<_, 3>>(),
            [(0, &first), (2, &third)]
        );
        assert_eq!(read.places()[1], Ok(SignatureBlock::Unknown(&unknown)));
        let again = SignatureSector::encode([0, 1, 2].map(|index| read.places()[index].ok()));
        assert_eq!(again, sector);
        assert_eq!(
            RsaSignatureBlock::parse(&unknown),
            Err(BlockError::Scheme { found: 3 })
        );
    }

    #[test]
    fn block_behind_a_broken_one_is_found() {
        let (first, second) = (block(1), block(2));
        let mut sector = SignatureSector::encode([
            Some(SignatureBlock::Rsa(&first)),
            Some(SignatureBlock::Rsa(&second)),
            None,
        ]);
        sector[100] ^= 1;
        let read = SignatureSector::parse(&sector);
        assert!(matches!(read.places()[0], Err(BlockError::Crc { .. })));
        assert_eq!(read.rsa_blocks().next(), Some((1, &second)));
        assert_eq!(read.places()[2], Err(BlockError::Absent));
    }

    #[test]
    fn every_flipped_bit_under_the_crc_is_noticed() {
        let good = block(0x5A).encode();
        for bit in 0..1200 * 8 {
            let mut bytes = good;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(SignatureBlock::parse(&bytes).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn key_digest_covers_key_fields_only() {
        let one = block(1);
        let mut other = one;
        other.signature = [9; RSA_LEN];
        other.image_digest = [9; 32];
        assert_eq!(one.key_digest(), other.key_digest());
        for change in [
            |block: &mut RsaSignatureBlock| block.n[0] ^= 1,
            |block: &mut RsaSignatureBlock| block.e = U32::new(3),
            |block: &mut RsaSignatureBlock| block.r[383] ^= 1,
            |block: &mut RsaSignatureBlock| block.m_prime = U32::new(0),
        ] {
            let mut changed = one;
            change(&mut changed);
            assert_ne!(one.key_digest(), changed.key_digest());
        }
    }
}
