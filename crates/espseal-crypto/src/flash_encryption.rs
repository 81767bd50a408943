//! Flash encryption as the chips do it on their flash bus.
//!
//! Every 16-byte block is encrypted by itself, with a key or a tweak that depends on where it
//! stands, so any aligned stretch can be encrypted, decrypted or replaced alone. Nothing
//! authenticates the data: that is secure boot's part.
//!
//! * [`esp32`](FlashKey::Esp32): AES-256 with a key per 32 bytes.
//! * [`XTS`](FlashKey::Xts128): XTS-AES of IEEE Std 1619 over units of 128 bytes.
//!
//! Both are byte for byte what espsecure 5.6 `encrypt-flash-data` writes
//! (`vectors/flash-encryption`).
//!
//! Source: ESP-IDF `docs/en/security/flash-encryption.rst`.

use core::fmt;

use aes::cipher::KeyInit as _;
use aes::cipher::array::Array;
use aes::cipher::consts::{U16, U32, U64};
use aes::{Aes128, Aes256, Block};
use espseal_format::units::FlashOffset;

pub use crate::flash_key::FlashKey;
pub use engine::Engine;

mod engine;
mod esp32;
#[cfg(target_arch = "x86_64")]
#[allow(
    unsafe_code,
    reason = "instructions that not every processor has, asked for at run time"
)]
mod x86;
mod xts;

/// Bytes in one AES block: offsets and lengths are multiples of it.
pub const BLOCK_LEN: usize = 16;

/// Value of the eFuse `FLASH_CRYPT_CONFIG`: which quarters of the ESP32's key depend on the
/// address. The XTS chips have no such field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlashCryptConfig(u8);

impl FlashCryptConfig {
    /// All four quarters: what ESP-IDF's bootloader burns.
    pub const DEFAULT: Self = Self(0xF);

    /// Takes the four bits of the eFuse; `None` for a value that does not fit.
    #[must_use]
    pub const fn new(bits: u8) -> Option<Self> {
        match bits {
            0..=0xF => Some(Self(bits)),
            _ => None,
        }
    }

    /// Returns the four bits.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

/// The flash encryption block of a chip with its key loaded.
pub struct FlashCipher(Scheme);

redacted_debug!(FlashCipher);

#[expect(
    clippy::large_enum_variant,
    reason = "device crates do not allocate, and a device has one of them"
)]
enum Scheme {
    Esp32(esp32::Cipher),
    Xts128(xts::Cipher<Aes128>),
    Xts256(xts::Cipher<Aes256>),
    #[cfg(target_arch = "x86_64")]
    X86(x86::Cipher),
}

impl FlashCipher {
    /// Loads a key, for the fastest engine that the processor has. `config` matters to the ESP32
    /// scheme only.
    #[must_use]
    pub fn new(key: &FlashKey, config: FlashCryptConfig) -> Self {
        Self(Scheme::accelerated(key, config).unwrap_or_else(|| Scheme::portable(key, config)))
    }

    /// Loads a key for one engine, to compare them; `None` when the processor does not have it.
    #[must_use]
    pub fn with_engine(key: &FlashKey, config: FlashCryptConfig, engine: Engine) -> Option<Self> {
        match engine {
            Engine::Portable => Some(Self(Scheme::portable(key, config))),
            #[cfg(target_arch = "x86_64")]
            _ => x86::Detected::new(engine)
                .map(|detected| Self(Scheme::X86(x86::Cipher::new(detected, key, config)))),
            #[cfg(not(target_arch = "x86_64"))]
            _ => None,
        }
    }

    /// Encrypts what is to be written at `offset`, in place.
    ///
    /// # Errors
    /// [`Misaligned`] unless offset and length are multiples of 16; nothing is changed then.
    pub fn encrypt(&self, offset: FlashOffset, data: &mut [u8]) -> Result<(), Misaligned> {
        let blocks = blocks(offset, data)?;
        match &self.0 {
            Scheme::Esp32(cipher) => cipher.encrypt(offset.get(), blocks),
            Scheme::Xts128(cipher) => cipher.encrypt(offset.get(), blocks),
            Scheme::Xts256(cipher) => cipher.encrypt(offset.get(), blocks),
            #[cfg(target_arch = "x86_64")]
            Scheme::X86(cipher) => cipher.encrypt(offset.get(), data),
        }
        Ok(())
    }

    /// Decrypts what was read at `offset`, in place.
    ///
    /// # Errors
    /// [`Misaligned`] unless offset and length are multiples of 16; nothing is changed then.
    pub fn decrypt(&self, offset: FlashOffset, data: &mut [u8]) -> Result<(), Misaligned> {
        let blocks = blocks(offset, data)?;
        match &self.0 {
            Scheme::Esp32(cipher) => cipher.decrypt(offset.get(), blocks),
            Scheme::Xts128(cipher) => cipher.decrypt(offset.get(), blocks),
            Scheme::Xts256(cipher) => cipher.decrypt(offset.get(), blocks),
            #[cfg(target_arch = "x86_64")]
            Scheme::X86(cipher) => cipher.decrypt(offset.get(), data),
        }
        Ok(())
    }
}

impl Scheme {
    /// Loads a key for the `aes` crate.
    fn portable(key: &FlashKey, config: FlashCryptConfig) -> Self {
        match key {
            FlashKey::Esp32(key) => Self::Esp32(esp32::Cipher::new(key, config)),
            FlashKey::Xts128(key) => {
                let (data, tweak) = Array::<u8, U32>::cast_from_core(key).split_ref::<U16>();
                Self::Xts128(xts::Cipher {
                    data: Aes128::new(data),
                    tweak: Aes128::new(tweak),
                })
            }
            FlashKey::Xts256(key) => {
                let (data, tweak) = Array::<u8, U64>::cast_from_core(key).split_ref::<U32>();
                Self::Xts256(xts::Cipher {
                    data: Aes256::new(data),
                    tweak: Aes256::new(tweak),
                })
            }
        }
    }

    /// Loads a key for the processor's own instructions.
    #[cfg(target_arch = "x86_64")]
    fn accelerated(key: &FlashKey, config: FlashCryptConfig) -> Option<Self> {
        let detected = x86::Detected::fastest()?;
        Some(Self::X86(x86::Cipher::new(detected, key, config)))
    }

    /// No other processor has an engine of its own here; the `aes` crate knows some.
    #[cfg(not(target_arch = "x86_64"))]
    const fn accelerated(_: &FlashKey, _: FlashCryptConfig) -> Option<Self> {
        None
    }
}

/// Offset or length is not a multiple of 16, the AES block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Misaligned {
    /// Where the data was to stand.
    pub offset: FlashOffset,
    /// How many bytes there were.
    pub len: usize,
}

impl fmt::Display for Misaligned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "flash encryption works on multiples of 16 bytes: pad {} bytes at {}",
            self.len, self.offset
        )
    }
}

impl core::error::Error for Misaligned {}

/// Views data as AES blocks.
fn blocks(offset: FlashOffset, data: &mut [u8]) -> Result<&mut [Block], Misaligned> {
    let misaligned = Misaligned {
        offset,
        len: data.len(),
    };
    match Block::slice_as_chunks_mut(data) {
        (blocks, []) if offset.get() & 0xF == 0 => Ok(blocks),
        _ => Err(misaligned),
    }
}
