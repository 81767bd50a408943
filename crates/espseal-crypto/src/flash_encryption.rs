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
//! A stretch may be as long as the whole flash. On x86-64 an [`Engine`] that the processor has does
//! most of it; everywhere else, and at the ends, the portable code of the `aes` crate does. None of
//! them looks secrets up in tables.
//!
//! Source: ESP-IDF `docs/en/security/flash-encryption.rst`.

use core::fmt;

use aes::cipher::KeyInit as _;
use aes::cipher::array::Array;
use aes::cipher::consts::{U16, U32, U64};
use aes::{Aes128, Aes256, Block};
use espseal_format::units::FlashOffset;

pub use crate::flash_key::FlashKey;

mod engine;
mod esp32;
#[cfg(target_arch = "x86_64")]
mod wide;
mod xts;

pub use engine::Engine;

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
pub struct FlashCipher {
    scheme: Scheme,
    engine: Engine,
    /// The key once more, as the engines expand it themselves.
    #[cfg(target_arch = "x86_64")]
    key: FlashKey,
}

redacted_debug!(FlashCipher);

#[expect(
    clippy::large_enum_variant,
    reason = "device crates do not allocate, and a device has one of them"
)]
enum Scheme {
    Esp32(esp32::Cipher),
    Xts128(xts::Cipher<Aes128>),
    Xts256(xts::Cipher<Aes256>),
}

/// What happens to the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    /// From plaintext to what stands in flash.
    Encrypt,
    /// From what stands in flash to plaintext.
    Decrypt,
}

/// Loads an XTS-AES-128 key.
fn xts_128(key: &[u8; 32]) -> Scheme {
    let (data, tweak) = Array::<u8, U32>::cast_from_core(key).split_ref::<U16>();
    Scheme::Xts128(xts::Cipher {
        data: Aes128::new(data),
        tweak: Aes128::new(tweak),
    })
}

impl FlashCipher {
    /// Loads a key. `config` matters to the ESP32 scheme only.
    #[must_use]
    pub fn new(key: &FlashKey, config: FlashCryptConfig) -> Self {
        Self::on(Engine::best(), key, config)
    }

    /// Loads a key for one engine; `None` when this processor does not have it.
    #[must_use]
    pub fn with_engine(engine: Engine, key: &FlashKey, config: FlashCryptConfig) -> Option<Self> {
        engine.is_available().then(|| Self::on(engine, key, config))
    }

    /// Loads a key for an engine that is available.
    fn on(engine: Engine, key: &FlashKey, config: FlashCryptConfig) -> Self {
        let scheme = match key {
            FlashKey::Esp32(key) => Scheme::Esp32(esp32::Cipher::new(key, config)),
            FlashKey::Xts128(key) => xts_128(key),
            FlashKey::Xts128Derived(half) => xts_128(&FlashKey::derive(half)),
            FlashKey::Xts256(key) => {
                let (data, tweak) = Array::<u8, U64>::cast_from_core(key).split_ref::<U32>();
                Scheme::Xts256(xts::Cipher {
                    data: Aes256::new(data),
                    tweak: Aes256::new(tweak),
                })
            }
        };
        Self {
            scheme,
            engine,
            #[cfg(target_arch = "x86_64")]
            key: key.as_used(),
        }
    }

    /// Encrypts what is to be written at `offset`, in place.
    ///
    /// # Errors
    /// [`Misaligned`] unless offset and length are multiples of 16; nothing is changed then.
    pub fn encrypt(&self, offset: FlashOffset, data: &mut [u8]) -> Result<(), Misaligned> {
        self.run(Direction::Encrypt, offset, data)
    }

    /// Decrypts what was read at `offset`, in place.
    ///
    /// # Errors
    /// [`Misaligned`] unless offset and length are multiples of 16; nothing is changed then.
    pub fn decrypt(&self, offset: FlashOffset, data: &mut [u8]) -> Result<(), Misaligned> {
        self.run(Direction::Decrypt, offset, data)
    }

    fn run(
        &self,
        direction: Direction,
        offset: FlashOffset,
        data: &mut [u8],
    ) -> Result<(), Misaligned> {
        if !(offset.get() | low_bits(data.len())).is_multiple_of(16) {
            let len = data.len();
            return Err(Misaligned { offset, len });
        }
        let mut address = offset.get();
        for (engine, part) in self.engine.split(&self.scheme, address, data) {
            let length = low_bits(part.len());
            self.run_on(engine, direction, address, part);
            address = address.wrapping_add(length);
        }
        Ok(())
    }

    /// Runs one part on the engine it was cut for.
    fn run_on(&self, engine: Engine, direction: Direction, address: u32, part: &mut [u8]) {
        #[cfg(target_arch = "x86_64")]
        if engine != Engine::Portable {
            let stretch = wide::Stretch {
                direction,
                address,
                bytes: part,
            };
            return wide::run(engine, &self.scheme, &self.key, stretch);
        }
        debug_assert!(engine == Engine::Portable);
        let (blocks, _) = Block::slice_as_chunks_mut(part);
        match &self.scheme {
            Scheme::Esp32(cipher) => cipher.apply(direction, address, blocks),
            Scheme::Xts128(cipher) => cipher.apply(direction, address, blocks),
            Scheme::Xts256(cipher) => cipher.apply(direction, address, blocks),
        }
    }
}

/// The low 32 bits of a length: enough for alignment, and for an address that wraps.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the low bits are what is asked for"
)]
const fn low_bits(length: usize) -> u32 {
    length as u32
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
