//! Bytes of a flash chip, and the key that may open them.

use espseal_crypto::flash_encryption::{FlashCipher, FlashCryptConfig, FlashKey};
use espseal_crypto::flash_key::KeyLengthError;
use espseal_format::chip::{CHIPS, ChipId, SchemeId, chip};
use espseal_format::read::ReadAt;
use espseal_format::units::FlashOffset;
use zeroize::Zeroizing;

use super::image::is_header;

/// Bytes that stand at an address of a flash chip: a whole dump, or a part of one.
#[derive(Clone, Copy, Debug)]
pub struct Flash<'a> {
    bytes: &'a [u8],
    address: FlashOffset,
    cipher: Option<&'a FlashCipher>,
}

impl<'a> Flash<'a> {
    /// Takes bytes that start at `address`, and the key of the chip if there is one.
    #[must_use]
    pub fn new(bytes: &'a [u8], address: FlashOffset, cipher: Option<&'a FlashCipher>) -> Self {
        Self {
            bytes,
            address,
            cipher,
        }
    }

    /// Returns a part of it, cut where the bytes end.
    #[must_use]
    pub fn part(&self, offset: FlashOffset, size: u32) -> Self {
        let start =
            (offset.get().saturating_sub(self.address.get()) as usize).min(self.bytes.len());
        let rest = self.bytes.get(start..).unwrap_or_default();
        Self {
            bytes: rest.get(..size as usize).unwrap_or(rest),
            address: offset,
            cipher: self.cipher,
        }
    }

    /// The bytes as they are in flash.
    #[must_use]
    pub const fn raw(&self) -> &'a [u8] {
        self.bytes
    }

    /// Where the first byte stands.
    #[must_use]
    pub const fn address(&self) -> FlashOffset {
        self.address
    }

    /// Number of bytes.
    #[must_use]
    pub fn len(&self) -> u32 {
        u32::try_from(self.bytes.len()).unwrap_or(u32::MAX)
    }

    /// Whether there are no bytes.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Whether there is a key.
    #[must_use]
    pub const fn has_key(&self) -> bool {
        self.cipher.is_some()
    }

    /// Returns the same bytes as if they had been encrypted for another address.
    #[must_use]
    pub fn as_if_at(&self, address: FlashOffset) -> Self {
        Self { address, ..*self }
    }

    /// Decrypts the first `length` bytes, as many as there are; `None` without a key.
    #[must_use]
    pub fn decrypt(&self, length: usize) -> Option<Vec<u8>> {
        let cipher = self.cipher?;
        let whole = self.bytes.len().min(length.next_multiple_of(BLOCK)) / BLOCK * BLOCK;
        let mut plain = self.bytes.get(..whole)?.to_vec();
        cipher.decrypt(self.address, &mut plain).ok()?;
        plain.truncate(length);
        Some(plain)
    }
}

/// Bytes that flash encryption handles at once.
const BLOCK: usize = 16;

/// Reads through flash encryption, from the start of a [`Flash`].
#[derive(Debug)]
pub(super) struct Decrypting<'a>(pub(super) Flash<'a>);

impl ReadAt for Decrypting<'_> {
    type Error = espseal_format::read::PastEnd;

    fn read_at(&mut self, offset: u32, buffer: &mut [u8]) -> Result<(), Self::Error> {
        let past_end = espseal_format::read::PastEnd {
            offset,
            wanted: buffer.len(),
            length: self.0.bytes.len(),
        };
        let skip = offset % 16;
        let address = self.0.address.checked_add(offset - skip).ok_or(past_end)?;
        let wanted = skip as usize + buffer.len();
        let plain = self
            .0
            .part(address, u32::MAX)
            .decrypt(wanted)
            .filter(|plain| plain.len() == wanted)
            .ok_or(past_end)?;
        let from = plain.get(skip as usize..).unwrap_or_default();
        buffer
            .iter_mut()
            .zip(from)
            .for_each(|(to, from)| *to = *from);
        Ok(())
    }

    fn len(&self) -> u32 {
        self.0.len()
    }
}

/// A flash encryption key file, before it is known which scheme it belongs to.
///
/// 32 bytes may be the key of an ESP32 or of XTS-AES-128; the chip says which, or trying both.
pub struct KeyFile {
    bytes: Zeroizing<Vec<u8>>,
    config: FlashCryptConfig,
}

impl std::fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyFile(..)")
    }
}

impl KeyFile {
    /// Takes the content of a key file as `espsecure` reads it.
    #[must_use]
    pub const fn new(bytes: Zeroizing<Vec<u8>>, config: FlashCryptConfig) -> Self {
        Self { bytes, config }
    }

    /// Loads the key for a scheme.
    ///
    /// # Errors
    /// [`KeyLengthError`] when the scheme has no keys of this length.
    pub fn cipher(&self, scheme: SchemeId) -> Result<FlashCipher, KeyLengthError> {
        let key = FlashKey::from_file(scheme, &self.bytes)?;
        Ok(FlashCipher::new(&key, self.config))
    }

    /// Loads the key for a chip, or for whatever chip the dump shows with this key.
    ///
    /// # Errors
    /// [`KeyLengthError`] when no scheme of the chip has keys of this length.
    pub fn open(&self, id: Option<ChipId>, dump: &[u8]) -> Result<FlashCipher, KeyLengthError> {
        let schemes: Vec<_> = match id.and_then(chip) {
            Some(chip) => chip.flash_encryption.iter().map(|key| key.scheme).collect(),
            None => SCHEMES.to_vec(),
        };
        let mut first = None;
        let mut wrong = None;
        for scheme in schemes {
            match self.cipher(scheme) {
                Ok(cipher) => {
                    let flash = Flash::new(dump, FlashOffset::new(0), Some(&cipher));
                    if bootloader_chip(&flash).is_some() {
                        return Ok(cipher);
                    }
                    first = first.or(Some(cipher));
                }
                Err(error) => wrong = wrong.or(Some(error)),
            }
        }
        first.ok_or_else(|| {
            wrong.unwrap_or(KeyLengthError {
                scheme: SchemeId::XtsAes128,
                found: self.bytes.len(),
            })
        })
    }
}

/// Every flash encryption scheme.
const SCHEMES: [SchemeId; 3] = [SchemeId::XtsAes128, SchemeId::Esp32Aes, SchemeId::XtsAes256];

/// Finds the chip of a whole dump by its bootloader, plain or, with a key, encrypted.
#[must_use]
pub fn bootloader_chip(flash: &Flash<'_>) -> Option<ChipId> {
    CHIPS.iter().find_map(|chip| {
        let head = flash.part(chip.bootloader_offset, 32);
        let header_of = |bytes: &[u8]| is_header(bytes).filter(|id| *id == chip.id);
        header_of(head.raw()).or_else(|| header_of(&head.decrypt(32)?))
    })
}
