//! Moves the partition table that a prebuilt ESP-IDF bootloader looks for.
//!
//! A maker sets `CONFIG_PARTITION_TABLE_OFFSET` and compiles. In the bootloader that `espflash`
//! carries for the ESP32 the offset stands as one literal of the Xtensa code, loaded (`l32r`) by
//! `bootloader_utility_load_partition_table` twice: for `bootloader_mmap` and for its error
//! message. `docs/esp32-bootloader.md` holds the evidence.

use espseal_format::image::ImageLayout;
use espseal_format::units::{Digest, FlashOffset};

use super::error::RelocateError;

/// Replaces the only literal with the value `from` by `to`, and repairs checksum and SHA-256.
///
/// A literal is a 32-bit little-endian word at an aligned load address, in any segment. Nothing is
/// changed when this fails.
///
/// # Errors
/// [`RelocateError::Image`] when `bootloader` is no valid image, [`RelocateError::NotOne`] unless
/// there is exactly one such literal.
pub(crate) fn relocate_partition_table(
    bootloader: &mut [u8],
    from: FlashOffset,
    to: FlashOffset,
) -> Result<(), RelocateError> {
    let layout = ImageLayout::parse(bootloader)?;
    let found = literals(bootloader, &layout, from);
    let &[position] = found.as_slice() else {
        return Err(RelocateError::NotOne {
            value: from,
            found: found.len(),
        });
    };
    let old = from.get().to_le_bytes();
    let new = to.get().to_le_bytes();
    let content_end = index(layout.checksum_offset) + 1;
    bootloader[position..position + new.len()].copy_from_slice(&new);
    // XOR of all segment bytes: take the old ones out, put the new ones in.
    bootloader[content_end - 1] ^= old.iter().chain(&new).fold(0, |sum, byte| sum ^ byte);
    if let Some(hash_offset) = layout.hash_offset {
        let hash = Digest::of(&bootloader[..content_end]);
        let start = index(hash_offset);
        bootloader[start..start + hash.0.len()].copy_from_slice(&hash.0);
    }
    Ok(())
}

/// File positions of all words with this value at aligned load addresses.
fn literals(bootloader: &[u8], layout: &ImageLayout, value: FlashOffset) -> Vec<usize> {
    let value = value.get().to_le_bytes();
    let mut found = Vec::new();
    for segment in &layout.segments {
        let start = index(segment.data_offset);
        let data = &bootloader[start..start + index(segment.data_len)];
        let misaligned = index(segment.load_addr.wrapping_neg()) % value.len();
        found.extend(
            (misaligned..data.len())
                .step_by(value.len())
                .filter(|&at| data[at..].starts_with(&value))
                .map(|at| start + at),
        );
    }
    found
}

/// A file offset as an index: the host has at least 32 bits.
const fn index(offset: u32) -> usize {
    offset as usize
}
