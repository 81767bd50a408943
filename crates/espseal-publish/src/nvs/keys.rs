//! Files of NVS keys.
//!
//! A key file is what the `nvs_keys` partition holds before flash encryption: 64 bytes of keys, their
//! CRC, 0xFF to the end of the sector. In the HMAC scheme the secret is the 32-byte eFuse key.

use std::path::{Path, PathBuf};

use espseal_crypto::nvs_encryption::{NvsKeys, NvsKeysError};
use espseal_format::nvs::PAGE_LEN;
use zeroize::Zeroizing;

use crate::blame::Blame;
use crate::files::{self, FileError};

/// Largest key file: partitions of more than a sector repeat nothing.
const LARGEST: u64 = 64 << 10;
/// Bytes of an eFuse key of the HMAC peripheral.
const HMAC_KEY_LEN: usize = 32;

/// Draws keys from the system's random number generator.
#[must_use]
pub fn draw() -> NvsKeys {
    NvsKeys::generate(&mut crate::authority::random())
}

/// Reads a key file.
///
/// # Errors
/// [`NvsKeyError`].
pub fn read(path: &Path) -> Result<NvsKeys, NvsKeyError> {
    let bytes = files::read_private(path, "NVS keys", LARGEST)?;
    NvsKeys::from_partition(&bytes).map_err(|cause| NvsKeyError::Keys {
        path: path.into(),
        cause,
    })
}

/// Reads an eFuse key of the HMAC scheme, and derives the keys from it.
///
/// # Errors
/// [`NvsKeyError`].
pub fn read_hmac(path: &Path) -> Result<NvsKeys, NvsKeyError> {
    let bytes = files::read_private(path, "an HMAC key", LARGEST)?;
    let key: &[u8; HMAC_KEY_LEN] = bytes.as_slice().try_into().map_err(|_| NvsKeyError::Hmac {
        path: path.into(),
        found: bytes.len(),
    })?;
    Ok(NvsKeys::from_hmac_key(key))
}

/// Returns a sector of the `nvs_keys` partition, before flash encryption.
#[must_use]
pub fn partition(keys: &NvsKeys) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(vec![0xFF; PAGE_LEN]);
    let start = keys.to_partition();
    bytes
        .iter_mut()
        .zip(start.iter())
        .for_each(|(to, from)| *to = *from);
    bytes
}

/// Failure of reading NVS keys.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NvsKeyError {
    /// The file holds no keys.
    #[error("{}: {cause}", path.display())]
    Keys {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: NvsKeysError,
    },
    /// The file holds no eFuse key.
    #[error("{} has {found} bytes, expected the {HMAC_KEY_LEN} of an HMAC key", path.display())]
    Hmac {
        /// The file.
        path: PathBuf,
        /// Bytes.
        found: usize,
    },
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
}

impl NvsKeyError {
    /// Who can put it right.
    #[must_use]
    pub const fn blame(&self) -> Blame {
        match self {
            Self::Keys { .. } | Self::Hmac { .. } => Blame::Usage,
            Self::File(_) => Blame::Io,
        }
    }
}
