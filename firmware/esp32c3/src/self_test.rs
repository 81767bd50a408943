//! What a new image checks before it confirms itself: that code can be read through the flash
//! cache (and so through flash encryption) twice with one result, and that RAM keeps a pattern.

use core::fmt;

/// Words of code that the test reads, from the start of the page that holds this module.
const CODE_WORDS: usize = 4 * 1024;

/// Size of a page of the flash MMU; the bootloader maps whole pages.
const MMU_PAGE_SIZE: usize = 64 * 1024;

/// Words of RAM that the test writes and reads back.
const RAM_WORDS: usize = 256;

/// Why the self-test failed.
pub(crate) enum Failure {
    /// Two readings of the same flash differ.
    UnstableFlash { first: u32, second: u32 },
    /// A word of RAM came back changed.
    Ram {
        index: usize,
        expected: u32,
        found: u32,
    },
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnstableFlash { first, second } => {
                write!(f, "flash read twice gave CRC {first:08x} and {second:08x}")
            }
            Self::Ram {
                index,
                expected,
                found,
            } => {
                write!(
                    f,
                    "RAM word {index} is {found:08x}, expected {expected:08x}"
                )
            }
        }
    }
}

/// Runs all checks.
pub(crate) fn run() -> Result<(), Failure> {
    let (first, second) = (code_crc(), code_crc());
    if first != second {
        return Err(Failure::UnstableFlash { first, second });
    }
    ram_keeps_pattern()
}

/// CRC-32 (IEEE) of the mapped code.
fn code_crc() -> u32 {
    let here = code_crc as *const () as usize;
    let page = (here & !(MMU_PAGE_SIZE - 1)) as *const u32;
    let mut crc = u32::MAX;
    for index in 0..CODE_WORDS {
        // SAFETY: this function runs from the page, so the page is mapped, whole; flash is only
        // read, and in aligned words, as the instruction bus wants it.
        let word = unsafe { page.add(index).read_volatile() };
        crc = word.to_le_bytes().into_iter().fold(crc, crc32_step);
    }
    !crc
}

/// Feeds one byte to the CRC.
fn crc32_step(crc: u32, byte: u8) -> u32 {
    (0..8).fold(crc ^ u32::from(byte), |crc, _| {
        (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg())
    })
}

/// Writes a pattern to RAM and reads it back.
fn ram_keeps_pattern() -> Result<(), Failure> {
    let pattern = |index: usize| 0x9E37_79B9_u32.wrapping_mul(index as u32 | 1);
    let mut words = [0_u32; RAM_WORDS];
    for (index, word) in words.iter_mut().enumerate() {
        // SAFETY: `word` is a live element; volatile so that the write really reaches RAM.
        unsafe { core::ptr::from_mut(word).write_volatile(pattern(index)) };
    }
    for (index, word) in words.iter().enumerate() {
        // SAFETY: as above.
        let found = unsafe { core::ptr::from_ref(word).read_volatile() };
        let expected = pattern(index);
        if found != expected {
            return Err(Failure::Ram {
                index,
                expected,
                found,
            });
        }
    }
    Ok(())
}
