//! The memory the caller lends: one chunk, one page of hashes, one document, one root.

use espseal_format::metadata::root::Root;
use espseal_format::units::{CHUNK_SIZE, SECTOR_SIZE};

/// Most bytes of one signed document.
pub(crate) const DOCUMENT_SIZE: usize = 2048;

/// Memory for one update, 11.3 KB; usually a `static`.
///
/// Nothing in it outlives a call of the agent, and it holds no keys. Plaintext firmware passes
/// through `sector`.
pub struct Workspace {
    /// One chunk on its way into flash, or a sector of the journal or of otadata.
    pub(crate) sector: [u8; SECTOR_SIZE],
    /// One page of chunk hashes; `now` while metadata is checked; scratch while flash is hashed.
    pub(crate) page: [u8; CHUNK_SIZE],
    /// One signed document.
    pub(crate) document: [u8; DOCUMENT_SIZE],
    /// The root that is trusted while metadata is checked: too large for the stack of a device.
    pub(crate) root: Root,
}

impl Workspace {
    /// Blank memory.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            sector: [0; SECTOR_SIZE],
            page: [0; CHUNK_SIZE],
            document: [0; DOCUMENT_SIZE],
            root: Root::BLANK,
        }
    }
}

impl Default for Workspace {
    fn default() -> Self {
        Self::new()
    }
}
