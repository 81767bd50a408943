//! Certificate for the Secure Debug Controller (SDC): opens JTAG or download mode of one device for
//! one session.
//!
//! ```text
//!    0  "CAMR" | 4 u32 0x01000001 | 8 u32 436 | 12 u32 CRC-32 of 16..436 | 16 u32 0
//!   20..276   what is unlocked: the bits of Unlock in byte 23
//!  276..340   X, Y of the P-256 key, big-endian
//!  340..404   r, s, big-endian: over 20..276 and the chip info
//!  404..436   SHA-256 of 20..404
//!  436..468   nonce
//! ```
//!
//! The chip info is not in the file, since the chip computes it: `SHA-256(SHA-256(MAC reversed) ||
//! nonce || session counter << 4)`. eFuses hold the SHA-256 of X, Y, byte-reversed.
//!
//! Source: observed with espsecure 5.6.0, `generate-sdc-certificate` and `digest-sdc-public-key`; no
//! document describes the format.

use sha2::{Digest as _, Sha256};
use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::crc32;
use crate::units::Digest;

/// Bytes of a certificate.
pub const CERTIFICATE_LEN: usize = 468;
/// Bytes of a nonce.
pub const NONCE_LEN: usize = 32;
/// First bytes.
const MAGIC: [u8; 4] = *b"CAMR";
/// Bytes 4..8.
const VERSION: u32 = 0x0100_0001;
/// Bytes in front of the nonce.
const LENGTH: u32 = 436;

/// What a certificate unlocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unlock(u8);

impl Unlock {
    /// JTAG.
    pub const JTAG: Self = Self(1);
    /// Download mode once more.
    pub const DOWNLOAD_REUSE: Self = Self(2);
    /// Booting from SPI flash whatever the strapping pins say.
    pub const FORCE_SPI_BOOT: Self = Self(4);

    /// Returns both together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of the other is unlocked.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Returns this without the other.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

/// What names a device and a session: signed with the certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChipInfo {
    /// The digest that the chip computes.
    pub digest: Digest,
    /// Random bytes that are part of it.
    pub nonce: [u8; NONCE_LEN],
}

impl ChipInfo {
    /// Computes it from the MAC address; `None` unless the counter is 0, 1, 3 or 7, as burnt bits go.
    #[must_use]
    pub fn new(mac: [u8; 6], session_counter: u8, nonce: [u8; NONCE_LEN]) -> Option<Self> {
        if !matches!(session_counter, 0 | 1 | 3 | 7) {
            return None;
        }
        let mut reversed = mac;
        reversed.reverse();
        let hash = Sha256::new()
            .chain_update(Sha256::digest(reversed))
            .chain_update(nonce)
            .chain_update([session_counter << 4]);
        Some(Self {
            digest: Digest(hash.finalize().into()),
            nonce,
        })
    }

    /// Reads the 64 bytes of a file: digest, then nonce.
    #[must_use]
    pub fn parse(bytes: &[u8; 64]) -> Self {
        let [digest, nonce] = zerocopy::transmute!(*bytes);
        Self {
            digest: Digest(digest),
            nonce,
        }
    }
}

/// A certificate as stored.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct SdcCertificate {
    magic: [u8; 4],
    version: U32,
    length: U32,
    crc: U32,
    reserved: U32,
    unlock: [u8; 256],
    /// X, Y of the key, big-endian.
    pub key: [u8; 64],
    /// r, s, big-endian.
    pub signature: [u8; 64],
    digest: [u8; 32],
    nonce: [u8; NONCE_LEN],
}

impl SdcCertificate {
    /// Returns the SHA-256 of what the signature covers.
    #[must_use]
    pub fn to_be_signed(unlock: Unlock, chip: &ChipInfo) -> Digest {
        let hash = Sha256::new()
            .chain_update(bits(unlock))
            .chain_update(chip.digest.0);
        Digest(hash.finalize().into())
    }

    /// Puts a certificate together and computes digest and CRC.
    #[must_use]
    pub fn new(unlock: Unlock, chip: &ChipInfo, key: [u8; 64], signature: [u8; 64]) -> Self {
        let digest = Sha256::new()
            .chain_update(bits(unlock))
            .chain_update(key)
            .chain_update(signature);
        let mut certificate = Self {
            magic: MAGIC,
            version: U32::new(VERSION),
            length: U32::new(LENGTH),
            crc: U32::ZERO,
            reserved: U32::ZERO,
            unlock: bits(unlock),
            key,
            signature,
            digest: digest.finalize().into(),
            nonce: chip.nonce,
        };
        let summed = certificate.as_bytes().get(16..436);
        certificate.crc = U32::new(crc32::from_all_ones(summed.unwrap_or_default()));
        certificate
    }

    /// Returns the file.
    #[must_use]
    pub fn encode(&self) -> [u8; CERTIFICATE_LEN] {
        zerocopy::transmute!(*self)
    }
}

/// Returns what eFuses hold of a key (X, Y): its SHA-256, byte-reversed.
#[must_use]
pub fn key_digest(key: &[u8; 64]) -> Digest {
    let mut digest = Digest::of(key);
    digest.0.reverse();
    digest
}

/// The 256 bytes of a certificate that say what is unlocked.
const fn bits(unlock: Unlock) -> [u8; 256] {
    let mut bits = [0; 256];
    let [_, _, _, place, ..] = &mut bits;
    *place = unlock.0;
    bits
}

const _: () = {
    assert!(size_of::<SdcCertificate>() == CERTIFICATE_LEN);
    assert!(core::mem::offset_of!(SdcCertificate, unlock) == 20);
    assert!(core::mem::offset_of!(SdcCertificate, key) == 276);
    assert!(core::mem::offset_of!(SdcCertificate, signature) == 340);
    assert!(core::mem::offset_of!(SdcCertificate, digest) == 404);
    assert!(core::mem::offset_of!(SdcCertificate, nonce) == LENGTH as usize);
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_counters_that_no_efuse_can_show_are_refused() {
        for counter in 0..=u8::MAX {
            let info = ChipInfo::new([1; 6], counter, [2; NONCE_LEN]);
            assert_eq!(info.is_some(), [0, 1, 3, 7].contains(&counter), "{counter}");
        }
    }

    #[test]
    fn the_signature_covers_device_session_nonce_and_what_is_unlocked() {
        let info = |mac, counter, nonce| ChipInfo::new([mac; 6], counter, [nonce; 32]).unwrap();
        let digest = SdcCertificate::to_be_signed(Unlock::JTAG, &info(1, 0, 0));
        for other in [
            SdcCertificate::to_be_signed(Unlock::FORCE_SPI_BOOT, &info(1, 0, 0)),
            SdcCertificate::to_be_signed(Unlock::JTAG, &info(2, 0, 0)),
            SdcCertificate::to_be_signed(Unlock::JTAG, &info(1, 1, 0)),
            SdcCertificate::to_be_signed(Unlock::JTAG, &info(1, 0, 1)),
        ] {
            assert_ne!(digest, other);
        }
    }
}
