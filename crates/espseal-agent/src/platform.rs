//! What the chip knows about itself: the slot that runs, the eFuses, a clock, randomness.

use core::fmt;

use espseal_format::metadata::direct::FlashScheme;
use espseal_format::units::{Digest, SecurityVersion};

/// Digest slots of secure boot in eFuse; the ESP32 uses one, later chips three.
pub const DIGEST_SLOTS: usize = 3;

/// The facts about this chip that no file can change.
pub trait Platform {
    /// The slot the running image was started from.
    fn running_slot(&self) -> Slot;

    /// Digests of the secure-boot keys burnt in eFuse and **not revoked**; `None` for a slot that
    /// is blank or revoked.
    ///
    /// Whole digests: the ESP32-C2, whose eFuses hold the first 16 bytes, takes them from those
    /// signature blocks of its own running image whose keys begin with these bytes.
    fn secure_boot_digests(&self) -> [Option<Digest>; DIGEST_SLOTS];

    /// The anti-rollback counter in eFuse: the number of bits burnt.
    fn secure_version(&self) -> SecurityVersion;

    /// Seconds since 1970 from a clock that the network cannot set, if there is one.
    fn trusted_time(&mut self) -> Option<u64>;

    /// Fills `buffer` with random bytes; they only spread polls over time.
    fn random(&mut self, buffer: &mut [u8]);
}

/// What direct images ask of a chip besides.
pub trait DirectPlatform: Platform {
    /// How eFuses have the flash encrypted; `None` while flash encryption is off.
    ///
    /// Not how the firmware was built: the counter of flash encryption (`FLASH_CRYPT_CNT`,
    /// `SPI_BOOT_CRYPT_CNT`) has an odd number of bits burnt when it is on.
    fn flash_scheme(&self) -> Option<FlashScheme>;
}

impl<P: DirectPlatform + ?Sized> DirectPlatform for &mut P {
    fn flash_scheme(&self) -> Option<FlashScheme> {
        (**self).flash_scheme()
    }
}

/// An app slot of the partition table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Slot {
    /// The factory app, which is never written.
    Factory,
    /// `ota_0` to `ota_15`.
    Ota(u8),
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Factory => f.write_str("factory"),
            Self::Ota(number) => write!(f, "ota_{number}"),
        }
    }
}

impl<P: Platform + ?Sized> Platform for &mut P {
    fn running_slot(&self) -> Slot {
        (**self).running_slot()
    }

    fn secure_boot_digests(&self) -> [Option<Digest>; DIGEST_SLOTS] {
        (**self).secure_boot_digests()
    }

    fn secure_version(&self) -> SecurityVersion {
        (**self).secure_version()
    }

    fn trusted_time(&mut self) -> Option<u64> {
        (**self).trusted_time()
    }

    fn random(&mut self, buffer: &mut [u8]) {
        (**self).random(buffer);
    }
}
