//! Header of a file sealed for unmodified ESP-IDF devices (`esp_encrypted_img`).
//!
//! 512 bytes, followed by the AES-256-GCM ciphertext. Only bytes `4..388` depend on the
//! recipient; the last 88 bytes are neither used nor authenticated.
//!
//! Source: idf-extra-components `esp_encrypted_img/src`, `tools/esp_enc_img_gen.py`.

use core::fmt;
use core::mem::offset_of;

use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// First four bytes, for the RSA and for the ECIES scheme.
pub const MAGIC: [u8; 4] = [0xCF, 0xB6, 0x88, 0x07];
/// Bytes of the header.
pub const LEN: usize = 512;

/// The header as stored.
#[doc(alias = "pre_enc_bin_header")]
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct EncImgHeader {
    magic: [u8; 4],
    /// Content key for one recipient. RSA: PKCS#1 v1.5 ciphertext of the key under the device's
    /// RSA-3072 key. ECIES: `0..64` ephemeral public key X, Y, `64..96` HKDF salt, rest 0.
    pub wrapped_key: [u8; 384],
    /// IV of the body.
    pub iv: [u8; 16],
    size: U32,
    /// GCM tag of the body.
    pub tag: [u8; 16],
    /// Neither used nor authenticated.
    pub reserved: [u8; 88],
}

impl EncImgHeader {
    /// Makes the header of a body of `size` bytes.
    #[must_use]
    pub fn new(wrapped_key: [u8; 384], iv: [u8; 16], size: u32, tag: [u8; 16]) -> Self {
        Self {
            magic: MAGIC,
            wrapped_key,
            iv,
            size: U32::new(size),
            tag,
            reserved: [0; 88],
        }
    }

    /// Parses a header.
    ///
    /// Layout (512 bytes, little-endian): `0..4` magic, `4..388` wrapped key, `388..404` IV,
    /// `404..408` size of the body, `408..424` tag, `424..512` reserved.
    ///
    /// # Errors
    /// [`EncImgError::Magic`].
    pub fn parse(bytes: &[u8; LEN]) -> Result<Self, EncImgError> {
        let header: Self = zerocopy::transmute!(*bytes);
        if header.magic != MAGIC {
            return Err(EncImgError::Magic {
                found: header.magic,
            });
        }
        Ok(header)
    }

    /// Returns the header as stored.
    #[must_use]
    pub fn encode(&self) -> [u8; LEN] {
        zerocopy::transmute!(*self)
    }

    /// Returns the size of the body in bytes.
    #[must_use]
    pub fn size(&self) -> u32 {
        self.size.get()
    }
}

const _: () = {
    assert!(size_of::<EncImgHeader>() == LEN);
    assert!(offset_of!(EncImgHeader, wrapped_key) == 4);
    assert!(offset_of!(EncImgHeader, iv) == 388);
    assert!(offset_of!(EncImgHeader, size) == 404);
    assert!(offset_of!(EncImgHeader, tag) == 408);
    assert!(offset_of!(EncImgHeader, reserved) == 424);
};

/// Why 512 bytes are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncImgError {
    /// The first four bytes are others.
    Magic {
        /// The bytes.
        found: [u8; 4],
    },
}

impl fmt::Display for EncImgError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Magic { found } => write!(
                f,
                "no esp_encrypted_img header: magic at offset 0x0 is {found:02x?}, expected {MAGIC:02x?}"
            ),
        }
    }
}

impl core::error::Error for EncImgError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_round_trips() {
        let header = EncImgHeader::new([1; 384], [2; 16], 0x1234_5678, [3; 16]);
        let bytes = header.encode();
        assert_eq!(bytes[404..408], [0x78, 0x56, 0x34, 0x12]);
        assert_eq!(EncImgHeader::parse(&bytes), Ok(header));
        assert_eq!(header.size(), 0x1234_5678);
    }

    #[test]
    fn other_magic_is_refused() {
        let mut bytes = EncImgHeader::new([0; 384], [0; 16], 0, [0; 16]).encode();
        bytes[3] ^= 1;
        assert_eq!(
            EncImgHeader::parse(&bytes),
            Err(EncImgError::Magic {
                found: [0xCF, 0xB6, 0x88, 0x06]
            })
        );
    }
}
