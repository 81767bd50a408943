//! Which key goes into which block, and which is there already.

use espseal_format::chip::Chip;
use espseal_format::efuse::{Field, KeyBlock, KeyPurpose, KeyRole};
use espseal_format::units::Digest;
use espseal_twin::efuse::{BLOCK_SIZE, Efuses};

use super::order;
use super::plan::{Burn, KeyName, KeyPart, PlannedKey, PlannedStep};
use super::reasons::Reason;
use super::refusals::Refusal;
use super::state::is_hidden;
use super::wish::{BurntKeys, SecureBootWish, Wish};

/// The keys of a plan and their blocks.
pub(super) struct Blocks {
    secrets: Vec<Vec<PlannedKey>>,
    digests: Vec<PlannedKey>,
    /// What has to be done to keys that are there already.
    pub repairs: Vec<PlannedStep>,
    shared: bool,
}

impl Blocks {
    /// Finds a block for each key that is not there yet.
    pub(super) fn assign(wish: &Wish, efuses: &Efuses) -> Result<Self, Refusal> {
        let mut search = Search {
            wish,
            efuses,
            chip: efuses.model(),
            taken: Vec::new(),
            repairs: Vec::new(),
        };
        let secrets = search.secrets()?;
        let digests = search.digests()?;
        let both = !secrets.is_empty() && !digests.is_empty();
        Ok(Self {
            shared: both && efuses.keys_share_a_block(),
            secrets,
            digests,
            repairs: search.repairs,
        })
    }

    /// Whether a digest goes into the same block as a secret key.
    pub(super) const fn shared_with_digest(&self) -> bool {
        self.shared
    }

    /// Keys that are burnt first, one command each.
    pub(super) fn secrets(&self) -> Vec<Vec<PlannedKey>> {
        let mut all = self.secrets.clone();
        if let (true, Some(first)) = (self.shared, all.first_mut()) {
            first.extend_from_slice(&self.digests);
        }
        all
    }

    /// Digests that are burnt by themselves.
    pub(super) fn digests(&self) -> Vec<PlannedKey> {
        match self.shared {
            true => Vec::new(),
            false => self.digests.clone(),
        }
    }
}

/// The search for blocks.
struct Search<'a> {
    wish: &'a Wish,
    efuses: &'a Efuses,
    chip: &'static Chip,
    /// Blocks that are spoken for.
    taken: Vec<usize>,
    repairs: Vec<PlannedStep>,
}

impl Search<'_> {
    fn secrets(&mut self) -> Result<Vec<Vec<PlannedKey>>, Refusal> {
        let wish = self.wish;
        let flash = wish.flash_encryption;
        let v1 = matches!(wish.secure_boot, Some(SecureBootWish::V1));
        let wanted = [
            (KeyName::Flash, flash.map(|flash| flash.block)),
            (KeyName::Device, wish.device_key.map(|key| key.block)),
            (KeyName::Jtag, wish.jtag_key.map(|key| key.block)),
            (KeyName::Bootloader, v1.then_some(None)),
        ];
        let wanted = wanted
            .into_iter()
            .filter_map(|(key, block)| Some((key, block?)));
        let mut named = Vec::new();
        for (key, number) in wanted.clone() {
            if let Some(number) = number {
                named.push((key, self.numbered(number)?));
            }
        }
        // What is named is not for others.
        let reserved: Vec<_> = named.iter().map(|(_, entry)| number(entry)).collect();
        let mut all = Vec::new();
        for (key, _) in wanted {
            let length = flash.map_or(0, |flash| flash.key_length);
            let entry = named.iter().find(|row| row.0 == key).map(|row| row.1);
            let parts = parts(key, length, self.chip);
            if self.is_there(key, &parts, entry)? {
                continue;
            }
            self.can_hide(key)?;
            all.push(self.place(key, &parts, entry, &reserved)?);
        }
        Ok(all)
    }

    /// Whether a secret key is there; what is missing of its protections is added to the repairs.
    fn is_there(
        &mut self,
        key: KeyName,
        parts: &[(KeyPart, KeyPurpose)],
        named: Option<&'static KeyBlock>,
    ) -> Result<bool, Refusal> {
        let keys = self.chip.efuse.keys.iter();
        let used: Vec<&'static KeyBlock> = keys
            .filter(|entry| named.is_none_or(|named| named.key == entry.key))
            .filter(|entry| self.holds(entry, key, parts))
            .collect();
        let Some(first) = used.first() else {
            return Ok(false);
        };
        let block = first.key.name;
        for entry in &used {
            let found = self.purpose_of(entry, key);
            let wished = parts.iter().map(|(_, purpose)| *purpose);
            let mut wished = wished.peekable();
            if let (Some(found), Some(expected)) = (found, wished.peek().copied())
                && !wished.any(|purpose| purpose == found)
            {
                let block = entry.key.name;
                return Err(Refusal::OtherKey {
                    block,
                    found,
                    wished: expected,
                });
            }
        }
        if used.len() < parts.len() {
            return Err(Refusal::HalfKey { key, block });
        }
        if self.wish.burnt_keys == BurntKeys::Refuse {
            return Err(Refusal::BurntKey { key, block });
        }
        for entry in used {
            let (name, block) = (entry.key.name, number(entry));
            if !self.efuses.is_read_protected(block) {
                self.can_hide(key)?;
                let burn = Burn::ReadProtect(self.hidden_part(entry, key));
                let reason = Reason::HideKey;
                self.repairs.push(PlannedStep { burn, reason });
            }
            if !self.efuses.is_write_protected(block) {
                let burn = Burn::WriteProtect(name);
                let reason = Reason::KeepKey;
                self.repairs.push(PlannedStep { burn, reason });
            }
            self.taken.push(block);
        }
        Ok(true)
    }

    /// Whether a block holds a key of this kind, hidden or not.
    fn holds(&self, entry: &KeyBlock, key: KeyName, parts: &[(KeyPart, KeyPurpose)]) -> bool {
        let block = number(entry);
        let used = self.efuses.is_read_protected(block)
            || self.efuses.read_block(block) != [0; BLOCK_SIZE];
        match (entry.role, key) {
            (KeyRole::Purpose(_), KeyName::Flash) => {
                let purpose = self.efuses.key_purpose(block);
                purpose.is_some_and(|purpose| FLASH.contains(&purpose))
            }
            (KeyRole::Purpose(_), _) => {
                let found = self.efuses.key_purpose(block);
                parts.iter().any(|(_, purpose)| found == Some(*purpose))
            }
            (KeyRole::FlashEncryption, KeyName::Flash)
            | (KeyRole::SecureBoot, KeyName::Bootloader) => used,
            (KeyRole::Shared { .. }, KeyName::Flash) => {
                let low = self.efuses.read_block(block);
                self.efuses.is_read_protected(block) || low.iter().take(16).any(|byte| *byte != 0)
            }
            _ => false,
        }
    }

    /// What a block that holds a key is for, where the chip says it.
    fn purpose_of(&self, entry: &KeyBlock, key: KeyName) -> Option<KeyPurpose> {
        match (entry.role, key) {
            (KeyRole::Shared { whole }, KeyName::Flash) => {
                Some(match self.efuses.read(whole.name) {
                    Ok(1) => KeyPurpose::XtsAes128Key,
                    _ => KeyPurpose::XtsAes128KeyDerived,
                })
            }
            (KeyRole::Purpose(_), _) => self.efuses.key_purpose(number(entry)),
            _ => None,
        }
    }

    /// What of a block is hidden for a key: half of it where a digest may stand in the other half.
    fn hidden_part(&self, entry: &KeyBlock, key: KeyName) -> &'static str {
        let whole = self.purpose_of(entry, key) != Some(KeyPurpose::XtsAes128KeyDerived);
        let mut fields = self.chip.efuse.fields.iter();
        let half = fields.find(|field| {
            usize::from(field.block) == number(entry) && field.width == 128 && field.bit == 0
        });
        match half {
            Some(half) if !whole => half.name,
            _ => entry.key.name,
        }
    }

    /// Read protection can still be burnt.
    fn can_hide(&self, key: KeyName) -> Result<(), Refusal> {
        let map = self.efuses.map();
        let burnt = self.efuses.read(map.wr_dis.name).unwrap_or(0);
        let guard = map.rd_dis.write_protect;
        match guard.is_some_and(|bit| burnt >> bit & 1 == 1) {
            true => Err(Refusal::ReadProtectionLocked { key }),
            false => Ok(()),
        }
    }

    /// Finds blocks for the parts of a key.
    fn place(
        &mut self,
        key: KeyName,
        parts: &[(KeyPart, KeyPurpose)],
        named: Option<&'static KeyBlock>,
        reserved: &[usize],
    ) -> Result<Vec<PlannedKey>, Refusal> {
        let mut planned = Vec::new();
        for (index, (part, purpose)) in parts.iter().enumerate() {
            let entry = match named.filter(|_| index == 0) {
                Some(named) => {
                    self.check_named(key, named, *purpose)?;
                    named
                }
                None => self.free(key, *purpose, reserved)?,
            };
            self.taken.push(number(entry));
            planned.push(PlannedKey {
                key,
                part: *part,
                block: entry.key.name,
                number: number(entry),
                purpose: *purpose,
            });
        }
        Ok(planned)
    }

    fn check_named(
        &self,
        key: KeyName,
        entry: &'static KeyBlock,
        purpose: KeyPurpose,
    ) -> Result<(), Refusal> {
        let block = entry.key.name;
        if entry.refuses.contains(&purpose) {
            return Err(Refusal::BlockRefuses { block, purpose });
        }
        let taken = self.taken.contains(&number(entry));
        match taken || !self.efuses.key_block_is_unused(number(entry)) {
            true => Err(Refusal::BlockTaken { key, block }),
            false => Ok(()),
        }
    }

    /// The first free block that can hold a key for this purpose.
    fn free(
        &self,
        key: KeyName,
        purpose: KeyPurpose,
        reserved: &[usize],
    ) -> Result<&'static KeyBlock, Refusal> {
        let fits = |entry: &&KeyBlock| match entry.role {
            KeyRole::Purpose(_) | KeyRole::Shared { .. } => true,
            KeyRole::FlashEncryption => key == KeyName::Flash,
            KeyRole::SecureBoot => matches!(key, KeyName::Bootloader | KeyName::Digest(_)),
            KeyRole::User => false,
        };
        let able: Vec<&'static KeyBlock> = self.chip.efuse.keys.iter().filter(fits).collect();
        if let [only] = able.as_slice() {
            // The only block that can be: it is clear what is in the way.
            let (block, shared) = (only.key.name, matches!(only.role, KeyRole::Shared { .. }));
            let beside = shared && self.taken.contains(&number(only));
            return match self.efuses.key_block_is_unused(number(only)) {
                true if beside || !self.taken.contains(&number(only)) => Ok(only),
                _ => Err(Refusal::BlockTaken { key, block }),
            };
        }
        let free = able.into_iter().filter(|entry| {
            let number = number(entry);
            !self.taken.contains(&number)
                && !reserved.contains(&number)
                && self.efuses.key_block_is_unused(number)
        });
        let (refusing, mut takes): (Vec<_>, Vec<_>) =
            free.partition(|entry| entry.refuses.contains(&purpose));
        match takes.is_empty() {
            false => Ok(takes.swap_remove(0)),
            true => Err(Refusal::NoBlock {
                key,
                refusing: refusing.len(),
            }),
        }
    }

    fn digests(&mut self) -> Result<Vec<PlannedKey>, Refusal> {
        let digests = order::digests(self.wish);
        self.no_foreign_digest(digests.len())?;
        let mut planned = Vec::new();
        for (slot, digest) in digests.iter().enumerate() {
            let key = KeyName::Digest(u8::try_from(slot).unwrap_or(u8::MAX));
            if self.efuses.is_revoked(slot) {
                return Err(Refusal::RevokedSlot { slot });
            }
            let parts = parts(key, 0, self.chip);
            if !self.digest_is_there(slot, digest, &parts)? {
                let reserved = self.taken.clone();
                planned.extend(self.place(key, &parts, None, &reserved)?);
            }
        }
        Ok(planned)
    }

    /// Whether a digest is there, readable.
    fn digest_is_there(
        &mut self,
        slot: usize,
        digest: &Digest,
        parts: &[(KeyPart, KeyPurpose)],
    ) -> Result<bool, Refusal> {
        let Some((entry, field)) = self.digest_block(parts) else {
            return Ok(false);
        };
        let block = entry.key.name;
        if is_hidden(self.efuses, &field) {
            return Err(Refusal::DigestHidden { slot, block });
        }
        let bytes = self.efuses.read_block(number(entry));
        let start = usize::from(field.bit / 8);
        let length = usize::from(field.width / 8);
        let burnt = bytes.get(start..start.saturating_add(length));
        if burnt != digest.0.get(..length) {
            return Err(Refusal::OtherDigest { slot, block });
        }
        if !self.efuses.is_write_protected(number(entry)) {
            let burn = Burn::WriteProtect(block);
            let reason = Reason::KeepKey;
            self.repairs.push(PlannedStep { burn, reason });
        }
        Ok(true)
    }

    /// The block that holds a digest for this purpose, and the part of it that does.
    fn digest_block(&self, parts: &[(KeyPart, KeyPurpose)]) -> Option<(&'static KeyBlock, Field)> {
        let purpose = parts.first().map(|(_, purpose)| *purpose);
        let mut keys = self.chip.efuse.keys.iter();
        keys.find_map(|entry| {
            let block = number(entry);
            let field = match entry.role {
                KeyRole::Purpose(_) if self.efuses.key_purpose(block) == purpose => entry.key,
                KeyRole::SecureBoot if !self.efuses.key_block_is_unused(block) => entry.key,
                KeyRole::Shared { .. } => {
                    let mut fields = self.chip.efuse.fields.iter();
                    let half = fields
                        .find(|field| usize::from(field.block) == block && field.bit == 128)?;
                    let high = self.efuses.read_block(block);
                    let used = high.iter().skip(16).any(|byte| *byte != 0);
                    used.then_some(*half)?
                }
                _ => return None,
            };
            Some((entry, field))
        })
    }

    /// No slot beyond the wished ones holds a key that the ROM would trust.
    fn no_foreign_digest(&self, used: usize) -> Result<(), Refusal> {
        if used == 0 {
            return Ok(());
        }
        for entry in self.chip.efuse.keys {
            let purpose = self.efuses.key_purpose(number(entry));
            let slot = purpose.and_then(KeyPurpose::digest_slot);
            if let Some(slot) = slot.filter(|slot| *slot >= used && !self.efuses.is_revoked(*slot))
            {
                let block = entry.key.name;
                return Err(Refusal::OtherDigest { slot, block });
            }
        }
        Ok(())
    }

    /// The block of a number, as `BLOCK_KEYn` counts.
    fn numbered(&self, number: u8) -> Result<&'static KeyBlock, Refusal> {
        let keys = self.chip.efuse.keys;
        keys.get(usize::from(number))
            .filter(|entry| entry.key.name.starts_with("BLOCK_KEY"))
            .ok_or(Refusal::NoSuchBlock { number })
    }
}

/// What the keys of flash encryption are for, on chips that say it.
const FLASH: [KeyPurpose; 3] = [
    KeyPurpose::XtsAes128Key,
    KeyPurpose::XtsAes256Key1,
    KeyPurpose::XtsAes256Key2,
];

fn number(entry: &KeyBlock) -> usize {
    usize::from(entry.key.block)
}

/// The fields that say what a block is for.
pub(super) fn purpose_fields(chip: &Chip, block: usize) -> impl Iterator<Item = Field> {
    let mut keys = chip.efuse.keys.iter();
    let fields = keys.find_map(|entry| match entry.role {
        KeyRole::Purpose(field) if number(entry) == block => Some([Some(field.low), field.high]),
        KeyRole::Shared { whole } if number(entry) == block => Some([Some(whole), None]),
        _ => None,
    });
    fields.into_iter().flatten().flatten()
}

/// The parts of a key and what each is for.
fn parts(key: KeyName, length: usize, chip: &Chip) -> Vec<(KeyPart, KeyPurpose)> {
    let knows = |purpose| chip.efuse.purpose_number(purpose).is_some();
    let one = |purpose| vec![(KeyPart::Whole, purpose)];
    match key {
        KeyName::Flash if knows(KeyPurpose::FlashEncryption) => one(KeyPurpose::FlashEncryption),
        KeyName::Flash if length == 64 => vec![
            (KeyPart::First, KeyPurpose::XtsAes256Key1),
            (KeyPart::Second, KeyPurpose::XtsAes256Key2),
        ],
        KeyName::Flash if length == 16 => one(KeyPurpose::XtsAes128KeyDerived),
        KeyName::Flash => one(KeyPurpose::XtsAes128Key),
        KeyName::Device => one(KeyPurpose::HmacUp),
        KeyName::Jtag => one(KeyPurpose::HmacDownJtag),
        KeyName::Bootloader => one(KeyPurpose::SecureBootV1),
        KeyName::Digest(_) if knows(KeyPurpose::SecureBootV2) => one(KeyPurpose::SecureBootV2),
        KeyName::Digest(_) if knows(KeyPurpose::SecureBootDigest) => {
            one(KeyPurpose::SecureBootDigest)
        }
        KeyName::Digest(0) => one(KeyPurpose::SecureBootDigest0),
        KeyName::Digest(1) => one(KeyPurpose::SecureBootDigest1),
        KeyName::Digest(_) => one(KeyPurpose::SecureBootDigest2),
    }
}
