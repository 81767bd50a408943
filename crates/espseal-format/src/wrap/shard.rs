//! Search for one device in a shard, in whatever slices the network delivers it.
//!
//! Every entry is looked at, also after the device has been found: a shard that is out of order,
//! repeats a device, ends within an entry or is too long is refused as a whole.

use core::fmt;

use super::ShardEntry;
use crate::units::DeviceId;

/// Longest shard in bytes.
pub const MAX_SHARD_LEN: usize = 65_536;

/// Finds the entry of one device while a shard streams by.
#[derive(Clone, Debug)]
pub struct ShardFinder {
    wanted: DeviceId,
    found: Option<ShardEntry>,
    previous: Option<DeviceId>,
    /// Bytes of the current entry received so far.
    partial: heapless::Vec<u8, { ShardEntry::LEN }>,
    /// Bytes received so far.
    total: usize,
}

impl ShardFinder {
    /// Looks for `device`.
    #[must_use]
    pub const fn new(device: DeviceId) -> Self {
        Self {
            wanted: device,
            found: None,
            previous: None,
            partial: heapless::Vec::new(),
            total: 0,
        }
    }

    /// Takes the next bytes of the shard, as many or as few as have arrived.
    ///
    /// # Errors
    /// [`ShardError`] as soon as the shard shows to be invalid; the finder is of no use then.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), ShardError> {
        self.total = self.total.saturating_add(bytes.len());
        if self.total > MAX_SHARD_LEN {
            return Err(ShardError::TooLong {
                limit: MAX_SHARD_LEN,
                found: self.total,
            });
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            let missing = ShardEntry::LEN.saturating_sub(self.partial.len());
            let (piece, tail) = rest.split_at(missing.min(rest.len()));
            rest = tail;
            // Never more than what is missing, so the capacity suffices.
            let _ = self.partial.extend_from_slice(piece);
            if self.partial.is_full() {
                self.accept()?;
                self.partial.clear();
            }
        }
        Ok(())
    }

    /// Ends the shard and returns the device's entry; `None` when the shard is valid without it.
    ///
    /// # Errors
    /// [`ShardError::Truncated`] when the shard ended within an entry.
    pub fn finish(self) -> Result<Option<ShardEntry>, ShardError> {
        if self.partial.is_empty() {
            return Ok(self.found);
        }
        Err(ShardError::Truncated {
            expected: ShardEntry::LEN,
            found: self.partial.len(),
        })
    }

    /// Checks the order of a complete entry and keeps the wanted one.
    fn accept(&mut self) -> Result<(), ShardError> {
        let Ok(entry) = self.partial.as_slice().try_into() else {
            return Ok(());
        };
        let device = ShardEntry::parse(entry).device;
        if let Some(previous) = self.previous.replace(device) {
            let found = device;
            if previous == found {
                return Err(ShardError::Duplicate { found });
            }
            if previous > found {
                return Err(ShardError::Order { previous, found });
            }
        }
        if device == self.wanted {
            self.found = Some(ShardEntry::parse(entry));
        }
        Ok(())
    }
}

/// Finds the entry of a device in a whole shard; `None` when the shard is valid without it.
///
/// # Errors
/// [`ShardError`] when the shard is invalid, wherever the flaw lies.
pub fn find_in_shard(shard: &[u8], device: &DeviceId) -> Result<Option<ShardEntry>, ShardError> {
    let mut finder = ShardFinder::new(*device);
    finder.push(shard)?;
    finder.finish()
}

/// A shard that breaks the rules of its format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ShardError {
    /// More bytes than a shard may have.
    TooLong {
        /// Longest that is accepted.
        limit: usize,
        /// Bytes received so far.
        found: usize,
    },
    /// The shard ends within an entry.
    Truncated {
        /// Length of an entry.
        expected: usize,
        /// Bytes of the last entry.
        found: usize,
    },
    /// A device has two entries.
    Duplicate {
        /// The device.
        found: DeviceId,
    },
    /// Entries do not ascend by device id.
    Order {
        /// Device of the entry before.
        previous: DeviceId,
        /// The lower one after it.
        found: DeviceId,
    },
}

impl fmt::Display for ShardError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { limit, found } => write!(
                f,
                "the shard is at least {found} bytes long, the limit is {limit}: use more \
                 shard-nibbles"
            ),
            Self::Truncated { expected, found } => {
                write!(f, "the last entry has {found} bytes instead of {expected}")
            }
            Self::Duplicate { found } => write!(f, "device {found} has two entries"),
            Self::Order { previous, found } => {
                write!(
                    f,
                    "the entry of device {found} stands after that of {previous}"
                )
            }
        }
    }
}

impl core::error::Error for ShardError {}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use super::*;

    fn id(n: u16) -> DeviceId {
        let mut bytes = [0; 32];
        bytes[..2].copy_from_slice(&n.to_be_bytes());
        DeviceId(bytes)
    }

    fn entry(n: u16) -> ShardEntry {
        ShardEntry {
            device: id(n),
            enc: [n.to_be_bytes()[1]; 65],
            ciphertext: [!n.to_be_bytes()[1]; 48],
        }
    }

    fn shard(devices: impl IntoIterator<Item = u16>) -> Vec<u8> {
        devices
            .into_iter()
            .flat_map(|n| entry(n).encode())
            .collect()
    }

    #[test]
    fn first_middle_and_last_entry_are_found_and_a_stranger_is_not() {
        let shard = shard([2, 4, 6, 8]);
        for n in [2, 4, 6, 8] {
            assert_eq!(find_in_shard(&shard, &id(n)), Ok(Some(entry(n))));
        }
        for n in [1, 3, 9] {
            assert_eq!(find_in_shard(&shard, &id(n)), Ok(None));
        }
        assert_eq!(find_in_shard(&[], &id(1)), Ok(None));
    }

    #[test]
    fn slices_of_every_size_give_the_same_answer() {
        let shard = shard([2, 4, 6, 8]);
        for size in 1..=shard.len() {
            let mut finder = ShardFinder::new(id(6));
            for piece in shard.chunks(size) {
                finder.push(piece).unwrap();
            }
            assert_eq!(finder.finish(), Ok(Some(entry(6))));
        }
    }

    #[test]
    fn flaws_before_and_after_the_wanted_entry_are_refused() {
        assert_eq!(
            find_in_shard(&shard([3, 2, 4]), &id(4)),
            Err(ShardError::Order {
                previous: id(3),
                found: id(2)
            })
        );
        assert_eq!(
            find_in_shard(&shard([1, 3, 3]), &id(1)),
            Err(ShardError::Duplicate { found: id(3) })
        );
        let whole = shard([1, 2]);
        for length in (0..whole.len()).filter(|length| length % ShardEntry::LEN != 0) {
            assert_eq!(
                find_in_shard(&whole[..length], &id(1)),
                Err(ShardError::Truncated {
                    expected: 145,
                    found: length % 145
                })
            );
        }
    }

    #[test]
    fn largest_shard_is_read_and_one_more_entry_refused() {
        let fits = u16::try_from(MAX_SHARD_LEN / ShardEntry::LEN).unwrap();
        assert_eq!(
            find_in_shard(&shard(0..fits), &id(fits - 1)),
            Ok(Some(entry(fits - 1)))
        );
        let mut finder = ShardFinder::new(id(0));
        finder.push(&shard(0..fits)).unwrap();
        assert!(matches!(
            finder.push(&entry(fits).encode()),
            Err(ShardError::TooLong { limit: 65_536, .. })
        ));
    }
}
