//! How the work is watched and interrupted.

/// Parts of the work, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stage {
    /// Waiting for another espseal to finish with the project.
    WaitingForLock,
    /// Checking the image.
    Checking,
    /// Sealing the image and opening it again.
    Sealing,
    /// Rehearsing the update on a virtual device.
    Rehearsing,
    /// Wrapping keys for the devices.
    Wrapping,
    /// Sealing a file for each device that needs one of its own.
    SealingFiles,
    /// Writing the repository.
    Storing,
    /// Signing the metadata.
    Signing,
    /// Encrypting data for flash.
    Encrypting,
    /// Decrypting data from flash.
    Decrypting,
    /// Making devices.
    Making,
    /// Enrolling devices.
    Enrolling,
}

impl Stage {
    /// What a progress bar says.
    #[must_use]
    pub const fn describe(self) -> &'static str {
        match self {
            Self::WaitingForLock => "waiting for another espseal",
            Self::Checking => "checking the image",
            Self::Sealing => "sealing, and opening it again",
            Self::Rehearsing => "rehearsing on a virtual device",
            Self::Wrapping => "wrapping keys for the devices",
            Self::SealingFiles => "files sealed for ESP-IDF devices",
            Self::Storing => "writing the repository",
            Self::Signing => "signing",
            Self::Encrypting => "MiB encrypted",
            Self::Decrypting => "MiB decrypted",
            Self::Making => "devices made",
            Self::Enrolling => "devices enrolled",
        }
    }
}

/// Whoever watches the work and may stop it.
pub trait Observer {
    /// A stage begins; `total` steps are known to lie ahead, 0 when nobody knows.
    fn begin(&self, stage: Stage, total: u64);

    /// Some steps of the stage are done.
    fn advance(&self, steps: u64);

    /// Whether the user asked to stop; looked at wherever stopping leaves nothing behind.
    fn is_interrupted(&self) -> bool;
}

/// Nobody watches.
#[derive(Clone, Copy, Debug)]
pub struct Unwatched;

impl Observer for Unwatched {
    fn begin(&self, _: Stage, _: u64) {}

    fn advance(&self, _: u64) {}

    fn is_interrupted(&self) -> bool {
        false
    }
}
