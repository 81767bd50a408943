//! The eFuse file of Espressif's emulator: all blocks as the silicon holds them.
//!
//! ESP32: BLOCK0 (28 bytes), BLOCK1, BLOCK2, BLOCK3, 124 bytes. Other chips: the read registers of all
//! blocks one after the other, padded with zeros to 1024 bytes. Keys stay in the file when they are
//! read-protected, since the emulated hardware needs them: keep such a file as secret as the keys.
//!
//! The layout is seen with the ESP32 and the ESP32-C3. For the other chips it is extrapolated from the
//! ESP32-C3, whose register layout all but the ESP32-C2 share; no emulator was there to try it. An
//! ESP32 with coding scheme 3/4 has its blocks here as they are read, not as they are stored.
//!
//! Source: observed with Espressif's fork of QEMU.

use espseal_format::chip::ChipId;

use super::{BLOCK_SIZE, EfuseError, Efuses};

/// Encodes the eFuses as the emulator's file. It holds every key in the clear.
#[must_use]
pub fn encode(efuses: &Efuses) -> Vec<u8> {
    let size = efuses.map().registers.emulator_size;
    let mut file = Vec::with_capacity(size);
    for (index, block) in efuses.map().blocks.iter().enumerate() {
        file.extend(
            efuses
                .silicon(index)
                .iter()
                .take(usize::from(block.words) * 4),
        );
    }
    file.resize(size, 0);
    file
}

/// Parses the emulator's file.
///
/// # Errors
/// [`EmulatorFileError`] for an unknown chip or a file of another length.
pub fn parse(chip: ChipId, file: &[u8]) -> Result<Efuses, EmulatorFileError> {
    let mut efuses = Efuses::blank(chip)?;
    let expected = efuses.map().registers.emulator_size;
    if file.len() != expected {
        return Err(EmulatorFileError::Length {
            expected,
            found: file.len(),
        });
    }
    let mut rest = file;
    for (index, block) in efuses.map().blocks.iter().enumerate() {
        let length = usize::from(block.words) * 4;
        let Some((stored, after)) = rest.split_at_checked(length) else {
            break;
        };
        let mut bytes = [0; BLOCK_SIZE];
        bytes
            .iter_mut()
            .zip(stored)
            .for_each(|(to, from)| *to = *from);
        efuses.load_block(index, bytes);
        rest = after;
    }
    Ok(efuses.of_read_revision()?)
}

/// Why a file is not an emulator's eFuse file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EmulatorFileError {
    /// The length is that of another chip, or of no chip.
    #[error(
        "an emulator's eFuse file has {expected} bytes for this chip, this one {found}: is it for another chip?"
    )]
    Length {
        /// Bytes for the chip.
        expected: usize,
        /// Bytes in the file.
        found: usize,
    },
    /// The twin does not know the chip.
    #[error(transparent)]
    Efuse(#[from] EfuseError),
}
