//! The shape of a chip's eFuse table.

use super::{BLOCK_SIZE, KeyUse};

/// Everything the twin knows about one chip's eFuses.
#[derive(Debug)]
pub struct EfuseMap {
    /// Blocks in ascending order, from BLOCK0.
    pub blocks: &'static [Block],
    /// Write-disable bits.
    pub wr_dis: Field,
    /// Read-disable bits.
    pub rd_dis: Field,
    /// Flash encryption is on while an odd number of these bits is set.
    pub crypt_cnt: Field,
    /// Which address bits tweak the key; only ESP32 has it.
    pub crypt_config: Option<Field>,
    /// Secure boot v2 is on when set.
    pub secure_boot: Field,
    /// Revokes digest slot 0, 1, ...; empty where keys cannot be revoked.
    pub revoke: &'static [Field],
    /// Anti-rollback counter: the number of bits set counts.
    pub secure_version: Field,
    /// Every other field that the twin or its user burns by name.
    pub others: &'static [Field],
    /// Where keys go.
    pub keys: KeyPlan,
    /// Fields that disable JTAG when all bits of any of them are set.
    pub jtag: &'static [&'static str],
    /// Field that turns download mode off.
    pub download_off: &'static str,
    /// Field that leaves only the harmless commands in download mode.
    pub download_secure: Option<&'static str>,
    /// Field burnt when the chip is made, with their value: the revision of the silicon.
    pub shipped: &'static [(&'static str, u64)],
    /// Block and bits of the factory MAC address' bytes, first byte first.
    pub mac: [Field; 6],
    /// CRC-8 of the MAC address, where there is one.
    pub mac_crc: Option<Field>,
    /// Bytes in the file of `espefuse --virt`: the register space, reversed.
    pub register_space: usize,
    /// Registers that hold these values once anything was burnt.
    pub controller_registers: &'static [(usize, u32)],
    /// Register of the Reed-Solomon check values of the last burn.
    pub check_register: Option<usize>,
    /// Bytes in the emulator's file: the blocks one after the other, padded with zeros.
    pub emulator_size: usize,
    /// What release mode burns between the flash key and the digests, in this order.
    pub release: &'static [(&'static str, u64)],
    /// Fields that release mode write-protects once secure boot is on.
    pub release_guards: &'static [&'static str],
    /// Burnt after everything else: no tool gets in afterwards.
    pub release_last: (&'static str, u64),
}

/// One block.
#[derive(Clone, Copy, Debug)]
pub struct Block {
    /// Name of the block for espefuse.
    pub name: &'static str,
    /// Bytes in the block.
    pub len: usize,
    /// Register offset of its first word.
    pub register: usize,
    /// Bit of WR_DIS that guards the whole block.
    pub wr_dis: Option<u8>,
    /// Bit of RD_DIS that hides the block.
    pub rd_dis: Option<u8>,
    /// How errors are corrected.
    pub coding: Coding,
}

/// How a block's errors are corrected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// Not, or by repetition: bits can be added later.
    Plain,
    /// Reed-Solomon RS(44, 32): the block is burnt once.
    ReedSolomon,
}

/// One field.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Name in ESP-IDF and espefuse.
    pub name: &'static str,
    /// Block.
    pub block: u8,
    /// First bit in the block, little-endian.
    pub bit: u16,
    /// Number of bits.
    pub width: u8,
    /// Bit of WR_DIS that guards the field.
    pub wr_dis: Option<u8>,
}

/// Where a chip keeps its keys.
#[derive(Clone, Copy, Debug)]
pub enum KeyPlan {
    /// Blocks of fixed use: ESP32.
    Fixed {
        /// Flash encryption.
        flash: usize,
        /// The only secure-boot digest.
        digest: usize,
    },
    /// Blocks with a purpose field each.
    Purposes {
        /// Block of the first key.
        first: usize,
        /// Purpose fields of the key blocks.
        purposes: &'static [Field],
        /// Purpose value for the flash encryption key (XTS-AES-128).
        flash: u64,
        /// Purpose value for the HMAC key.
        hmac: u64,
        /// Purpose values for digest slots.
        digests: &'static [u64],
    },
}

impl EfuseMap {
    /// Finds a field by name.
    #[must_use]
    pub fn field(&'static self, name: &str) -> Option<&'static Field> {
        let purposes = match &self.keys {
            KeyPlan::Fixed { .. } => &[][..],
            KeyPlan::Purposes { purposes, .. } => purposes,
        };
        [&self.wr_dis, &self.rd_dis, &self.crypt_cnt, &self.secure_boot, &self.secure_version]
            .into_iter()
            .chain(&self.crypt_config)
            .chain(&self.mac_crc)
            .chain(self.revoke)
            .chain(self.others)
            .chain(purposes)
            .find(|field| field.name == name)
    }

    /// Number of secure-boot digest slots.
    #[must_use]
    pub const fn digest_slots(&self) -> usize {
        match &self.keys {
            KeyPlan::Fixed { .. } => 1,
            KeyPlan::Purposes { digests, .. } => digests.len(),
        }
    }

    /// Purpose field and value for a use of a block; the outer `None` when the block cannot serve it.
    #[must_use]
    pub fn purpose_for(&self, block: usize, usage: KeyUse) -> Option<Option<(&'static Field, u64)>> {
        match self.keys {
            KeyPlan::Fixed { flash, digest } => match usage {
                KeyUse::FlashEncryption if block == flash => Some(None),
                KeyUse::SecureBootDigest(0) if block == digest => Some(None),
                _ => None,
            },
            KeyPlan::Purposes { first, purposes, flash, hmac, digests } => {
                let field = purposes.get(block.checked_sub(first)?)?;
                let value = match usage {
                    KeyUse::FlashEncryption => flash,
                    KeyUse::HmacUpstream => hmac,
                    KeyUse::SecureBootDigest(slot) => *digests.get(usize::from(slot))?,
                };
                Some(Some((field, value)))
            }
        }
    }
}

impl Field {
    /// A field without write protection of its own.
    pub(crate) const fn new(name: &'static str, block: u8, bit: u16, width: u8) -> Self {
        Self { name, block, bit, width, wr_dis: None }
    }

    /// A field guarded by a bit of WR_DIS.
    pub(crate) const fn guarded(name: &'static str, block: u8, bit: u16, width: u8, wr_dis: u8) -> Self {
        Self { name, block, bit, width, wr_dis: Some(wr_dis) }
    }

    /// Takes the field's value out of its block.
    #[must_use]
    pub fn take(&self, block: &[u8; BLOCK_SIZE]) -> u64 {
        (0..u16::from(self.width)).fold(0, |value, index| {
            let bit = self.bit.saturating_add(index);
            let byte = block.get(usize::from(bit / 8)).copied().unwrap_or(0);
            value | u64::from(byte >> (bit % 8) & 1) << index
        })
    }

    /// Sets the bits of `value` in the field's place.
    pub(super) fn put(&self, block: &mut [u8; BLOCK_SIZE], value: u64) {
        for index in 0..u16::from(self.width) {
            let bit = self.bit.saturating_add(index);
            if let (true, Some(byte)) = (value >> index & 1 == 1, block.get_mut(usize::from(bit / 8))) {
                *byte |= 1 << (bit % 8);
            }
        }
    }
}
