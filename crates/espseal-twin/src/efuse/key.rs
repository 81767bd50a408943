//! Burning keys: the block, what it is for, and its protections.
//!
//! Keys are given in the order of their key files. What ends up where:
//!
//! | key | blocks |
//! |---|---|
//! | flash encryption, 64 bytes | each half in a block of its own, reversed by itself |
//! | ECDSA P-384, 48 bytes | the first 16 bytes in one block, the last 32 in another, both reversed |
//! | flash encryption, 16 bytes (ESP32-C2) | low half of the block, reversed |
//! | secure-boot digest (ESP32-C2) | its first 16 bytes in the high half of the block |
//! | other secrets of flash encryption, ECDSA, secure boot v1 | reversed |
//! | HMAC, key manager, user, digests | as given |
//!
//! Source: ESP-IDF `components/efuse/src/efuse_controller/keys`, `espefuse burn-key` observed.

use core::ops::Range;
use std::collections::BTreeMap;

use espseal_format::chip::ChipId;
use espseal_format::efuse::{ByteOrder, Field, KeyBlock, KeyPurpose, KeyRole, PurposeField};

use super::{BLOCK_SIZE, EfuseError, Efuses, mask, put};

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyUse {
    /// Flash encryption as the chip has it. The length decides: 64 bytes are XTS-AES-256 and take a
    /// second block, 16 bytes the half block of an ESP32-C2.
    FlashEncryption,
    /// SHA-256 of a secure boot v2 key, for slot 0, 1 or 2; stays readable.
    SecureBootDigest(u8),
    /// Key of secure boot v1, on the ESP32.
    SecureBootV1,
    /// Key of the HMAC engine in upstream mode.
    HmacUpstream,
    /// Private key of the ECDSA engine for P-384, 48 bytes; takes a second block.
    EcdsaP384,
    /// Exactly this purpose.
    Purpose(KeyPurpose),
}

/// Which of the usual protections a key gets. Digests and user keys are never hidden.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyProtection {
    /// Secrets are hidden, and nothing can be burnt into the block any more.
    #[default]
    Usual,
    /// Not hidden.
    Readable,
    /// The block stays open for burning.
    Writable,
    /// Neither.
    Open,
}

/// A key, where it goes and what for.
#[derive(Clone, Copy)]
pub struct KeyToBurn<'a> {
    /// Number of the block.
    pub block: usize,
    /// What it is for.
    pub usage: KeyUse,
    /// The key, in the order of its key file.
    pub key: &'a [u8],
}

/// What burning keys comes to.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) blocks: BTreeMap<usize, [u8; BLOCK_SIZE]>,
    taken: BTreeMap<usize, Vec<Range<usize>>>,
    pub(super) fields: Vec<(Field, u64)>,
    pub(super) wr_dis: u64,
    pub(super) rd_dis: u64,
}

impl Efuses {
    /// Burns a key and protects it, in the steps of `espefuse burn-key`: the block, its purpose, then
    /// the protections.
    ///
    /// A key of two blocks takes the next unused block for the second half, after the last the first.
    ///
    /// # Errors
    /// Before anything is burnt: [`EfuseError::NoKeyBlock`], [`EfuseError::NoSuchPurpose`],
    /// [`EfuseError::PurposeRefused`], [`EfuseError::KeyLength`], [`EfuseError::BlockUsed`],
    /// [`EfuseError::NoSecondBlock`], [`EfuseError::WriteProtected`]. Later: [`EfuseError::PowerLost`].
    pub fn burn_key(&mut self, block: usize, usage: KeyUse, key: &[u8]) -> Result<(), EfuseError> {
        self.burn_keys(&[KeyToBurn { block, usage, key }], KeyProtection::Usual)
    }

    /// Burns several keys at once. Keys for the halves of one block have to come together, since a
    /// block can be burnt only once.
    ///
    /// # Errors
    /// As [`Efuses::burn_key`].
    pub fn burn_keys(
        &mut self,
        keys: &[KeyToBurn<'_>],
        protection: KeyProtection,
    ) -> Result<(), EfuseError> {
        let plan = self.plan_keys(keys, protection)?;
        let map = self.map();
        // Highest block first, as espefuse does.
        for (block, bytes) in plan.blocks.into_iter().rev() {
            self.program(block, bytes)?;
        }
        for (field, value) in plan.fields {
            self.set(&field, value)?;
        }
        let mut protections = [0; BLOCK_SIZE];
        put(&map.wr_dis, &mut protections, plan.wr_dis)?;
        put(&map.rd_dis, &mut protections, plan.rd_dis)?;
        self.program(0, protections)
    }

    /// What burning keys comes to, without burning anything.
    pub(super) fn plan_keys(
        &self,
        keys: &[KeyToBurn<'_>],
        protection: KeyProtection,
    ) -> Result<Plan, EfuseError> {
        let mut plan = Plan::default();
        for key in keys {
            for (index, (purpose, part)) in (0..).zip(self.parts_of(key)?) {
                let block = match index {
                    0 => key.block,
                    _ => self.next_free(key.block, keys)?,
                };
                self.plan_key(&mut plan, block, purpose, part, protection)?;
            }
        }
        self.check_blocks(&plan)?;
        let map = self.map();
        if plan.rd_dis != 0
            && map
                .rd_dis
                .write_protect
                .is_some_and(|bit| self.is_wr_dis(bit))
        {
            return Err(EfuseError::WriteProtected {
                field: map.rd_dis.name,
            });
        }
        Ok(plan)
    }

    /// The first block that is unused and can hold a key for this use; for a key of two blocks, the
    /// first half.
    #[must_use]
    pub fn free_block_for(&self, usage: KeyUse) -> Option<usize> {
        self.free_block_beside(usage, &[])
    }

    /// The same, when these blocks are spoken for; the halves of a shared block are taken together.
    pub(super) fn free_block_beside(&self, usage: KeyUse, taken: &[usize]) -> Option<usize> {
        let map = self.map();
        let able = map.keys.iter().find(|entry| {
            let shared = matches!(entry.role, KeyRole::Shared { .. });
            (shared || !taken.contains(&usize::from(entry.key.block)))
                && self.is_unused(entry)
                && self
                    .first_purpose(usage)
                    .is_ok_and(|purpose| takes(entry, purpose))
        });
        able.map(|entry| usize::from(entry.key.block))
    }

    /// What `KEY_PURPOSE_n` says about a key block; `None` for chips whose blocks have fixed uses.
    #[must_use]
    pub fn key_purpose(&self, block: usize) -> Option<KeyPurpose> {
        match self.key_block(block)?.role {
            KeyRole::Purpose(field) => Some(self.purpose(&field)),
            _ => None,
        }
    }

    pub(super) fn purpose(&self, field: &PurposeField) -> KeyPurpose {
        self.map().purpose(field.join(|part| self.get(part)))
    }

    /// The purpose that a field is a part of.
    fn purpose_with(&self, field: &Field) -> Option<KeyPurpose> {
        self.map().keys.iter().find_map(|entry| match entry.role {
            KeyRole::Purpose(whole) if whole.low == *field || whole.high == Some(*field) => {
                Some(self.purpose(&whole))
            }
            _ => None,
        })
    }

    /// Whether nothing was done with this key block; not so for a block that holds no keys.
    #[must_use]
    pub fn key_block_is_unused(&self, block: usize) -> bool {
        let entry = self.key_block(block);
        entry.is_some_and(|entry| self.is_unused(entry))
    }

    /// Whether nothing was done with a key block, as ESP-IDF's `esp_efuse_key_block_unused` asks.
    fn is_unused(&self, entry: &KeyBlock) -> bool {
        let block = usize::from(entry.key.block);
        let purpose_free = match entry.role {
            KeyRole::Purpose(field) => {
                let locked = field.low.write_protect;
                field.join(|part| self.get(part)) == 0
                    && !locked.is_some_and(|bit| self.is_wr_dis(bit))
            }
            _ => true,
        };
        purpose_free
            && self.silicon(block) == [0; BLOCK_SIZE]
            && !self.is_write_protected(block)
            && !self.is_read_protected(block)
    }

    /// The same for the blocks that keys are meant for.
    pub(crate) fn next_free_block(&self, after: usize, taken: &[usize]) -> Option<usize> {
        let keys: Vec<_> = taken
            .iter()
            .map(|block| KeyToBurn {
                block: *block,
                usage: KeyUse::FlashEncryption,
                key: &[],
            })
            .collect();
        self.next_free(after, &keys).ok()
    }

    /// The next unused key block after this one that no key is meant for, and around.
    fn next_free(&self, after: usize, taken: &[KeyToBurn<'_>]) -> Result<usize, EfuseError> {
        let keys = self.map().keys;
        let later = keys
            .iter()
            .filter(|entry| usize::from(entry.key.block) > after);
        let earlier = keys
            .iter()
            .filter(|entry| usize::from(entry.key.block) < after);
        later
            .chain(earlier)
            .filter(|entry| self.is_unused(entry))
            .map(|entry| usize::from(entry.key.block))
            .find(|block| taken.iter().all(|key| key.block != *block))
            .ok_or(EfuseError::NoSecondBlock)
    }

    /// Purpose of the key, or of its first half.
    fn first_purpose(&self, usage: KeyUse) -> Result<KeyPurpose, EfuseError> {
        let esp32 = self.chip() == ChipId::Esp32;
        let single = self
            .map()
            .purpose_number(KeyPurpose::SecureBootDigest)
            .is_some();
        let purpose = match usage {
            KeyUse::FlashEncryption if esp32 => KeyPurpose::FlashEncryption,
            KeyUse::FlashEncryption => KeyPurpose::XtsAes128Key,
            KeyUse::SecureBootDigest(0) if esp32 => KeyPurpose::SecureBootV2,
            KeyUse::SecureBootDigest(0) if single => KeyPurpose::SecureBootDigest,
            KeyUse::SecureBootDigest(0) => KeyPurpose::SecureBootDigest0,
            KeyUse::SecureBootDigest(1) => KeyPurpose::SecureBootDigest1,
            KeyUse::SecureBootDigest(2) => KeyPurpose::SecureBootDigest2,
            KeyUse::SecureBootDigest(slot) => KeyPurpose::Unknown(slot),
            KeyUse::SecureBootV1 => KeyPurpose::SecureBootV1,
            KeyUse::HmacUpstream => KeyPurpose::HmacUp,
            KeyUse::EcdsaP384 => KeyPurpose::EcdsaKeyP384H,
            KeyUse::Purpose(purpose) => purpose,
        };
        match self.map().purpose_number(purpose) {
            Some(_) => Ok(purpose),
            None => Err(EfuseError::NoSuchPurpose {
                chip: self.chip(),
                purpose,
            }),
        }
    }

    /// Splits a key into what each block holds.
    fn parts_of<'a>(&self, key: &KeyToBurn<'a>) -> Result<Vec<(KeyPurpose, &'a [u8])>, EfuseError> {
        match (key.usage, key.key.len()) {
            (KeyUse::FlashEncryption, 64) if self.chip() != ChipId::Esp32 => {
                let (first, second) = key.key.split_at(32);
                Ok(vec![
                    (KeyPurpose::XtsAes256Key1, first),
                    (KeyPurpose::XtsAes256Key2, second),
                ])
            }
            (KeyUse::FlashEncryption, 16) if self.chip() != ChipId::Esp32 => {
                Ok(vec![(KeyPurpose::XtsAes128KeyDerived, key.key)])
            }
            (KeyUse::EcdsaP384, 48) => {
                let (high, low) = key.key.split_at(16);
                Ok(vec![
                    (KeyPurpose::EcdsaKeyP384H, high),
                    (KeyPurpose::EcdsaKeyP384L, low),
                ])
            }
            (KeyUse::EcdsaP384, found) => Err(EfuseError::KeyLength {
                purpose: KeyPurpose::EcdsaKeyP384H,
                expected: 48,
                found,
            }),
            _ => Ok(vec![(self.first_purpose(key.usage)?, key.key)]),
        }
    }

    /// Adds one block's part of a key to the plan.
    fn plan_key(
        &self,
        plan: &mut Plan,
        block: usize,
        purpose: KeyPurpose,
        key: &[u8],
        protection: KeyProtection,
    ) -> Result<(), EfuseError> {
        let entry = self
            .key_block(block)
            .ok_or(EfuseError::NoKeyBlock { block })?;
        let number = self.map().purpose_number(purpose);
        let number = number.ok_or(EfuseError::NoSuchPurpose {
            chip: self.chip(),
            purpose,
        })?;
        if !takes(entry, purpose) {
            return Err(EfuseError::PurposeRefused { block, purpose });
        }
        let part = self.part(purpose, key)?;
        let range = part.offset..part.offset.saturating_add(part.bytes.len());
        let taken = plan.taken.entry(block).or_default();
        let overlaps = |other: &Range<usize>| other.start < range.end && range.start < other.end;
        if taken.iter().any(overlaps) {
            return Err(EfuseError::BlockUsed { block });
        }
        taken.push(range);
        let bytes = plan.blocks.entry(block).or_insert([0; BLOCK_SIZE]);
        let target = bytes.iter_mut().skip(part.offset);
        match purpose.byte_order() {
            ByteOrder::AsGiven => target.zip(part.bytes).for_each(|(to, from)| *to = *from),
            ByteOrder::Reversed => target
                .zip(part.bytes.iter().rev())
                .for_each(|(to, from)| *to = *from),
        }
        match entry.role {
            KeyRole::Purpose(field) => {
                for (part, value) in field.split(number) {
                    plan.fields.push((part, value));
                    plan.wr_dis |= part.write_protect.map_or(0, |bit| 1 << bit);
                }
            }
            KeyRole::Shared { whole } if purpose == KeyPurpose::XtsAes128Key => {
                plan.fields.push((whole, 1));
            }
            _ => {}
        }
        if purpose == KeyPurpose::EcdsaKey && self.revision() < 102 {
            // The H2's first silicon has to be told to draw its nonces itself.
            let field = self.map().field("ECDSA_FORCE_USE_HARDWARE_K");
            plan.fields.extend(field.map(|field| (*field, 1)));
        }
        let guards = self.block(block);
        if matches!(protection, KeyProtection::Usual | KeyProtection::Readable) {
            let bit = guards.and_then(|guards| guards.write_protect);
            plan.wr_dis |= bit.map_or(0, |bit| 1 << bit);
        }
        if purpose.is_secret()
            && matches!(protection, KeyProtection::Usual | KeyProtection::Writable)
        {
            let bits = guards.map_or(&[][..], |guards| guards.read_protect);
            plan.rd_dis |= match purpose {
                KeyPurpose::XtsAes128KeyDerived => mask(bits.get(..1).unwrap_or_default()),
                _ => mask(bits),
            };
        }
        Ok(())
    }

    /// Whether each block can take what is planned, and each purpose field its number.
    fn check_blocks(&self, plan: &Plan) -> Result<(), EfuseError> {
        for (block, bytes) in &plan.blocks {
            let burnt = self.silicon(*block);
            if burnt == *bytes {
                continue;
            }
            if burnt != [0; BLOCK_SIZE] {
                return Err(EfuseError::BlockUsed { block: *block });
            }
            if let Some(entry) = self
                .block(*block)
                .filter(|_| self.is_write_protected(*block))
            {
                return Err(EfuseError::WriteProtected { field: entry.name });
            }
        }
        for (field, value) in &plan.fields {
            let burnt = self.get(field);
            if burnt == *value {
                continue;
            }
            if burnt & !value != 0 {
                return Err(EfuseError::PurposeTaken {
                    field: field.name,
                    found: self.purpose_with(field).unwrap_or(KeyPurpose::User),
                });
            }
            if field.write_protect.is_some_and(|bit| self.is_wr_dis(bit)) {
                return Err(EfuseError::WriteProtected { field: field.name });
            }
        }
        Ok(())
    }

    /// Checks a key's length and says where in its block it goes.
    fn part<'a>(&self, purpose: KeyPurpose, key: &'a [u8]) -> Result<Part<'a>, EfuseError> {
        let whole = match self.chip() {
            ChipId::Esp32 => self.coding_scheme().data_size(),
            _ => BLOCK_SIZE,
        };
        let (expected, offset) = match purpose {
            // The ROM compares 32 bytes: a coded block is too short.
            KeyPurpose::SecureBootV2 => (BLOCK_SIZE, 0),
            KeyPurpose::XtsAes128KeyDerived => (16, 0),
            KeyPurpose::SecureBootDigest => (BLOCK_SIZE, 16),
            KeyPurpose::EcdsaKey | KeyPurpose::EcdsaKeyP192 if key.len() == 24 => (24, 0),
            KeyPurpose::EcdsaKeyP384H if key.len() == 16 => (16, 0),
            _ => (whole, 0),
        };
        let found = key.len();
        if found != expected {
            return Err(EfuseError::KeyLength {
                purpose,
                expected,
                found,
            });
        }
        let room = whole.saturating_sub(offset);
        let bytes = key
            .get(..room.min(found))
            .filter(|_| purpose != KeyPurpose::SecureBootV2 || room == found)
            .ok_or(EfuseError::KeyLength {
                purpose,
                expected: room,
                found,
            })?;
        Ok(Part { offset, bytes })
    }
}

/// Part of a block that a key takes.
struct Part<'a> {
    offset: usize,
    bytes: &'a [u8],
}

/// Whether the block can hold a key of this purpose.
fn takes(entry: &KeyBlock, purpose: KeyPurpose) -> bool {
    let fits = match entry.role {
        KeyRole::Purpose(_) | KeyRole::Shared { .. } => true,
        KeyRole::FlashEncryption => {
            matches!(purpose, KeyPurpose::FlashEncryption | KeyPurpose::User)
        }
        KeyRole::SecureBoot => matches!(
            purpose,
            KeyPurpose::SecureBootV1 | KeyPurpose::SecureBootV2 | KeyPurpose::User
        ),
        KeyRole::User => purpose == KeyPurpose::User,
    };
    fits && !entry.refuses.contains(&purpose)
}
