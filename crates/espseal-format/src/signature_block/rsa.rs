//! The RSA-3072-PSS block.
//!
//! ```text
//!    0 E7 | 1 02 | 2..4 zeros | 4..36 SHA-256 of the image
//!   36..420 n | 420..424 e | 424..808 R | 808..812 M'            <- the public key
//!  812..1196 signature | 1196..1200 CRC-32 | 1200..1216 zeros
//! ```
//!
//! Source: ESP-IDF `docs/en/security/secure-boot-v2.rst`, "Content of a RSA Signature Block".

use core::mem::offset_of;

use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{BLOCK_LEN, BlockError, MAGIC, SignatureBlock, VERSION_RSA, crc_of};
use crate::units::Digest;

/// Bytes of an RSA-3072 number.
pub const RSA_LEN: usize = 384;

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
        block.crc = U32::new(crc_of(&block.encode()));
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
            other => Err(BlockError::Scheme {
                found: other.version(),
            }),
        }
    }

    /// Returns the stored CRC.
    pub(super) const fn crc(&self) -> u32 {
        self.crc.get()
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
}

const _: () = {
    assert!(size_of::<RsaSignatureBlock>() == BLOCK_LEN);
    assert!(offset_of!(RsaSignatureBlock, image_digest) == 4);
    assert!(offset_of!(RsaSignatureBlock, n) == 36);
    assert!(offset_of!(RsaSignatureBlock, e) == 420);
    assert!(offset_of!(RsaSignatureBlock, r) == 424);
    assert!(offset_of!(RsaSignatureBlock, m_prime) == 808);
    assert!(offset_of!(RsaSignatureBlock, signature) == 812);
    assert!(offset_of!(RsaSignatureBlock, crc) == super::CRC_OFFSET);
    assert!(offset_of!(RsaSignatureBlock, padding) == 1200);
};
