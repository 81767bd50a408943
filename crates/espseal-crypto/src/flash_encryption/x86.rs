//! Flash encryption with the AES instructions of x86-64: the one module with `unsafe` code.
//!
//! | engine | instructions | AES blocks in a register |
//! |---|---|---|
//! | [`Engine::AesNi`] | AES-NI, SSSE3 | 1 |
//! | [`Engine::Vaes256`] | VAES, AVX2 | 2 |
//! | [`Engine::Vaes512`] | VAES, AVX-512 F and BW | 4 |
//!
//! **Safety.** Two things are `unsafe` here: calling a function that needs instructions, which is
//! done in [`Cipher::encrypt`] and [`Cipher::decrypt`] only, and behind a [`Detected`], of which
//! there are none on a processor without them; and loads and stores through references to arrays
//! of the very size, in `xmm.rs`, `ymm.rs` and `zmm.rs`.
//!
//! **Secrets.** No branch and no address depends on key or data: AES instructions, shifts and
//! fixed shuffles only. Key schedules are wiped from memory; what the compiler spills from
//! registers is not.
//!
//! The kernels work on whole, aligned groups of blocks. What stands before and after is copied into
//! a group of its own: neighbouring blocks do not influence each other.
//!
//! Source: Intel, "Advanced Encryption Standard (AES) New Instructions Set"; FIPS 197.

use core::arch::x86_64::__cpuid_count;

use aes::cipher::array::Array;
use aes::cipher::consts::{U16, U32, U64};
use zeroize::{ZeroizeOnDrop, Zeroizing};

use super::esp32;
use super::{Engine, FlashCryptConfig, FlashKey};

mod kernels;
mod xmm;
mod ymm;
mod zmm;

/// What the files for the vector widths take from here.
mod prelude {
    pub(super) use zeroize::{Zeroize as _, Zeroizing};

    pub(super) use super::kernels::{UNIT_BLOCKS, VECTORS};
    pub(super) use super::{
        Block, REVERSE, ROTATED_LAST_WORD, ROUND_CONSTANTS, RowKeys, SPAN, Span, UNIT, Unit,
        XtsKeys,
    };
}

/// An AES block, and a round key.
type Block = [u8; 16];
/// What shares a tweak in XTS.
type Unit = [u8; 128];
/// Bytes in a [`Unit`].
const UNIT: u32 = 128;
/// Rows of the ESP32 scheme that differ in the lowest offset bits only.
type Span = [u8; 512];
/// Bytes in a [`Span`].
const SPAN: u32 = 512;
/// Rows in a [`Span`].
const SPAN_ROWS: usize = 16;

/// Reverses the bytes of a block.
const REVERSE: Block = [15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0];
/// Fills a block with its last word, rotated as `RotWord` of FIPS 197 does it.
const ROTATED_LAST_WORD: Block = [
    13, 14, 15, 12, 13, 14, 15, 12, 13, 14, 15, 12, 13, 14, 15, 12,
];
/// Round constants of AES-256, FIPS 197 section 5.2.
const ROUND_CONSTANTS: [u8; 7] = [0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40];

/// An engine that this processor has.
#[derive(Clone, Copy)]
pub(super) struct Detected(Width);

#[derive(Clone, Copy)]
enum Width {
    Xmm,
    Ymm,
    Zmm,
}

cpufeatures::new!(aes_ni, "aes", "ssse3");
cpufeatures::new!(avx2, "aes", "ssse3", "avx2");
cpufeatures::new!(avx512, "aes", "ssse3", "avx512f", "avx512bw", "vaes");

impl Detected {
    /// Asks the processor; `None` for an engine that it or the operating system does not have.
    pub(super) fn new(engine: Engine) -> Option<Self> {
        match engine {
            Engine::AesNi if aes_ni::get() => Some(Self(Width::Xmm)),
            Engine::Vaes256 if avx2::get() && has_vaes() => Some(Self(Width::Ymm)),
            Engine::Vaes512 if avx512::get() => Some(Self(Width::Zmm)),
            _ => None,
        }
    }

    /// The widest engine that there is.
    pub(super) fn fastest() -> Option<Self> {
        [Engine::Vaes512, Engine::Vaes256, Engine::AesNi]
            .into_iter()
            .find_map(Self::new)
    }
}

/// Whether the processor has VAES. `cpufeatures` wants AVX-512 registers for a yes, which many
/// processors with VAES do not have. Call it where AVX2 is known, so that leaf 7 exists.
fn has_vaes() -> bool {
    __cpuid_count(7, 0).ecx & (1 << 9) != 0
}

/// A flash encryption block with its key schedules.
pub(super) struct Cipher {
    detected: Detected,
    keys: Keys,
}

/// Key schedules of a scheme.
enum Keys {
    Esp32(RowKeys),
    Xts128(XtsKeys<11>),
    Xts256(XtsKeys<15>),
}

/// Schedules of both keys of XTS, `N` round keys each.
#[derive(ZeroizeOnDrop)]
struct XtsKeys<const N: usize> {
    /// Key 1 of IEEE Std 1619, for encryption.
    encrypt: [Block; N],
    /// Key 1 for decryption, in the order of use.
    decrypt: [Block; N],
    /// Key 2, which only ever encrypts.
    tweak: [Block; N],
}

impl<const N: usize> XtsKeys<N> {
    fn new<K>([data, tweak]: [&K; 2], expand: impl Fn(&K) -> Zeroizing<[Block; N]>) -> Self {
        let encrypt = expand(data);
        // SAFETY: only a `Detected` processor gets here, and each has AES-NI and SSSE3.
        let decrypt = unsafe { xmm::invert(&encrypt) };
        Self {
            encrypt: *encrypt,
            decrypt: *decrypt,
            tweak: *expand(tweak),
        }
    }
}

/// The key of the ESP32 scheme, and how it changes from row to row of a [`Span`].
struct RowKeys {
    cipher: esp32::Cipher,
    /// What is XORed onto each half of the key for each row: nothing secret.
    tweaks: [[Block; SPAN_ROWS]; 2],
}

impl RowKeys {
    fn new(key: &[u8; 32], config: FlashCryptConfig) -> Self {
        let mut tweaks = [[[0; 16]; SPAN_ROWS]; 2];
        let [first, second] = &mut tweaks;
        let offsets = (0..SPAN).step_by(32);
        for ((first, second), offset) in first.iter_mut().zip(second).zip(offsets) {
            let [high, low] = esp32::tweak(offset, config);
            *first = high.to_be_bytes();
            *second = low.to_be_bytes();
        }
        Self {
            cipher: esp32::Cipher::new(key, config),
            tweaks,
        }
    }
}

/// Calls the kernel for the scheme with whole groups of blocks.
macro_rules! call {
    ($cipher:ident, $offset:ident, $data:ident, $esp32:path, $xts:path) => {
        match &$cipher.keys {
            // SAFETY: `$cipher.detected` was made by asking for what the caller chose by it.
            Keys::Esp32(keys) => for_each_group($offset, $data, |offset, spans| unsafe {
                $esp32(keys, offset, spans);
            }),
            // SAFETY: as above.
            Keys::Xts128(keys) => for_each_group($offset, $data, |offset, units| unsafe {
                $xts(keys, offset, units);
            }),
            // SAFETY: as above.
            Keys::Xts256(keys) => for_each_group($offset, $data, |offset, units| unsafe {
                $xts(keys, offset, units);
            }),
        }
    };
}

impl Cipher {
    /// Expands a key for an engine that this processor has.
    pub(super) fn new(detected: Detected, key: &FlashKey, config: FlashCryptConfig) -> Self {
        // SAFETY: `detected` exists, so the processor has AES-NI and SSSE3.
        let expand_128 = |key: &_| unsafe { xmm::expand_128(key) };
        // SAFETY: as above.
        let expand_256 = |key: &_| unsafe { xmm::expand_256(key) };
        Self {
            detected,
            keys: match key {
                FlashKey::Esp32(key) => Keys::Esp32(RowKeys::new(key, config)),
                FlashKey::Xts128(key) => {
                    let (data, tweak) = Array::<u8, U32>::cast_from_core(key).split_ref::<U16>();
                    Keys::Xts128(XtsKeys::new([&data.0, &tweak.0], expand_128))
                }
                FlashKey::Xts256(key) => {
                    let (data, tweak) = Array::<u8, U64>::cast_from_core(key).split_ref::<U32>();
                    Keys::Xts256(XtsKeys::new([&data.0, &tweak.0], expand_256))
                }
            },
        }
    }

    /// Encrypts blocks; offset and length are multiples of 16.
    pub(super) fn encrypt(&self, offset: u32, data: &mut [u8]) {
        match self.detected.0 {
            Width::Xmm => call!(self, offset, data, xmm::esp32_encrypt, xmm::xts_encrypt),
            Width::Ymm => call!(self, offset, data, ymm::esp32_encrypt, ymm::xts_encrypt),
            Width::Zmm => call!(self, offset, data, zmm::esp32_encrypt, zmm::xts_encrypt),
        }
    }

    /// Decrypts blocks; offset and length are multiples of 16.
    pub(super) fn decrypt(&self, offset: u32, data: &mut [u8]) {
        match self.detected.0 {
            Width::Xmm => call!(self, offset, data, xmm::esp32_decrypt, xmm::xts_decrypt),
            Width::Ymm => call!(self, offset, data, ymm::esp32_decrypt, ymm::xts_decrypt),
            Width::Zmm => call!(self, offset, data, zmm::esp32_decrypt, zmm::xts_decrypt),
        }
    }
}

/// Calls `work` with all data as whole groups of `N` bytes, aligned to their flash offset.
fn for_each_group<const N: usize>(
    offset: u32,
    data: &mut [u8],
    mut work: impl FnMut(u32, &mut [[u8; N]]),
) {
    const { assert!(N.is_power_of_two()) };
    let before = offset as usize & N.wrapping_sub(1);
    let head = match before {
        0 => 0,
        _ => N.wrapping_sub(before).min(data.len()),
    };
    let (head, rest) = data.split_at_mut(head);
    let (whole, tail) = rest.as_chunks_mut();
    let mut offset = offset;
    if !head.is_empty() {
        padded(
            before,
            advance(offset, before.wrapping_neg()),
            head,
            &mut work,
        );
        offset = advance(offset, head.len());
    }
    if !whole.is_empty() {
        work(offset, whole);
        offset = advance(offset, whole.as_flattened().len());
    }
    if !tail.is_empty() {
        padded(0, offset, tail, &mut work);
    }
}

/// The offset `len` bytes on; offsets wrap as the address lines of a chip do.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the address lines of a chip do not go further"
)]
const fn advance(offset: u32, len: usize) -> u32 {
    offset.wrapping_add(len as u32)
}

/// Calls `work` with the one group at `offset`, in which `part` stands after `before` other bytes.
fn padded<const N: usize>(
    before: usize,
    offset: u32,
    part: &mut [u8],
    work: &mut impl FnMut(u32, &mut [[u8; N]]),
) {
    let mut group = [[0; N]];
    let copy =
        |from: &[u8], to: &mut [u8]| to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
    copy(
        part,
        group
            .as_flattened_mut()
            .get_mut(before..)
            .unwrap_or_default(),
    );
    work(offset, &mut group);
    copy(group.as_flattened().get(before..).unwrap_or_default(), part);
}
