//! The ECDSA blocks: one layout for P-192 and P-256, another for P-384.
//!
//! ```text
//! P-192, P-256                              P-384
//!    0 E7 | 1 03 | 2..4 zeros                  0 E7 | 1 03 | 2 01 (SHA-384) | 3 zero
//!    4..36   SHA-256 of the image              4..52   SHA-384 of the image
//!   36       curve: 1 P-192, 2 P-256          52       curve: 3           <- the public key
//!   37..101  X, Y, little-endian              53..149  X, Y               <-
//!  101..165  r, s, little-endian             149..245  r, s
//!  165..1196 zeros                           245..1196 zeros
//! 1196..1200 CRC-32, 1200..1216 zeros       1196..1200 CRC-32, 1200..1216 zeros
//! ```
//!
//! P-192 numbers take 24 bytes each: Y follows X at once, s follows r, and 16 zeros follow each pair.
//!
//! Source: ESP-IDF `esp_rom/esp32c5/include/esp32c5/rom/secure_boot.h`; P-192 as espsecure 5.6.0
//! writes it.

use core::fmt;
use core::mem::offset_of;

use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{BLOCK_LEN, CRC_OFFSET, MAGIC, VERSION_ECDSA, crc_of};
pub use crate::chip::EcdsaCurve as Curve;
use crate::units::Digest;

impl Curve {
    /// Returns the number that stands in a block.
    #[must_use]
    pub const fn id(self) -> u8 {
        match self {
            Self::P192 => 1,
            Self::P256 => 2,
            Self::P384 => 3,
        }
    }

    /// Returns the bytes of a coordinate and of `r` and `s`.
    #[must_use]
    pub const fn number_len(self) -> usize {
        match self {
            Self::P192 => 24,
            Self::P256 => 32,
            Self::P384 => 48,
        }
    }

    /// The curve whose numbers have this length.
    const fn with_number_len(length: usize) -> Self {
        match length {
            24 => Self::P192,
            32 => Self::P256,
            _ => Self::P384,
        }
    }
}

impl fmt::Display for Curve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::P192 => "P-192",
            Self::P256 => "P-256",
            Self::P384 => "P-384",
        })
    }
}

/// An ECDSA block as stored, with `D` bytes of image digest and numbers of `N` bytes, little-endian.
///
/// `G` zeros follow each pair of numbers in the 32-byte fields of P-192; `R` zeros come before the CRC.
#[doc(alias = "ets_secure_boot_sig_block_t")]
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct EcdsaBlock<const D: usize, const N: usize, const G: usize, const R: usize> {
    magic: u8,
    version: u8,
    sha_version: u8,
    reserved: u8,
    /// SHA-256, for P-384 SHA-384, of everything before the sector.
    pub image_digest: [u8; D],
    curve: u8,
    /// X of the public key.
    pub x: [u8; N],
    /// Y of the public key.
    pub y: [u8; N],
    key_gap: [u8; G],
    /// First half of the signature.
    pub r: [u8; N],
    /// Second half of the signature.
    pub s: [u8; N],
    signature_gap: [u8; G],
    rest: [u8; R],
    crc: U32,
    padding: [u8; 16],
}

/// A P-192 block.
pub type EcdsaP192Block = EcdsaBlock<32, 24, 16, 1031>;
/// A P-256 block.
pub type EcdsaP256Block = EcdsaBlock<32, 32, 0, 1031>;
/// A P-384 block.
pub type EcdsaP384Block = EcdsaBlock<48, 48, 0, 951>;

/// The parts of an ECDSA block that are not fixed or CRC; numbers little-endian.
#[derive(Clone, Copy, Debug)]
pub struct EcdsaParts<const D: usize, const N: usize> {
    /// SHA-256, for P-384 SHA-384, of everything before the sector.
    pub image_digest: [u8; D],
    /// X of the public key.
    pub x: [u8; N],
    /// Y of the public key.
    pub y: [u8; N],
    /// First half of the signature.
    pub r: [u8; N],
    /// Second half of the signature.
    pub s: [u8; N],
}

impl<const D: usize, const N: usize, const G: usize, const R: usize> EcdsaBlock<D, N, G, R> {
    /// The curve of these blocks.
    pub const CURVE: Curve = Curve::with_number_len(N);
    /// Where curve, X and Y start.
    const KEY_OFFSET: usize = 4 + D;
    /// Where they end.
    const KEY_END: usize = Self::KEY_OFFSET + 1 + 2 * N + G;

    /// Puts a block together and computes its CRC.
    #[must_use]
    pub fn new(parts: &EcdsaParts<D, N>) -> Self {
        const {
            assert!(size_of::<Self>() == BLOCK_LEN);
            assert!(Self::KEY_END + 2 * N + G + R == CRC_OFFSET);
        }
        let mut block = Self {
            magic: MAGIC,
            version: VERSION_ECDSA,
            sha_version: sha_version(Self::CURVE),
            reserved: 0,
            image_digest: parts.image_digest,
            curve: Self::CURVE.id(),
            x: parts.x,
            y: parts.y,
            key_gap: [0; G],
            r: parts.r,
            s: parts.s,
            signature_gap: [0; G],
            rest: [0; R],
            crc: U32::new(0),
            padding: [0; 16],
        };
        block.crc = U32::new(crc_of(&block.encode()));
        block
    }

    /// Returns the block as stored.
    #[must_use]
    pub fn encode(&self) -> [u8; BLOCK_LEN] {
        let mut bytes = [0; BLOCK_LEN];
        let stored = self.as_bytes();
        bytes
            .iter_mut()
            .zip(stored)
            .for_each(|(to, from)| *to = *from);
        bytes
    }

    /// Returns what eFuses hold of the public key: SHA-256 of curve, X and Y as stored.
    #[must_use]
    pub fn key_digest(&self) -> Digest {
        let key = self.as_bytes().get(Self::KEY_OFFSET..Self::KEY_END);
        Digest::of(key.unwrap_or_default())
    }
}

/// Value of byte 2: which hash made the image digest.
const fn sha_version(curve: Curve) -> u8 {
    match curve {
        Curve::P192 | Curve::P256 => 0,
        Curve::P384 => 1,
    }
}

/// Which curve a block with version 3 is for; `None` for a combination that nobody defines.
pub(super) fn curve_of(bytes: &[u8; BLOCK_LEN]) -> Option<Curve> {
    let id_at = |curve: Curve, offset: usize| bytes.get(offset) == Some(&curve.id());
    match bytes {
        [_, _, 0, ..] if id_at(Curve::P192, EcdsaP192Block::KEY_OFFSET) => Some(Curve::P192),
        [_, _, 0, ..] if id_at(Curve::P256, EcdsaP256Block::KEY_OFFSET) => Some(Curve::P256),
        [_, _, 1, ..] if id_at(Curve::P384, EcdsaP384Block::KEY_OFFSET) => Some(Curve::P384),
        _ => None,
    }
}

const _: () = {
    assert!(size_of::<EcdsaP192Block>() == BLOCK_LEN);
    assert!(offset_of!(EcdsaP192Block, curve) == 36);
    assert!(offset_of!(EcdsaP192Block, y) == 61);
    assert!(offset_of!(EcdsaP192Block, r) == 101);
    assert!(offset_of!(EcdsaP192Block, s) == 125);
    assert!(offset_of!(EcdsaP192Block, crc) == CRC_OFFSET);
    assert!(size_of::<EcdsaP256Block>() == BLOCK_LEN);
    assert!(offset_of!(EcdsaP256Block, curve) == 36);
    assert!(offset_of!(EcdsaP256Block, y) == 69);
    assert!(offset_of!(EcdsaP256Block, r) == 101);
    assert!(offset_of!(EcdsaP256Block, s) == 133);
    assert!(offset_of!(EcdsaP256Block, crc) == CRC_OFFSET);
    assert!(size_of::<EcdsaP384Block>() == BLOCK_LEN);
    assert!(offset_of!(EcdsaP384Block, curve) == 52);
    assert!(offset_of!(EcdsaP384Block, y) == 101);
    assert!(offset_of!(EcdsaP384Block, r) == 149);
    assert!(offset_of!(EcdsaP384Block, s) == 197);
    assert!(offset_of!(EcdsaP384Block, crc) == CRC_OFFSET);
};
