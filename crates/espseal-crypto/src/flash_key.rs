//! Flash encryption keys, in the byte order of a key file and of the eFuses.
//!
//! The hardware reads the key out of eFuse in reverse, so that a 32-byte key file is burnt
//! back to front. A 64-byte file is two blocks, each of them reversed by itself: the first half
//! goes to the block with purpose 2 (`XTS_AES_256_KEY_1`), the second to purpose 3.
//!
//! | scheme | key file | eFuse |
//! |---|---|---|
//! | ESP32 AES | 32 bytes | `BLOCK1`, coding scheme none |
//! | ESP32 AES | 24 bytes; extended with its own bytes 8..16 | `BLOCK1`, coding scheme 3/4 |
//! | XTS-AES-128 | 32 bytes | one key block |
//! | XTS-AES-128 | 16 bytes; the key is their SHA-256 | half a key block (ESP32-C2) |
//! | XTS-AES-256 | 64 bytes | two key blocks |
//!
//! Source: ESP-IDF `docs/en/security/flash-encryption.rst`; observed with espsecure and espefuse
//! 5.6.0.

use core::fmt;

use espseal_format::chip::SchemeId;
use sha2::{Digest as _, Sha256};
use zeroize::{ZeroizeOnDrop, Zeroizing};

/// Bytes in one eFuse key block.
pub const BLOCK_LEN: usize = 32;

/// A flash encryption key, in the byte order of espsecure's key file.
#[derive(ZeroizeOnDrop)]
pub enum FlashKey {
    /// Key of the ESP32's own scheme.
    Esp32([u8; 32]),
    /// XTS-AES-128: data key, then tweak key.
    Xts128([u8; 32]),
    /// XTS-AES-128 with the SHA-256 of these bytes, on the ESP32-C2.
    Xts128Derived([u8; 16]),
    /// XTS-AES-256: data key, then tweak key.
    Xts256([u8; 64]),
}

redacted_debug!(FlashKey);

impl FlashKey {
    /// Reads a key file; short keys are extended as the hardware does it.
    ///
    /// # Errors
    /// [`KeyLengthError`] for a length that the scheme does not know.
    pub fn from_file(scheme: SchemeId, file: &[u8]) -> Result<Self, KeyLengthError> {
        let wrong = KeyLengthError {
            scheme,
            found: file.len(),
        };
        match (scheme, file.len()) {
            (SchemeId::Esp32Aes, 24) => {
                let mut key = [0; 32];
                let parts = file.iter().chain(file.iter().skip(8).take(8));
                key.iter_mut().zip(parts).for_each(|(to, from)| *to = *from);
                Ok(Self::Esp32(key))
            }
            (SchemeId::Esp32Aes, 32) => file.try_into().map(Self::Esp32).map_err(|_| wrong),
            (SchemeId::XtsAes128, 16) => {
                file.try_into().map(Self::Xts128Derived).map_err(|_| wrong)
            }
            (SchemeId::XtsAes128, 32) => file.try_into().map(Self::Xts128).map_err(|_| wrong),
            (SchemeId::XtsAes256, 64) => file.try_into().map(Self::Xts256).map_err(|_| wrong),
            _ => Err(wrong),
        }
    }

    /// Reads a key as it stands in eFuse: whole blocks of 32 bytes one after the other, or the 24
    /// bytes that coding scheme 3/4 leaves, or the 16 bytes of the ESP32-C2's half block.
    ///
    /// # Errors
    /// [`KeyLengthError`] for a length that the scheme does not know.
    pub fn from_efuse(scheme: SchemeId, blocks: &[u8]) -> Result<Self, KeyLengthError> {
        let mut file = Zeroizing::new([0; 64]);
        let Some(file) = file.get_mut(..blocks.len()) else {
            return Err(KeyLengthError {
                scheme,
                found: blocks.len(),
            });
        };
        file.copy_from_slice(blocks);
        file.chunks_mut(BLOCK_LEN).for_each(<[u8]>::reverse);
        Self::from_file(scheme, file)
    }

    /// Returns the key as it is burnt: the first eFuse block, and the second of XTS-AES-256.
    #[must_use]
    pub fn efuse_blocks(&self) -> EfuseKey {
        let mut key = EfuseKey {
            blocks: [[0; BLOCK_LEN]; 2],
            used: 0,
        };
        let halves = self.file().chunks(BLOCK_LEN);
        key.used = halves.len();
        for (block, half) in key.blocks.iter_mut().zip(halves) {
            let reversed = half.iter().rev();
            block
                .iter_mut()
                .zip(reversed)
                .for_each(|(to, from)| *to = *from);
        }
        key
    }

    /// The key once more, derived where the hardware derives it; it is wiped on its own.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn as_used(&self) -> Self {
        match self {
            Self::Esp32(key) => Self::Esp32(*key),
            Self::Xts128(key) => Self::Xts128(*key),
            Self::Xts128Derived(half) => Self::Xts128(*Self::derive(half)),
            Self::Xts256(key) => Self::Xts256(*key),
        }
    }

    /// Returns the scheme that the key belongs to.
    #[must_use]
    pub const fn scheme(&self) -> SchemeId {
        match self {
            Self::Esp32(_) => SchemeId::Esp32Aes,
            Self::Xts128(_) | Self::Xts128Derived(_) => SchemeId::XtsAes128,
            Self::Xts256(_) => SchemeId::XtsAes256,
        }
    }

    /// Returns the secret in the order of the key file, for writing such a file.
    #[must_use]
    pub const fn file(&self) -> &[u8] {
        match self {
            Self::Esp32(key) | Self::Xts128(key) => key,
            Self::Xts128Derived(key) => key,
            Self::Xts256(key) => key,
        }
    }

    /// The key that the ESP32-C2 derives from 16 bytes.
    pub(crate) fn derive(half: &[u8; 16]) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(Sha256::digest(half).into())
    }
}

/// A flash encryption key in the order in which it is burnt.
#[derive(ZeroizeOnDrop)]
pub struct EfuseKey {
    blocks: [[u8; BLOCK_LEN]; 2],
    used: usize,
}

redacted_debug!(EfuseKey);

impl EfuseKey {
    /// Returns the blocks to burn: one, or two for XTS-AES-256.
    #[must_use]
    pub fn blocks(&self) -> &[[u8; BLOCK_LEN]] {
        self.blocks.get(..self.used).unwrap_or_default()
    }
}

/// A flash encryption key has a length that its scheme does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyLengthError {
    /// Scheme that the key was meant for.
    pub scheme: SchemeId,
    /// Bytes that were given.
    pub found: usize,
}

impl fmt::Display for KeyLengthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = match self.scheme {
            SchemeId::Esp32Aes => "ESP32 flash encryption takes 24 or 32",
            SchemeId::XtsAes128 => "XTS-AES-128 takes 16 or 32",
            SchemeId::XtsAes256 => "XTS-AES-256 takes 64",
        };
        write!(f, "the key has {} bytes, {known}", self.found)
    }
}

impl core::error::Error for KeyLengthError {}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::format;
    use std::vec::Vec;

    use super::*;

    fn counting(len: u8) -> Vec<u8> {
        (0..len).collect()
    }

    #[test]
    fn each_efuse_block_is_the_reverse_of_its_part_of_the_file() {
        for (scheme, len) in [
            (SchemeId::Esp32Aes, 32),
            (SchemeId::XtsAes128, 32),
            (SchemeId::XtsAes256, 64),
        ] {
            let file = counting(len);
            let key = FlashKey::from_file(scheme, &file).unwrap();
            let burnt = key.efuse_blocks();
            assert_eq!(burnt.blocks().len(), usize::from(len) / 32);
            for (block, part) in burnt.blocks().iter().zip(file.chunks(32)) {
                assert!(block.iter().eq(part.iter().rev()));
            }
            let back = FlashKey::from_efuse(scheme, burnt.blocks().as_flattened()).unwrap();
            assert_eq!((back.scheme(), back.file()), (scheme, &file[..]));
        }
    }

    #[test]
    fn short_keys_are_extended_as_the_hardware_does_it() {
        let key = FlashKey::from_file(SchemeId::Esp32Aes, &counting(24)).unwrap();
        assert_eq!(key.file()[..24], counting(24));
        assert_eq!(key.file()[24..], counting(16)[8..]);
        let half = FlashKey::from_file(SchemeId::XtsAes128, &counting(16)).unwrap();
        assert_eq!(half.file(), counting(16));
        assert_eq!(half.efuse_blocks().blocks()[0][16..], [0; 16]);
        let used = FlashKey::derive(&counting(16).try_into().unwrap());
        assert_eq!(used[..], Sha256::digest(counting(16))[..]);
    }

    #[test]
    fn other_lengths_are_refused() {
        for (scheme, known) in [
            (SchemeId::Esp32Aes, &[24, 32][..]),
            (SchemeId::XtsAes128, &[16, 32]),
            (SchemeId::XtsAes256, &[64]),
        ] {
            for len in 0..=80 {
                let bytes = counting(len);
                let expected = known.contains(&len);
                assert_eq!(FlashKey::from_file(scheme, &bytes).is_ok(), expected);
                assert_eq!(FlashKey::from_efuse(scheme, &bytes).is_ok(), expected);
            }
        }
    }

    #[test]
    fn debug_output_holds_no_key_bytes() {
        let key = FlashKey::Esp32([0xAB; 32]);
        assert_eq!(format!("{key:?}"), "FlashKey(..)");
        assert_eq!(format!("{:?}", key.efuse_blocks()), "EfuseKey(..)");
    }
}
