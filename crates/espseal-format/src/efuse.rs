//! Where eFuse fields lie, and what protects them: the types of the tables in [`crate::chip`].
//!
//! A field is a run of bits in a block; a block is read as little-endian 32-bit words.
//!
//! Source: ESP-IDF `components/efuse/<chip>/esp_efuse_table.csv`, `esp_efuse_chip.h`,
//! `components/soc/<chip>/register/soc/efuse_reg.h`.

use crate::chip::SecureBootScheme;

pub(crate) mod layout;
mod purpose;

pub use purpose::{ByteOrder, KeyPurpose};

/// The eFuses of a chip.
#[derive(Debug)]
pub struct EfuseMap {
    /// The blocks, in order of their numbers.
    pub blocks: &'static [Block],
    /// Every field by its name in `espefuse`, in order of block and bit.
    pub fields: &'static [Field],
    /// Calibration values that Espressif burns and `espefuse` does not list, in the same order.
    pub calibration: &'static [Field],
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
    /// What keys can be for, with the number that stands for it in a purpose field. Chips without
    /// such fields number from 0.
    pub purposes: &'static [(u8, KeyPurpose)],
    /// What turns secure boot on, for each scheme.
    pub secure_boot_enable: &'static [(SecureBootScheme, Field)],
    /// What revokes each secure-boot digest; empty when the chip cannot.
    pub key_revoke: &'static [Field],
    /// What makes the ROM revoke a digest as soon as verification with it fails.
    pub aggressive_revoke: Option<Field>,
    /// What makes the ROM take SHA-384, for ECDSA P-384.
    pub secure_boot_sha384: Option<Field>,
    /// Parts of the chip revision's major number, lowest bit first. The ESP32 takes bit 2 from a
    /// register that is no eFuse.
    pub wafer_version_major: &'static [Field],
    /// Parts of the chip revision's minor number, lowest bits first.
    pub wafer_version_minor: &'static [Field],
    /// How the eFuse controller shows the blocks.
    pub registers: Registers,
}

impl EfuseMap {
    /// Looks up a field by the name that `espefuse` gives it.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields
            .iter()
            .chain(self.calibration)
            .find(|field| field.name == name)
    }

    /// Reads the number in a purpose field.
    #[must_use]
    pub fn purpose(&self, number: u8) -> KeyPurpose {
        self.purposes
            .iter()
            .find(|row| row.0 == number)
            .map_or(KeyPurpose::Unknown(number), |row| row.1)
    }

    /// Returns the number that stands for a purpose on this chip; `None` when it has none.
    #[must_use]
    pub fn purpose_number(&self, purpose: KeyPurpose) -> Option<u8> {
        self.purposes
            .iter()
            .find(|row| row.1 == purpose)
            .map(|row| row.0)
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
    /// Bit of `WR_DIS` that write-protects the whole block. Block 0 has none: its fields have.
    pub write_protect: Option<u8>,
    /// Bits of `RD_DIS`, each of which hides an equal part of the block, lowest part first.
    pub read_protect: &'static [u8],
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
    /// Purposes that the hardware gets wrong in this block.
    pub refuses: &'static [KeyPurpose],
}

/// What a key block is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyRole {
    /// What this field says: a number of [`EfuseMap::purposes`].
    Purpose(PurposeField),
    /// Flash encryption, always.
    FlashEncryption,
    /// Secure boot, always: the key of v1, the public-key digest of v2.
    SecureBoot,
    /// Nothing in hardware.
    User,
    /// Flash encryption with the whole block when the field is set. Otherwise flash encryption with
    /// the low half, and the first half of a secure-boot digest in the high half.
    Shared {
        /// The field.
        whole: Field,
    },
}

/// Where the number of a purpose stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PurposeField {
    /// Its low bits, or all of them.
    pub low: Field,
    /// The bits above, where there was no room for them next to the others.
    pub high: Option<Field>,
}

impl PurposeField {
    /// The fields, each with its part of a number.
    pub fn split(&self, number: u8) -> impl Iterator<Item = (Field, u64)> {
        let number = u64::from(number);
        let high = self.high.map(|high| (high, number >> self.low.width));
        let low = match high {
            Some(_) => number & !(u64::MAX << self.low.width),
            None => number,
        };
        [(self.low, low)].into_iter().chain(high)
    }

    /// Puts the number together again, given what each field holds.
    #[must_use]
    pub fn join(&self, read: impl Fn(&Field) -> u64) -> u8 {
        let high = self.high.as_ref().map_or(0, &read);
        let number = read(&self.low) | high << self.low.width;
        u8::try_from(number).unwrap_or(u8::MAX)
    }
}

/// How the eFuse controller shows the blocks.
#[derive(Debug)]
pub struct Registers {
    /// Offset of each block's first read register.
    pub blocks: &'static [usize],
    /// Bytes in the register space: the length of the file of `espefuse --virt`.
    pub space: usize,
    /// Registers that `espefuse` sets before it burns, and the values.
    pub controller: &'static [(usize, u32)],
    /// Register of the Reed-Solomon check values of the last burn.
    pub check: Option<usize>,
    /// Bytes in the file of Espressif's emulator: the blocks one after the other, padded with zeros.
    pub emulator_size: usize,
}

#[cfg(test)]
mod tests;
