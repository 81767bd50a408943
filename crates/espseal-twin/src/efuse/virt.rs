//! The file of `espefuse --virt --path-efuse-file`: the eFuse controller's register space, reversed.
//!
//! Byte *i* of the file is byte `length - 1 - i` of the registers, whose words are little-endian: 288
//! bytes for the ESP32, 512 for the others. Once anything was burnt, the controller's timing registers and the
//! Reed-Solomon check values of the last coded block are there, too.
//!
//! What it cannot hold, since it shows what software reads:
//!
//! * a key that is read-protected: it is zero in the file, and lost when the file is read again. Flash
//!   encryption cannot be rehearsed from such a file; the [emulator's file](super::emulator) can;
//! * ESP32 fields that `RD_DIS` bit 3 hides, the coding scheme among them;
//! * whether an ESP32 whose eFuses say revision 2 or 3 is wired as one or the other: it is taken for 3.
//!
//! Source: observed with espefuse 5.6.0, byte for byte for every chip (`tests/espefuse.rs`).

use espseal_format::chip::ChipId;

use super::{BLOCK_SIZE, EfuseError, Efuses};

/// Encodes the eFuses as the file of `espefuse --virt`.
#[must_use]
pub fn encode(efuses: &Efuses) -> Vec<u8> {
    let layout = &efuses.map().registers;
    let mut registers = vec![0; layout.space];
    for (index, (register, length)) in places(efuses).enumerate() {
        place(
            &mut registers,
            register,
            efuses.read_block(index).get(..length),
        );
    }
    if efuses.controller.used {
        for (register, value) in layout.controller {
            place(&mut registers, *register, Some(&value.to_le_bytes()));
        }
        if let Some(register) = layout.check {
            place(
                &mut registers,
                register,
                Some(&efuses.controller.check_values),
            );
        }
    }
    registers.reverse();
    registers
}

/// Parses the file of `espefuse --virt`. Read-protected keys come back as zeros.
///
/// # Errors
/// [`VirtFileError`] for an unknown chip or a file of another length.
pub fn parse(chip: ChipId, file: &[u8]) -> Result<Efuses, VirtFileError> {
    let mut efuses = Efuses::blank(chip)?;
    let layout = &efuses.map().registers;
    if file.len() != layout.space {
        return Err(VirtFileError::Length {
            expected: layout.space,
            found: file.len(),
        });
    }
    let registers: Vec<u8> = file.iter().rev().copied().collect();
    let places: Vec<_> = places(&efuses).collect();
    for (index, (register, length)) in places.into_iter().enumerate() {
        let mut bytes = [0; BLOCK_SIZE];
        if let Some(stored) = registers.get(register..register.saturating_add(length)) {
            bytes
                .iter_mut()
                .zip(stored)
                .for_each(|(to, from)| *to = *from);
        }
        efuses.load_block(index, bytes);
    }
    efuses.controller.used = layout
        .controller
        .iter()
        .any(|(register, _)| registers.get(*register) != Some(&0));
    if let Some(check) = layout
        .check
        .and_then(|at| registers.get(at..)?.first_chunk())
    {
        efuses.controller.check_values = *check;
    }
    Ok(efuses.of_read_revision()?)
}

/// Why a file is not one of `espefuse --virt`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VirtFileError {
    /// The length is that of another chip, or of no chip.
    #[error(
        "an eFuse file of espefuse has {expected} bytes for this chip, this one {found}: is it for another chip?"
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

/// Register and length in bytes of each block.
fn places(efuses: &Efuses) -> impl Iterator<Item = (usize, usize)> {
    let lengths = efuses
        .map()
        .blocks
        .iter()
        .map(|block| usize::from(block.words) * 4);
    efuses.map().registers.blocks.iter().copied().zip(lengths)
}

/// Copies bytes to a register.
fn place(registers: &mut [u8], register: usize, bytes: Option<&[u8]>) {
    let target = registers.get_mut(register..).unwrap_or_default();
    target
        .iter_mut()
        .zip(bytes.unwrap_or_default())
        .for_each(|(to, from)| *to = *from);
}
