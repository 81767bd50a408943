//! eFuses from blocks that were read out of a real chip.

use espseal_format::chip::ChipId;

use super::{BLOCK_SIZE, EfuseError, Efuses, Silicon};

/// Whether the silicon is older than what its eFuses can say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wiring {
    /// An ESP32 before revision 3, whose eFuses may say the same as those of one after.
    BeforeRevision3,
    /// Everything else.
    #[default]
    Current,
}

impl Efuses {
    /// Makes the eFuses of a chip whose blocks software reads as these; what is hidden reads as zero.
    ///
    /// # Errors
    /// [`EfuseError::UnknownChip`]; [`EfuseError::NoSuchRevision`] for silicon that the chip's table
    /// does not describe.
    pub fn read_back(
        chip: ChipId,
        blocks: impl IntoIterator<Item = [u8; BLOCK_SIZE]>,
        wiring: Wiring,
    ) -> Result<Self, EfuseError> {
        let mut efuses = Self::blank(chip)?;
        for (index, bytes) in blocks.into_iter().enumerate() {
            efuses.load_block(index, bytes);
        }
        if wiring == Wiring::BeforeRevision3 && chip == ChipId::Esp32 {
            efuses.silicon = Silicon::BeforeRevision3;
        }
        efuses.of_read_revision()
    }
}
