//! Secure boot version 1 of the ESP32: a signature for the app, a keyed digest for the bootloader.
//!
//! The digest of a bootloader: prefix it with the 128-byte IV, encrypt every 16-byte block with
//! AES-256-ECB, reversing it going in and coming out, swap the bytes of each word, hash with
//! SHA-512, swap again. The hardware takes blocks of 128 bytes: see
//! [`digested_len`](espseal_format::secure_boot_v1::digested_len).
//!
//! Source: ESP-IDF `docs/en/security/secure-boot-v1.rst`, "Secure Bootloader Digest Algorithm";
//! `bootloader_support/src/secure_boot_v1/secure_boot.c`.

use aes::Aes256;
use aes::cipher::{Array, BlockCipherEncrypt as _, KeyInit as _};
use espseal_format::secure_boot_v1::{AppSignature, BootloaderDigest, IV_LEN, digested_len};
use espseal_format::units::{Digest, PublicKeyBytes};
use sha2::{Digest as _, Sha512};
use subtle::ConstantTimeEq as _;
use zeroize::{ZeroizeOnDrop, Zeroizing};

use crate::es256::{self, BadSignature};

/// Bytes that the hardware digests at once.
const UNIT: usize = IV_LEN;

/// Checks the signature of an app or a partition table.
///
/// `key` is the verification key in the bootloader: X, Y, big-endian.
///
/// # Errors
/// [`BadSignature`] when the key is not on the curve or the signature does not verify.
pub fn verify_app(
    key: &[u8; 64],
    image: &Digest,
    signature: &AppSignature,
) -> Result<(), BadSignature> {
    let mut point = PublicKeyBytes([4; PublicKeyBytes::LEN]);
    let places = point.0.iter_mut().skip(1);
    places.zip(key).for_each(|(to, from)| *to = *from);
    es256::verify_prehash(&point, image, &signature.signature)
}

/// The key of the bootloader's digest, in the byte order of a key file.
#[derive(ZeroizeOnDrop)]
pub struct BootloaderKey([u8; 32]);

redacted_debug!(BootloaderKey);

impl BootloaderKey {
    /// Takes a key of 32 bytes, or of the 24 that coding scheme 3/4 leaves; these are extended with
    /// their own bytes 8..16.
    ///
    /// # Errors
    /// [`WrongKeyLength`] for another length.
    pub fn from_file(file: &[u8]) -> Result<Self, WrongKeyLength> {
        let mut key = Self([0; 32]);
        let tail = match file.len() {
            24 => file.get(8..16).unwrap_or_default(),
            32 => &[],
            _ => return Err(WrongKeyLength),
        };
        let bytes = file.iter().chain(tail);
        key.0
            .iter_mut()
            .zip(bytes)
            .for_each(|(to, from)| *to = *from);
        Ok(key)
    }

    /// Takes the key as it stands in eFuse block 2, which is back to front.
    ///
    /// # Errors
    /// [`WrongKeyLength`] unless there are 24 or 32 bytes.
    pub fn from_efuse(block: &[u8]) -> Result<Self, WrongKeyLength> {
        let mut file = Zeroizing::new([0; 32]);
        let file = file.get_mut(..block.len()).ok_or(WrongKeyLength)?;
        file.copy_from_slice(block);
        file.reverse();
        Self::from_file(file)
    }

    /// Digests a bootloader as the hardware does.
    #[must_use]
    pub fn digest(&self, iv: &[u8; IV_LEN], bootloader: &[u8]) -> BootloaderDigest {
        let cipher = Aes256::new(&Array::from(self.0));
        let mut hash = Sha512::new();
        absorb(&cipher, &mut hash, iv);
        let (units, tail) = bootloader.as_chunks::<UNIT>();
        units
            .iter()
            .for_each(|unit| absorb(&cipher, &mut hash, unit));
        if digested_len(bootloader.len()) > bootloader.len() {
            let mut unit = [0xFF; UNIT];
            unit.iter_mut().zip(tail).for_each(|(to, from)| *to = *from);
            absorb(&cipher, &mut hash, &unit);
        }
        let mut digest: [u8; 64] = hash.finalize().into();
        swap_words(&mut digest);
        BootloaderDigest { iv: *iv, digest }
    }

    /// Compares a bootloader with the digest at flash offset 0x0.
    ///
    /// # Errors
    /// [`BadBootloaderDigest`].
    pub fn verify(
        &self,
        stored: &BootloaderDigest,
        bootloader: &[u8],
    ) -> Result<(), BadBootloaderDigest> {
        let computed = self.digest(&stored.iv, bootloader);
        match computed.digest.ct_eq(&stored.digest).into() {
            true => Ok(()),
            false => Err(BadBootloaderDigest),
        }
    }
}

/// Encrypts one unit and hashes it.
fn absorb(cipher: &Aes256, hash: &mut Sha512, unit: &[u8; UNIT]) {
    let mut unit = *unit;
    let (blocks, _) = unit.as_chunks_mut::<16>();
    for block in blocks {
        block.reverse();
        cipher.encrypt_block(block.into());
        block.reverse();
    }
    swap_words(&mut unit);
    hash.update(unit);
}

/// Swaps the bytes of each 32-bit word.
fn swap_words(bytes: &mut [u8]) {
    let (words, _) = bytes.as_chunks_mut::<4>();
    words.iter_mut().for_each(|word| word.reverse());
}

failure!(
    /// A key has neither 32 nor 24 bytes.
    WrongKeyLength,
    "a secure boot v1 bootloader key has 32 bytes, or 24 with coding scheme 3/4"
);

failure!(
    /// The bootloader is not the one that was digested with this key.
    BadBootloaderDigest,
    "the bootloader's secure boot digest does not match"
);
