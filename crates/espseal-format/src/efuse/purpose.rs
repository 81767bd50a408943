//! What a key in eFuse is for.
//!
//! Source: ESP-IDF `components/efuse/<chip>/include/esp_efuse_chip.h`, `efuse_controller/keys/`; names
//! and byte order of `espefuse burn-key` as observed.

use core::fmt;

/// What a key block is used for. Numbers differ between chips: see
/// [`EfuseMap::purposes`](super::EfuseMap::purposes).
#[doc(alias = "esp_efuse_purpose_t")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyPurpose {
    /// Software.
    User,
    /// Nothing yet.
    Reserved,
    /// Private key of the ECDSA peripheral, P-256.
    EcdsaKey,
    /// Private key of the ECDSA peripheral, P-192.
    EcdsaKeyP192,
    /// Low part of a P-384 private key.
    EcdsaKeyP384L,
    /// High part of a P-384 private key.
    EcdsaKeyP384H,
    /// First half of an XTS-AES-256 key.
    XtsAes256Key1,
    /// Second half of an XTS-AES-256 key.
    XtsAes256Key2,
    /// XTS-AES-128 key.
    XtsAes128Key,
    /// XTS-AES-128 key that is the SHA-256 of 16 bytes, in half a block.
    XtsAes128KeyDerived,
    /// First half of an XTS-AES-256 key for external RAM.
    XtsAes256PsramKey1,
    /// Second half of an XTS-AES-256 key for external RAM.
    XtsAes256PsramKey2,
    /// XTS-AES-128 key for external RAM.
    XtsAes128PsramKey,
    /// HMAC, for JTAG and digital signature.
    HmacDownAll,
    /// HMAC, to re-enable JTAG.
    HmacDownJtag,
    /// HMAC, for the digital signature peripheral.
    HmacDownDigitalSignature,
    /// HMAC, for software.
    HmacUp,
    /// Digest of the first secure-boot key.
    SecureBootDigest0,
    /// Digest of the second.
    SecureBootDigest1,
    /// Digest of the third.
    SecureBootDigest2,
    /// First half of the digest of the only secure-boot key.
    SecureBootDigest,
    /// What the key manager starts from.
    KmInitKey,
    /// Flash encryption key of the ESP32.
    FlashEncryption,
    /// Secure boot v1 key of the ESP32.
    SecureBootV1,
    /// Digest of the secure boot v2 key of the ESP32.
    SecureBootV2,
    /// A number that the chip's table does not have.
    Unknown(u8),
}

/// Name of each purpose as `espefuse` gives it, or as ESP-IDF does where espefuse has none.
const NAMES: [(KeyPurpose, &str); 25] = [
    (KeyPurpose::User, "USER"),
    (KeyPurpose::Reserved, "RESERVED"),
    (KeyPurpose::EcdsaKey, "ECDSA_KEY"),
    (KeyPurpose::EcdsaKeyP192, "ECDSA_KEY_P192"),
    (KeyPurpose::EcdsaKeyP384L, "ECDSA_KEY_P384_L"),
    (KeyPurpose::EcdsaKeyP384H, "ECDSA_KEY_P384_H"),
    (KeyPurpose::XtsAes256Key1, "XTS_AES_256_KEY_1"),
    (KeyPurpose::XtsAes256Key2, "XTS_AES_256_KEY_2"),
    (KeyPurpose::XtsAes128Key, "XTS_AES_128_KEY"),
    (
        KeyPurpose::XtsAes128KeyDerived,
        "XTS_AES_128_KEY_DERIVED_FROM_128_EFUSE_BITS",
    ),
    (KeyPurpose::XtsAes256PsramKey1, "XTS_AES_256_PSRAM_KEY_1"),
    (KeyPurpose::XtsAes256PsramKey2, "XTS_AES_256_PSRAM_KEY_2"),
    (KeyPurpose::XtsAes128PsramKey, "XTS_AES_128_PSRAM_KEY"),
    (KeyPurpose::HmacDownAll, "HMAC_DOWN_ALL"),
    (KeyPurpose::HmacDownJtag, "HMAC_DOWN_JTAG"),
    (
        KeyPurpose::HmacDownDigitalSignature,
        "HMAC_DOWN_DIGITAL_SIGNATURE",
    ),
    (KeyPurpose::HmacUp, "HMAC_UP"),
    (KeyPurpose::SecureBootDigest0, "SECURE_BOOT_DIGEST0"),
    (KeyPurpose::SecureBootDigest1, "SECURE_BOOT_DIGEST1"),
    (KeyPurpose::SecureBootDigest2, "SECURE_BOOT_DIGEST2"),
    (KeyPurpose::SecureBootDigest, "SECURE_BOOT_DIGEST"),
    (KeyPurpose::KmInitKey, "KM_INIT_KEY"),
    (KeyPurpose::FlashEncryption, "flash_encryption"),
    (KeyPurpose::SecureBootV1, "secure_boot_v1"),
    (KeyPurpose::SecureBootV2, "secure_boot_v2"),
];

impl KeyPurpose {
    /// Returns the name that `espefuse` uses.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        NAMES.iter().find(|row| row.0 == self).map(|row| row.1)
    }

    /// Looks up a name that `espefuse` uses.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        NAMES.iter().find(|row| row.1 == name).map(|row| row.0)
    }

    /// Returns the secure-boot digest slot, 0 to 2, that a key of this purpose is for.
    #[must_use]
    pub const fn digest_slot(self) -> Option<usize> {
        match self {
            Self::SecureBootDigest0 | Self::SecureBootDigest | Self::SecureBootV2 => Some(0),
            Self::SecureBootDigest1 => Some(1),
            Self::SecureBootDigest2 => Some(2),
            _ => None,
        }
    }

    /// Returns how a key file of this purpose is burnt.
    #[must_use]
    pub const fn byte_order(self) -> ByteOrder {
        match self {
            Self::XtsAes128Key
            | Self::XtsAes128KeyDerived
            | Self::XtsAes256Key1
            | Self::XtsAes256Key2
            | Self::XtsAes128PsramKey
            | Self::XtsAes256PsramKey1
            | Self::XtsAes256PsramKey2
            | Self::EcdsaKey
            | Self::EcdsaKeyP192
            | Self::EcdsaKeyP384L
            | Self::EcdsaKeyP384H
            | Self::FlashEncryption
            | Self::SecureBootV1 => ByteOrder::Reversed,
            _ => ByteOrder::AsGiven,
        }
    }

    /// Whether software must not read the key: it is read-protected when it is burnt.
    #[must_use]
    pub const fn is_secret(self) -> bool {
        !matches!(
            self,
            Self::User
                | Self::Reserved
                | Self::SecureBootDigest0
                | Self::SecureBootDigest1
                | Self::SecureBootDigest2
                | Self::SecureBootDigest
                | Self::SecureBootV2
                | Self::Unknown(_)
        )
    }
}

impl fmt::Display for KeyPurpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.name(), self) {
            (Some(name), _) => f.pad(name),
            (None, Self::Unknown(number)) => write!(f, "purpose {number}"),
            (None, _) => f.write_str("purpose"),
        }
    }
}

/// Order in which a key file's bytes stand in its block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteOrder {
    /// The first byte of the file is the first of the block.
    AsGiven,
    /// The first byte of the file is the last of the block.
    Reversed,
}
