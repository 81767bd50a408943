//! Schemes of flash encryption and secure boot, and which of them a chip has.

/// A flash encryption scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SchemeId {
    /// AES-256 with an address tweak, on the ESP32.
    Esp32Aes,
    /// XTS-AES-128 with a 256-bit key.
    XtsAes128,
    /// XTS-AES-256 with a 512-bit key in two eFuse blocks.
    XtsAes256,
}

/// A flash encryption key that eFuses can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlashEncryptionKey {
    /// The scheme that uses it.
    pub scheme: SchemeId,
    /// Bytes in the key file: fewer than the scheme's own key where the hardware extends it.
    pub length: usize,
}

impl FlashEncryptionKey {
    /// ESP32 AES, eFuse coding scheme none.
    pub(super) const ESP32: Self = Self::new(SchemeId::Esp32Aes, 32);
    /// ESP32 AES, eFuse coding scheme 3/4: bytes 8 to 16 stand in for the last 8.
    pub(super) const ESP32_192: Self = Self::new(SchemeId::Esp32Aes, 24);
    /// XTS-AES-128.
    pub(super) const XTS_128: Self = Self::new(SchemeId::XtsAes128, 32);
    /// XTS-AES-128 with the SHA-256 of half a block.
    pub(super) const XTS_128_DERIVED: Self = Self::new(SchemeId::XtsAes128, 16);
    /// XTS-AES-256.
    pub(super) const XTS_256: Self = Self::new(SchemeId::XtsAes256, 64);

    const fn new(scheme: SchemeId, length: usize) -> Self {
        Self { scheme, length }
    }
}

/// A secure boot scheme and the first chip revision whose ROM has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecureBoot {
    /// The scheme.
    pub scheme: SecureBootScheme,
    /// First chip revision, as major * 100 + minor.
    pub from_revision: u16,
    /// Whether ESP-IDF offers it among its potentially insecure options only, since the silicon fails
    /// for certain inputs (`SECURE_BOOT_V2_ECDSA_INSECURE` of `bootloader/Kconfig.projbuild`).
    pub flawed: bool,
}

impl SecureBoot {
    /// A scheme that every revision has.
    pub(super) const fn always(scheme: SecureBootScheme) -> Self {
        Self::since(scheme, 0)
    }

    /// A scheme that came with a revision.
    pub(super) const fn since(scheme: SecureBootScheme, from_revision: u16) -> Self {
        Self {
            scheme,
            from_revision,
            flawed: false,
        }
    }

    /// A scheme that every revision has and that fails for certain inputs.
    pub(super) const fn flawed(scheme: SecureBootScheme) -> Self {
        Self {
            flawed: true,
            ..Self::always(scheme)
        }
    }
}

/// A secure boot scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SecureBootScheme {
    /// Version 1: symmetric key for the bootloader, ECDSA P-256 for the app.
    V1,
    /// Version 2 with RSA-3072-PSS.
    V2Rsa,
    /// Version 2 with ECDSA.
    V2Ecdsa,
}

/// A curve of secure boot v2 with ECDSA and the first chip revision whose ROM has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SupportedCurve {
    /// The curve.
    pub curve: EcdsaCurve,
    /// First chip revision, as major * 100 + minor.
    pub from_revision: u16,
}

impl SupportedCurve {
    /// A curve that every revision has.
    pub(super) const fn always(curve: EcdsaCurve) -> Self {
        Self::since(curve, 0)
    }

    /// A curve that came with a revision.
    pub(super) const fn since(curve: EcdsaCurve, from_revision: u16) -> Self {
        Self {
            curve,
            from_revision,
        }
    }
}

/// A curve of secure boot v2 with ECDSA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EcdsaCurve {
    /// NIST P-192.
    P192,
    /// NIST P-256.
    P256,
    /// NIST P-384, with SHA-384 of the image.
    P384,
}

/// Whether the chip has an HMAC peripheral fed from eFuse key blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HmacPeripheral {
    /// It has one.
    Present,
    /// It has none: a device key has to be kept in encrypted flash.
    Absent,
}
