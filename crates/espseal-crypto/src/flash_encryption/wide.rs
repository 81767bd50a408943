//! Flash encryption in the vector registers of x86-64: the one place with `unsafe` code.
//!
//! ```text
//! engine    registers         needs                     blocks in a register
//! AesNi     xmm, 128 bits     AES-NI, AVX2              1
//! Vaes      zmm, 512 bits     VAES, AVX-512 F and BW    4
//! ```
//!
//! The algorithms are written once (`algorithms.rs`) over a dozen operations that each engine names
//! for its registers. Eight registers of data are worked on at once, which hides the latency of the
//! AES instructions. Nothing here branches on a secret or looks one up in a table. What is left over
//! at either end of the data is done by the portable code, which also judges the engines in tests.
//!
//! The features that each `target_feature` names are those that `has_aesni` and `has_vaes` ask for.
//!
//! Two things need `unsafe`: loads and stores of a whole register from and to an array of its size
//! (`aesni.rs`, `vaes.rs`), and calls of functions that are compiled for instructions whose presence
//! [`Engine::is_available`] has asked the processor for (below).
#![allow(
    unsafe_code,
    reason = "vector instructions; the text above says what each block rests on"
)]

#[macro_use]
mod algorithms;

mod aesni;
mod vaes;

use super::{Direction, Engine, FlashKey, Scheme};

cpufeatures::new!(has_aesni, "aes", "avx2");
cpufeatures::new!(has_vaes, "aes", "avx2", "vaes", "avx512f", "avx512bw");

/// One stretch of whole groups, at its address.
pub(super) struct Stretch<'d> {
    pub(super) direction: Direction,
    /// Where it stands: a multiple of 128.
    pub(super) address: u32,
    pub(super) bytes: &'d mut [u8],
}

impl Engine {
    /// Whether this processor has what the engine needs. `--cfg aes_backend="soft"`, which keeps the
    /// `aes` crate from the processor's instructions, keeps everything here from them.
    #[must_use]
    pub fn is_available(self) -> bool {
        match self {
            Self::Portable => true,
            _ if cfg!(aes_backend = "soft") => false,
            Self::AesNi => has_aesni::get(),
            Self::Vaes => has_vaes::get(),
        }
    }

    /// Bytes of which a stretch has to be a multiple; `None` where there are no stretches.
    pub(super) const fn group(self, scheme: &Scheme) -> Option<usize> {
        match (self, scheme) {
            (Self::Portable, _) => None,
            (Self::AesNi, Scheme::Esp32(_)) => Some(aesni::ESP32_GROUP),
            (Self::AesNi, _) => Some(aesni::XTS_GROUP),
            (Self::Vaes, Scheme::Esp32(_)) => Some(vaes::ESP32_GROUP),
            (Self::Vaes, _) => Some(vaes::XTS_GROUP),
        }
    }
}

/// Runs whole groups on an engine that is available; `scheme` was made from `key`.
///
/// # Panics
/// When it is not, or the key is of another scheme: a mistake in this crate, after which the data must
/// not pass for encrypted.
pub(super) fn run(engine: Engine, scheme: &Scheme, key: &FlashKey, stretch: Stretch<'_>) {
    assert!(engine.is_available());
    // SAFETY: each function needs the instructions of its engine's line in the table above, and the
    // processor, with the operating system's consent, has just said that it has them.
    unsafe {
        match (engine, scheme, key) {
            (Engine::AesNi, Scheme::Esp32(cipher), _) => aesni::esp32(cipher, stretch),
            (Engine::Vaes, Scheme::Esp32(cipher), _) => vaes::esp32(cipher, stretch),
            (Engine::AesNi, _, FlashKey::Xts128(key)) => aesni::xts_128(key, stretch),
            (Engine::Vaes, _, FlashKey::Xts128(key)) => vaes::xts_128(key, stretch),
            (Engine::AesNi, _, FlashKey::Xts256(key)) => aesni::xts_256(key, stretch),
            (Engine::Vaes, _, FlashKey::Xts256(key)) => vaes::xts_256(key, stretch),
            // A cipher holds the derived key, one that fits its scheme, and takes the portable way itself.
            (Engine::Portable, ..) | (_, _, FlashKey::Esp32(_) | FlashKey::Xts128Derived(_)) => {
                assert!(stretch.bytes.is_empty());
            }
        }
    }
}
