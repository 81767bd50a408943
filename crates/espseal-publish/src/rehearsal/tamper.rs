//! What an attacker, or an accident, does to an image.

use espseal_format::image::ImageLayout;
use espseal_format::signature_block::BLOCK_LEN;
use espseal_format::units::{Digest, SECTOR_SIZE};

/// Flips a bit of an image's data and makes checksum and hash right again: only a signature notices.
///
/// `None` when the bytes are no image.
pub(super) fn flip_and_repair(image: &[u8]) -> Option<Vec<u8>> {
    let end = usize::try_from(ImageLayout::parse(image).ok()?.image_len).ok()?;
    let mut changed = image.to_vec();
    // In the data of the first segment, behind its descriptor.
    let at = 32 + 256 + 16;
    *changed.get_mut(at)? ^= 1;
    let checksum = end.checked_sub(33)?;
    *changed.get_mut(checksum)? ^= 1;
    let digest = Digest::of(changed.get(..checksum.checked_add(1)?)?);
    changed
        .get_mut(checksum.checked_add(1)?..end)?
        .copy_from_slice(&digest.0);
    Some(changed)
}

/// Moves the first signature block of an image to the second place and puts another in front of it.
pub(super) fn second_block_only(signed: &[u8], first: &[u8; BLOCK_LEN]) -> Option<Vec<u8>> {
    let at = signed.len().checked_sub(SECTOR_SIZE)?;
    let mut changed = signed.to_vec();
    let sector = changed.get_mut(at..)?;
    let own: [u8; BLOCK_LEN] = sector.first_chunk().copied()?;
    sector.get_mut(..BLOCK_LEN)?.copy_from_slice(first);
    sector
        .get_mut(BLOCK_LEN..2 * BLOCK_LEN)?
        .copy_from_slice(&own);
    sector.get_mut(2 * BLOCK_LEN..3 * BLOCK_LEN)?.fill(0xFF);
    Some(changed)
}

/// The image in front of its signature sector, padded to a whole sector, and the sector's offset.
pub(super) fn signed_part(signed: &[u8]) -> Option<&[u8]> {
    signed.get(..signed.len().checked_sub(SECTOR_SIZE)?)
}
