//! Progress, for a log or a progress bar.

use espseal_format::units::{ChunkIndex, Digest, FlashOffset};

use crate::platform::Slot;

/// Receives what happens during an update; decides nothing.
pub trait Observer {
    /// Called after the event.
    fn event(&mut self, event: &Event) {
        let _ = event;
    }
}

/// Discards every event.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {}

impl<O: Observer + ?Sized> Observer for &mut O {
    fn event(&mut self, event: &Event) {
        (**self).event(event);
    }
}

/// One step of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A later root was verified and stored.
    RootAccepted {
        /// Its version.
        version: u32,
    },
    /// The offer was verified and this manifest is being installed.
    Offered {
        /// SHA-256 of the manifest.
        manifest: Digest,
    },
    /// The content key was unwrapped and matches the signed commitment; with a direct image, the flash
    /// key is the one that it is encrypted with.
    KeyCommitted,
    /// Staging begins or goes on.
    Staging {
        /// Where to.
        slot: Slot,
        /// How many chunks the body has.
        chunks: u32,
    },
    /// The chunk already stands in the slot and is not fetched.
    Skipped {
        /// Which chunk.
        chunk: ChunkIndex,
    },
    /// The chunk was fetched and its hash matches.
    Fetched {
        /// Which chunk.
        chunk: ChunkIndex,
    },
    /// A sector was erased.
    Erased {
        /// Its first byte.
        at: FlashOffset,
    },
    /// A sector was written and read back.
    Written {
        /// Its first byte.
        at: FlashOffset,
    },
    /// The image in the slot passed every check, chunk 0 included.
    Verified {
        /// Where it stands.
        slot: Slot,
    },
    /// The boot selection names the new image; it takes effect with the next restart.
    Activated {
        /// The slot to be booted.
        slot: Slot,
        /// SHA-256 of the manifest that stands in it.
        manifest: Digest,
    },
    /// The running image is marked valid.
    Confirmed {
        /// SHA-256 of its manifest.
        manifest: Digest,
    },
    /// A failure of this manifest was counted.
    Failed {
        /// SHA-256 of the manifest.
        manifest: Digest,
        /// Failures so far; it is quarantined from two on.
        failures: u8,
    },
}
