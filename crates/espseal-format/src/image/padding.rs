//! What the signing side changes in an image: padding and flash size.
//!
//! Seen in esptool 5.6: `espsecure sign-data --version 2` pads *any* file with 0xFF to 4 KB and
//! appends the sector; it does not ask whether an app ends on an MMU page. `elf2image
//! --secure-pad-v2` does that beforehand, with a last segment of zeros and load address 0 that
//! makes checksum and SHA-256 end on the page.

use super::{FlashSize, HASH_LEN, ImageLayout, MAX_SEGMENTS, PaddingError, SEGMENT_HEADER_LEN};
use crate::units::{Digest, SECTOR_SIZE};

/// Checks that an app may be signed as it is: with its SHA-256 it ends on an MMU page.
///
/// Otherwise the page's rest, which nobody signed, would be mapped as well.
///
/// # Errors
/// [`PaddingError::NoHash`] or [`PaddingError::NotOnPage`].
///
/// Source: ESP-IDF `docs/en/security/secure-boot-v2.rst`, "Secure Padding".
pub fn app_padding(layout: &ImageLayout, page_size: u32) -> Result<(), PaddingError> {
    if layout.hash_offset.is_none() {
        return Err(PaddingError::NoHash);
    }
    if layout.image_len.checked_rem(page_size) != Some(0) {
        return Err(PaddingError::NotOnPage {
            image_len: layout.image_len,
            page_size,
        });
    }
    Ok(())
}

/// Fills `buffer[length..]` with 0xFF up to the next 4 KB; returns the padded length.
///
/// What a bootloader gets before its signature sector.
///
/// # Errors
/// [`PaddingError::BufferTooSmall`].
pub fn pad_to_sector(buffer: &mut [u8], length: usize) -> Result<usize, PaddingError> {
    let padded = length
        .checked_next_multiple_of(SECTOR_SIZE)
        .unwrap_or(usize::MAX);
    let available = buffer.len();
    buffer
        .get_mut(length..padded)
        .ok_or(PaddingError::BufferTooSmall {
            needed: padded,
            available,
        })?
        .fill(0xFF);
    Ok(padded)
}

/// Makes an unsigned app end on an MMU page, as `esptool elf2image --secure-pad-v2` does; returns
/// the new length.
///
/// `buffer` starts with the app that `layout` describes. An app that ends on a page stays as it is.
///
/// # Errors
/// [`PaddingError::NoHash`], [`PaddingError::TooManySegments`],
/// [`PaddingError::BufferTooSmall`]; [`PaddingError::LayoutMismatch`] when `layout` is another's.
pub fn secure_pad_v2(
    buffer: &mut [u8],
    layout: &ImageLayout,
    page_size: u32,
) -> Result<usize, PaddingError> {
    /// Checksum block and SHA-256 after the padding segment.
    const TAIL: usize = 16 + HASH_LEN;

    match app_padding(layout, page_size) {
        Ok(()) => return Ok(to_usize(layout.image_len)),
        Err(PaddingError::NotOnPage { .. }) => {}
        Err(error) => return Err(error),
    }
    if layout.segments.len() >= MAX_SEGMENTS {
        return Err(PaddingError::TooManySegments);
    }
    let checksum = *buffer
        .get(to_usize(layout.checksum_offset))
        .ok_or(PaddingError::LayoutMismatch)?;
    let start = layout.segments.last().map_or(super::HEADER_LEN, |last| {
        to_usize(last.data_offset.saturating_add(last.data_len))
    });
    let data = start.saturating_add(SEGMENT_HEADER_LEN);
    let end = data
        .saturating_add(TAIL)
        .checked_next_multiple_of(to_usize(page_size))
        .unwrap_or(usize::MAX);
    let available = buffer.len();
    let padding = buffer
        .get_mut(start..end)
        .ok_or(PaddingError::BufferTooSmall {
            needed: end,
            available,
        })?;
    padding.fill(0);
    let data_len = end.saturating_sub(data).saturating_sub(TAIL);
    let length_field = padding.get_mut(4..8).ok_or(PaddingError::LayoutMismatch)?;
    length_field.copy_from_slice(
        &u32::try_from(data_len)
            .map_err(|_| PaddingError::LayoutMismatch)?
            .to_le_bytes(),
    );
    let image = buffer.get_mut(..end).ok_or(PaddingError::LayoutMismatch)?;
    let (content, hash) = image
        .split_last_chunk_mut::<HASH_LEN>()
        .ok_or(PaddingError::LayoutMismatch)?;
    *content.get_mut(1).ok_or(PaddingError::LayoutMismatch)? =
        layout.header.segment_count.saturating_add(1);
    *content.last_mut().ok_or(PaddingError::LayoutMismatch)? = checksum;
    *hash = Digest::of(content).0;
    Ok(end)
}

/// Writes another flash size into the header and repairs the appended SHA-256.
///
/// Invalidates every signature, which covers the header: to be done before signing.
///
/// # Errors
/// [`PaddingError::LayoutMismatch`] when `image` is shorter than `layout` says.
pub fn set_flash_size(
    image: &mut [u8],
    layout: &mut ImageLayout,
    size: FlashSize,
) -> Result<(), PaddingError> {
    let speed_size = image.get_mut(3).ok_or(PaddingError::LayoutMismatch)?;
    *speed_size = (*speed_size & 0x0F) | (size.to_nibble() << 4);
    layout.header.spi_speed_size = *speed_size;
    let content_end = to_usize(layout.checksum_offset).saturating_add(1);
    let (content, rest) = image
        .split_at_mut_checked(content_end)
        .ok_or(PaddingError::LayoutMismatch)?;
    layout.content_digest = Digest::of(content);
    if layout.hash_offset.is_some() {
        *rest
            .first_chunk_mut::<HASH_LEN>()
            .ok_or(PaddingError::LayoutMismatch)? = layout.content_digest.0;
    }
    Ok(())
}

/// Rounds up to a multiple of `unit`; `None` past the 32-bit address space.
pub(super) fn round_up(length: u32, unit: usize) -> Option<u32> {
    length.checked_next_multiple_of(u32::try_from(unit).ok()?)
}

/// Lengths of images fit a `usize` on every target of this crate (32 or 64 bits).
fn to_usize(length: u32) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}
