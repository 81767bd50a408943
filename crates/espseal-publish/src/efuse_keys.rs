//! The key files of the virtual espefuse: secure boot keys and ECDSA keys in PEM format.

use std::path::Path;

use espseal_twin::espefuse::PemKeys;
use zeroize::Zeroizing;

use crate::secure_boot_key::{SecureBootKey, read_public_key};

/// Reads PEM files: PKCS#1, SEC1, PKCS#8 and public keys.
#[derive(Clone, Copy, Debug)]
pub struct PemFiles;

impl PemKeys for PemFiles {
    fn secure_boot_digest(&self, path: &Path, file: &[u8]) -> Option<[u8; 32]> {
        let key = read_public_key(path, file).ok()?;
        Some(key.digest().0)
    }

    fn ecdsa_scalar(&self, path: &Path, file: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        SecureBootKey::from_pem(path, file).ok()?.ecdsa_scalar()
    }
}
