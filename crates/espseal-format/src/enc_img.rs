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
    /// RSA-3072 key. ECIES: an [`EciesExchange`].
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

/// What [`EncImgHeader::wrapped_key`] holds in the ECIES scheme: no key, but what the device needs
/// to agree on one.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct EciesExchange {
    /// Ephemeral public key of the sender on P-256: X, then Y, big-endian.
    #[doc(alias = "server_ecc_pub_key")]
    pub ephemeral: [u8; 64],
    /// Salt of HKDF-SHA256.
    #[doc(alias = "kdf_salt")]
    pub salt: [u8; 32],
    reserved: [u8; 288],
}

impl EciesExchange {
    /// Takes both parts; the rest is zero.
    #[must_use]
    pub const fn new(ephemeral: [u8; 64], salt: [u8; 32]) -> Self {
        Self {
            ephemeral,
            salt,
            reserved: [0; 288],
        }
    }

    /// Reads bytes `4..388` of a header; nothing but the device's key says whether they are of the
    /// ECIES scheme.
    ///
    /// Layout: `0..64` ephemeral public key, `64..96` salt, `96..384` reserved.
    #[must_use]
    pub fn parse(wrapped_key: &[u8; 384]) -> Self {
        zerocopy::transmute!(*wrapped_key)
    }

    /// Returns bytes `4..388` of a header.
    #[must_use]
    pub fn encode(&self) -> [u8; 384] {
        zerocopy::transmute!(*self)
    }
}

const _: () = {
    assert!(size_of::<EciesExchange>() == 384);
    assert!(offset_of!(EciesExchange, ephemeral) == 0);
    assert!(offset_of!(EciesExchange, salt) == 64);
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
    fn an_exchange_takes_the_place_of_the_wrapped_key() {
        let exchange = EciesExchange::new([7; 64], [9; 32]);
        let header = EncImgHeader::new(exchange.encode(), [2; 16], 5, [3; 16]);
        let bytes = header.encode();
        assert_eq!(bytes[4..68], [7; 64]);
        assert_eq!(bytes[68..100], [9; 32]);
        assert_eq!(bytes[100..388], [0; 288]);
        assert_eq!(EciesExchange::parse(&header.wrapped_key), exchange);
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
