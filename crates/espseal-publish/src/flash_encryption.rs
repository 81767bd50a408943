//! Whole files through flash encryption: on all cores, in little memory.
//!
//! Data is read into one buffer of a few megabytes, which the cores share out among them, and
//! written from there, so memory does not grow with the file. Each 16-byte block depends on its own
//! address only, so the parts need nothing from each other.

use std::io::Write;
use std::path::Path;

use espseal_crypto::flash_encryption::{BLOCK_LEN, FlashCipher, Misaligned};
use espseal_format::units::FlashOffset;

use crate::blame::Blame;
use crate::files::{FileError, Input};
use crate::observer::{Observer, Stage};

/// Bytes that are in memory at a time.
const BUFFER: usize = 8 << 20;
/// Fewest bytes that are worth a thread.
const SHARE: usize = 256 << 10;
/// Steps that an [`Observer`] sees.
const STEP: u64 = 1 << 20;
/// First address that flash cannot have: addresses are 32 bits wide.
const ADDRESS_END: u64 = 1 << 32;

/// What happens to the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From plaintext to what is written to flash.
    Encrypt,
    /// From what was read from flash to plaintext.
    Decrypt,
}

/// What fills the last block of 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// Nothing: data of another length is refused.
    Refuse,
    /// Ones, as in erased flash.
    Erased,
    /// Random bytes.
    Random,
}

/// Transforms a buffer in place on all cores.
///
/// # Errors
/// [`Misaligned`] unless offset and length are multiples of 16; nothing is changed then.
pub fn apply(
    cipher: &FlashCipher,
    direction: Direction,
    offset: FlashOffset,
    data: &mut [u8],
) -> Result<(), Misaligned> {
    let part = |offset, data: &mut [u8]| match direction {
        Direction::Encrypt => cipher.encrypt(offset, data),
        Direction::Decrypt => cipher.decrypt(offset, data),
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let share = data.len().div_ceil(cores).next_multiple_of(4096).max(SHARE);
    if data.len() <= share || !data.len().is_multiple_of(BLOCK_LEN) {
        return part(offset, data);
    }
    std::thread::scope(|scope| {
        let offsets = (offset.get()..).step_by(share).map(FlashOffset::new);
        let workers: Vec<_> = data
            .chunks_mut(share)
            .zip(offsets)
            .map(|(data, offset)| scope.spawn(move || part(offset, data)))
            .collect();
        workers.into_iter().try_for_each(|worker| {
            worker
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    })
}

/// The way of one file through flash encryption.
#[derive(Debug)]
pub struct Job<'a> {
    /// The chip's flash encryption, with its key.
    pub cipher: &'a FlashCipher,
    /// What happens.
    pub direction: Direction,
    /// Where the first byte stands in flash.
    pub offset: FlashOffset,
    /// What fills the last block.
    pub padding: Padding,
    /// First address past the flash that the data must fit into; `None` for 4 GiB.
    pub flash_end: Option<FlashOffset>,
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    /// Bytes read.
    pub read: u64,
    /// Bytes added to fill the last block.
    pub padded: usize,
}

impl Job<'_> {
    /// Reads all of the input and writes all of the output, which is called `output_path` in
    /// errors. What fails leaves the output half written: let it be a
    /// [`Draft`](crate::files::Draft).
    ///
    /// # Errors
    /// [`FlashDataError`].
    pub fn run(
        &self,
        input: &mut Input,
        output: &mut dyn Write,
        output_path: &Path,
        observer: &dyn Observer,
    ) -> Result<Done, FlashDataError> {
        self.check(input.length().unwrap_or_default())?;
        let stage = match self.direction {
            Direction::Encrypt => Stage::Encrypting,
            Direction::Decrypt => Stage::Decrypting,
        };
        observer.begin(
            stage,
            input.length().map_or(0, |length| length.div_ceil(STEP)),
        );
        let length = input.length().unwrap_or(BUFFER as u64).max(STEP);
        let size = usize::try_from(length).map_or(BUFFER, |length| length.min(BUFFER));
        let mut buffer = vec![0; size.next_multiple_of(BLOCK_LEN)];
        let mut done = Done { read: 0, padded: 0 };
        let mut offset = self.offset;
        loop {
            if observer.is_interrupted() {
                return Err(FlashDataError::Interrupted);
            }
            let filled = input.fill(&mut buffer)?;
            done.read = done.read.saturating_add(filled as u64);
            self.check(done.read)?;
            if filled == 0 {
                break;
            }
            let whole = filled.next_multiple_of(BLOCK_LEN);
            let data = buffer.get_mut(..whole).unwrap_or_default();
            done.padded = whole.saturating_sub(filled);
            self.pad(data.get_mut(filled..).unwrap_or_default())?;
            apply(self.cipher, self.direction, offset, data)?;
            output.write_all(data).map_err(|cause| FileError::Write {
                path: output_path.into(),
                cause,
            })?;
            observer.advance((whole as u64).div_ceil(STEP));
            let advanced = u32::try_from(whole).ok();
            match advanced.and_then(|whole| offset.checked_add(whole)) {
                Some(next) if done.padded == 0 => offset = next,
                // The last block is padded, or the last address reached.
                _ => {
                    let more = input.fill(buffer.get_mut(..1).unwrap_or_default())?;
                    done.read = done.read.saturating_add(more as u64);
                    self.check(done.read)?;
                    break;
                }
            }
        }
        output.flush().map_err(|cause| FileError::Write {
            path: output_path.into(),
            cause,
        })?;
        Ok(done)
    }

    /// Refuses data of so many bytes that cannot stand there.
    fn check(&self, length: u64) -> Result<(), FlashDataError> {
        let blocks = BLOCK_LEN as u64;
        if !self.offset.get().is_multiple_of(16) {
            return Err(FlashDataError::Address {
                found: self.offset.get(),
            });
        }
        if self.padding == Padding::Refuse && !length.is_multiple_of(blocks) {
            return Err(FlashDataError::Length { found: length });
        }
        let end = self
            .flash_end
            .map_or(ADDRESS_END, |end| u64::from(end.get()));
        let start = u64::from(self.offset.get());
        if start.saturating_add(length) > end {
            return Err(FlashDataError::Beyond { start, length, end });
        }
        Ok(())
    }

    /// Fills the end of the last block.
    fn pad(&self, end: &mut [u8]) -> Result<(), FlashDataError> {
        match self.padding {
            Padding::Refuse => Ok(()),
            Padding::Erased => {
                end.fill(0xFF);
                Ok(())
            }
            Padding::Random => getrandom::fill(end).map_err(|_| FlashDataError::NoRandomness),
        }
    }
}

/// Why data did not go through flash encryption.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FlashDataError {
    /// The address is no multiple of 16.
    #[error(
        "the address {found:#x} is not a multiple of 16, the blocks that flash encryption works on; \
         start at {:#x} with the bytes before", found & !0xF
    )]
    Address {
        /// The address.
        found: u32,
    },
    /// The length is no multiple of 16.
    #[error(
        "the data has {found} bytes, expected a multiple of 16, the blocks that flash encryption \
         works on; pad it, or read whole blocks from flash"
    )]
    Length {
        /// The length.
        found: u64,
    },
    /// The data does not fit between its address and the end of flash.
    #[error(
        "{length} bytes at {start:#x} reach beyond {end:#x}, where flash ends; check the address"
    )]
    Beyond {
        /// Address of the first byte.
        start: u64,
        /// Number of bytes, as far as they were read.
        length: u64,
        /// First address past the flash.
        end: u64,
    },
    /// The system gives no random bytes for padding.
    #[error("the system has no random numbers to fill the last block with")]
    NoRandomness,
    /// The user interrupted the work.
    #[error("interrupted; nothing was written")]
    Interrupted,
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A part was cut at the wrong place: a mistake in this program.
    #[error(transparent)]
    Misaligned(#[from] Misaligned),
}

impl FlashDataError {
    /// Who can put it right.
    #[must_use]
    pub const fn blame(&self) -> Blame {
        match self {
            Self::Address { .. } | Self::Length { .. } | Self::Beyond { .. } => Blame::Usage,
            Self::Interrupted => Blame::Interrupted,
            Self::NoRandomness | Self::File(_) | Self::Misaligned(_) => Blame::Io,
        }
    }
}

#[cfg(test)]
mod tests;
