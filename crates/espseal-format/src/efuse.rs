//! Where eFuse fields lie, one table for each chip.
//!
//! A field is a run of bits in a block; a block is read as little-endian 32-bit words. Only fields
//! that secure boot, flash encryption, debug and download locks, keys, versions and identity need
//! are listed. To add a chip, add its file and its two lines here.
//!
//! Source: ESP-IDF `components/efuse/<chip>/esp_efuse_table.csv`, `esp_efuse_chip.h`.

use core::fmt;

use crate::chip::SecureBootScheme;

mod esp32;
mod esp32c3;

pub use esp32::MAP as ESP32;
pub use esp32c3::MAP as ESP32C3;

/// The eFuses of a chip.
#[derive(Debug)]
pub struct EfuseMap {
    /// The blocks, in order of their numbers.
    pub blocks: &'static [Block],
    /// Every listed field, in order of block and bit.
    pub fields: &'static [Field],
    /// Bit n set: what has [`Field::write_protect`] n cannot be burnt any more.
    pub wr_dis: Field,
    /// Bit n set: what has [`Field::read_protect`] n cannot be read by software any more.
    pub rd_dis: Field,
    /// Flash is encrypted while an odd number of its bits is set.
    pub flash_crypt_cnt: Field,
    /// The anti-rollback counter: its set bits count.
    pub secure_version: Field,
    /// Factory MAC address, last byte first.
    pub mac: Field,
    /// The blocks that hold keys.
    pub keys: &'static [KeyBlock],
    /// What turns secure boot on, for each scheme.
    pub secure_boot_enable: &'static [(SecureBootScheme, Field)],
    /// What revokes each secure-boot digest; empty when the chip cannot.
    pub key_revoke: &'static [Field],
    /// Parts of the chip revision's major number, lowest bit first. The ESP32 takes bit 2 from a
    /// register that is no eFuse.
    pub wafer_version_major: &'static [Field],
    /// Parts of the chip revision's minor number, lowest bits first.
    pub wafer_version_minor: &'static [Field],
}

impl EfuseMap {
    /// Looks up a field by the name that ESP-IDF and `espefuse` give it.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.name == name)
    }
}

/// A block of eFuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Its name.
    pub name: &'static str,
    /// 32-bit words that are read from it.
    pub words: u8,
    /// How it is stored.
    pub coding: Coding,
}

/// How a block is stored, and so how it may be burnt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// Bit by bit: each may be burnt at any time.
    Plain,
    /// By the chip's `CODING_SCHEME`: plain, 3/4 or repeated. Only plain allows bits to be added.
    ByScheme,
    /// Reed-Solomon: to be burnt once, as a whole.
    ReedSolomon,
}

/// A run of bits in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Name in ESP-IDF and `espefuse`.
    pub name: &'static str,
    /// Number of the block.
    pub block: u8,
    /// First bit within the block.
    pub bit: u16,
    /// Number of bits.
    pub width: u16,
    /// Bit of `WR_DIS` that write-protects the field.
    pub write_protect: Option<u8>,
    /// Bit of `RD_DIS` that read-protects the field.
    pub read_protect: Option<u8>,
}

impl Field {
    /// Reads a field of at most 64 bits from the bytes of its block (words in little-endian).
    ///
    /// `None` when the field is longer, or the block shorter.
    #[must_use]
    pub fn get(&self, block: &[u8]) -> Option<u64> {
        if self.width > 64 {
            return None;
        }
        (0..self.width).try_fold(0, |value, index| {
            let (byte, mask) = self.place(index)?;
            let set = block.get(byte)? & mask != 0;
            Some(value | (u64::from(set) << index))
        })
    }

    /// Sets the bits of `value` in the bytes of the field's block; bits that are set stay set.
    ///
    /// `None`, with nothing changed, when `value` or the field does not fit.
    #[must_use]
    pub fn burn(&self, block: &mut [u8], value: u64) -> Option<()> {
        let fits = self.width >= 64 || value.checked_shr(u32::from(self.width)) == Some(0);
        let (last, _) = self.place(self.width.checked_sub(1)?)?;
        if !fits || last >= block.len() {
            return None;
        }
        for index in (0..self.width.min(64)).filter(|index| value >> index & 1 != 0) {
            let (byte, mask) = self.place(index)?;
            *block.get_mut(byte)? |= mask;
        }
        Some(())
    }

    /// Byte of the block and mask within it of a bit of the field.
    fn place(&self, index: u16) -> Option<(usize, u8)> {
        let bit = self.bit.checked_add(index)?;
        Some((usize::from(bit / 8), 1 << (bit % 8)))
    }
}

/// A block that holds a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyBlock {
    /// The key itself.
    pub key: Field,
    /// What it is used for.
    pub role: KeyRole,
}

/// What a key block is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyRole {
    /// What this field says, a [`KeyPurpose`].
    Purpose(Field),
    /// Flash encryption, always.
    FlashEncryption,
    /// Secure boot, always: the key of v1, the public-key digest of v2.
    SecureBoot,
    /// Nothing in hardware.
    User,
}

/// What a key block is used for, as `KEY_PURPOSE_n` says.
#[doc(alias = "esp_efuse_purpose_t")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyPurpose {
    /// 0: software.
    User,
    /// 1: reserved; ECDSA on some chips.
    Reserved,
    /// 2: first half of an XTS-AES-256 key.
    XtsAes256Key1,
    /// 3: second half of an XTS-AES-256 key.
    XtsAes256Key2,
    /// 4: XTS-AES-128 key.
    XtsAes128Key,
    /// 5: HMAC, for JTAG and digital signature.
    HmacDownAll,
    /// 6: HMAC, to re-enable JTAG.
    HmacDownJtag,
    /// 7: HMAC, for the digital signature peripheral.
    HmacDownDigitalSignature,
    /// 8: HMAC, for software.
    HmacUp,
    /// 9: digest of the first secure-boot key.
    SecureBootDigest0,
    /// 10: digest of the second.
    SecureBootDigest1,
    /// 11: digest of the third.
    SecureBootDigest2,
    /// A value that this version does not know.
    Unknown(u8),
}

/// Value and `espefuse` name of each purpose.
const PURPOSES: [(KeyPurpose, &str); 12] = [
    (KeyPurpose::User, "USER"),
    (KeyPurpose::Reserved, "RESERVED"),
    (KeyPurpose::XtsAes256Key1, "XTS_AES_256_KEY_1"),
    (KeyPurpose::XtsAes256Key2, "XTS_AES_256_KEY_2"),
    (KeyPurpose::XtsAes128Key, "XTS_AES_128_KEY"),
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
];

impl KeyPurpose {
    /// Reads the stored value.
    #[must_use]
    pub fn from_u8(value: u8) -> Self {
        PURPOSES
            .get(usize::from(value))
            .map_or(Self::Unknown(value), |row| row.0)
    }

    /// Returns the stored value.
    #[must_use]
    pub fn to_u8(self) -> u8 {
        match self {
            Self::Unknown(value) => value,
            known => (0..)
                .zip(PURPOSES)
                .find(|(_, row)| row.0 == known)
                .map_or(0, |(value, _)| value),
        }
    }

    /// Returns the name that `espefuse` uses.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        PURPOSES.iter().find(|row| row.0 == self).map(|row| row.1)
    }

    /// Looks up a name that `espefuse` uses.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        PURPOSES.iter().find(|row| row.1 == name).map(|row| row.0)
    }

    /// Returns the secure-boot digest slot, 0 to 2, that a block of this purpose holds.
    #[must_use]
    pub const fn digest_slot(self) -> Option<usize> {
        match self {
            Self::SecureBootDigest0 => Some(0),
            Self::SecureBootDigest1 => Some(1),
            Self::SecureBootDigest2 => Some(2),
            _ => None,
        }
    }

    /// Returns how `espefuse` burns a key file of this purpose.
    #[must_use]
    pub const fn byte_order(self) -> ByteOrder {
        match self {
            Self::XtsAes128Key | Self::XtsAes256Key1 | Self::XtsAes256Key2 => ByteOrder::Reversed,
            _ => ByteOrder::AsGiven,
        }
    }
}

impl fmt::Display for KeyPurpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => write!(f, "purpose {}", self.to_u8()),
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

/// A field that can be burnt for good and always read.
const fn field(name: &'static str, block: u8, bit: u16, width: u16, write_protect: u8) -> Field {
    Field {
        name,
        block,
        bit,
        width,
        write_protect: Some(write_protect),
        read_protect: None,
    }
}

impl Field {
    /// The same field with a bit of `RD_DIS`.
    const fn read_protected_by(self, bit: u8) -> Self {
        Self {
            read_protect: Some(bit),
            ..self
        }
    }

    /// The same field with nothing that write-protects it.
    const fn never_write_protected(self) -> Self {
        Self {
            write_protect: None,
            ..self
        }
    }
}

#[cfg(test)]
mod tests;
