//! The device's keys from the HMAC engine: nothing to store, nothing to read out.
//!
//! eFuse holds one key of 32 bytes with purpose HMAC_UP, read-protected, drawn for this device alone.
//! The engine computes HMAC-SHA256 under it; each of espseal's two keys is derived from the result
//! for a label of its own (RFC 9180 `DeriveKeyPair`), see `espseal_crypto::device_key`.

use core::fmt;

use esp_hal::hmac::{Hmac, HmacPurpose, KeyId};
use espseal_crypto::device_key::SoftwareDeviceKey;

use crate::chip::{key_block, purpose};
use crate::engines::Engines;

/// Why this device has no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoDeviceKey {
    /// No key block has the purpose HMAC_UP.
    NotBurnt,
    /// The engine refuses the key block.
    Refused {
        /// Number of the block, `BLOCK_KEY0` being 0.
        block: u8,
    },
    /// The engine's result gives no key: never in practice.
    Degenerate,
}

impl fmt::Display for NoDeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotBurnt => f.write_str(
                "no eFuse key block has the purpose HMAC_UP: burn one \
                 (espefuse burn-key BLOCK_KEY2 hmac.bin HMAC_UP) and enrol the device",
            ),
            Self::Refused { block } => write!(f, "the HMAC engine refuses BLOCK_KEY{block}"),
            Self::Degenerate => f.write_str("the HMAC engine's result gives no key"),
        }
    }
}

/// Derives the device's keys. The HMAC engine computes with the SHA engine, whose clock the engines
/// keep running.
///
/// # Errors
/// [`NoDeviceKey`].
pub fn derive(
    hmac: &mut Hmac<'_>,
    _engines: &Engines<'_>,
) -> Result<SoftwareDeviceKey, NoDeviceKey> {
    let block = key_block(purpose::HMAC_UP)
        .ok_or(NoDeviceKey::NotBurnt)?
        .number;
    let refused = NoDeviceKey::Refused { block };
    let key = || key_id(block).ok_or(refused);
    SoftwareDeviceKey::derive(|label| authenticate(hmac, key()?, label).ok_or(refused)).map_err(
        |error| match error {
            espseal_crypto::device_key::DeriveError::Hmac(error) => error,
            _ => NoDeviceKey::Degenerate,
        },
    )
}

/// HMAC-SHA256 of a message under an eFuse key; `None` when the engine refuses the key.
fn authenticate(hmac: &mut Hmac<'_>, key: KeyId, mut message: &[u8]) -> Option<[u8; 32]> {
    hmac.init();
    hmac.configure(HmacPurpose::ToUser, key).ok()?;
    // The engine answers "not yet" and nothing else.
    while !message.is_empty() {
        if let Ok(rest) = hmac.update(message) {
            message = rest;
        }
    }
    let mut result = [0; 32];
    while hmac.finalize(&mut result).is_err() {}
    Some(result)
}

fn key_id(block: u8) -> Option<KeyId> {
    Some(match block {
        0 => KeyId::Key0,
        1 => KeyId::Key1,
        2 => KeyId::Key2,
        3 => KeyId::Key3,
        4 => KeyId::Key4,
        5 => KeyId::Key5,
        _ => return None,
    })
}
