//! One command of espefuse: drawn at random, applied to the twin, and told to the driver.

use espseal_format::chip::{Chip, ChipId};
use espseal_format::efuse::{Field, KeyPurpose, KeyRole};
use espseal_twin::efuse::espefuse_rules::{self, EspefuseRefusal};
use espseal_twin::efuse::{Efuses, KeyProtection, KeyToBurn, KeyUse};
use serde_json::{Value, json};

/// A command and its arguments.
#[derive(Clone, Debug)]
pub(crate) enum Operation {
    BurnEfuse(Vec<(&'static str, u64)>),
    BurnBit(usize, Vec<usize>),
    BurnBlockData(usize, usize, Vec<u8>),
    BurnKey(Vec<Key>, KeyProtection),
    ReadProtect(Vec<&'static str>),
    WriteProtect(Vec<&'static str>),
}

/// A key to burn, with the names that espefuse has for block and purpose.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    block: usize,
    usage: KeyUse,
    names: (&'static str, Option<&'static str>),
    bytes: Vec<u8>,
}

impl Operation {
    /// Draws operations that make a lively history: keys early, protections and settings throughout.
    pub(crate) fn sequence(random: &mut Random, chip: &'static Chip, count: usize) -> Vec<Self> {
        (0..count).map(|_| Self::draw(random, chip)).collect()
    }

    fn draw(random: &mut Random, chip: &'static Chip) -> Self {
        let map = chip.efuse;
        match random.below(20) {
            0..=6 => {
                let count = 1 + random.below(3);
                let mut values: Vec<(&str, u64)> = Vec::new();
                for _ in 0..count {
                    let field = random.pick(map.fields);
                    if burnable(chip, field) && values.iter().all(|row| row.0 != field.name) {
                        let mask = (1_u64 << field.width) - 1;
                        let value = match random.below(3) {
                            0 => mask,
                            1 => random.next() & mask,
                            _ => 1,
                        };
                        values.push((field.name, value));
                    }
                }
                Self::BurnEfuse(values)
            }
            7 | 8 => {
                let block = random.below(map.blocks.len());
                let bits = usize::from(map.blocks[block].words) * 32 + 1;
                let count = 1 + random.below(3);
                let bits: Vec<_> = (0..count).map(|_| random.below(bits)).collect();
                match block {
                    0 if bits.iter().any(|bit| risky(chip, *bit)) => {
                        Self::BurnBit(0, vec![usize::from(map.secure_version.bit % 32)])
                    }
                    _ => Self::BurnBit(block, bits),
                }
            }
            9 | 10 => {
                let block = 1 + random.below(map.blocks.len() - 1);
                let size = usize::from(map.blocks[block].words) * 4;
                let offset = if random.below(3) == 0 {
                    random.below(size)
                } else {
                    0
                };
                let length = match random.below(8) {
                    0 => random.below(size + 2),
                    _ => size - offset,
                };
                Self::BurnBlockData(block, offset, random.bytes(length))
            }
            11..=15 => Self::draw_keys(random, chip),
            16 | 17 => Self::ReadProtect(vec![random.pick(map.fields).name]),
            _ => Self::WriteProtect(vec![random.pick(map.fields).name]),
        }
    }

    fn draw_keys(random: &mut Random, chip: &'static Chip) -> Self {
        let map = chip.efuse;
        let protection = match random.below(6) {
            0 => KeyProtection::Readable,
            1 => KeyProtection::Writable,
            2 => KeyProtection::Open,
            _ => KeyProtection::Usual,
        };
        if chip.id == ChipId::Esp32 {
            let protection = match protection {
                KeyProtection::Open => KeyProtection::Open,
                _ => KeyProtection::Usual,
            };
            let (block, purpose, name) = *random.pick(&[
                (1, KeyPurpose::User, "BLOCK1"),
                (1, KeyPurpose::FlashEncryption, "flash_encryption"),
                (2, KeyPurpose::User, "BLOCK2"),
                (2, KeyPurpose::SecureBootV1, "secure_boot_v1"),
                (2, KeyPurpose::SecureBootV2, "secure_boot_v2"),
                (3, KeyPurpose::User, "BLOCK3"),
            ]);
            let length = *random.pick(&[32, 32, 24, 16]);
            let bytes = random.bytes(length);
            let usage = KeyUse::Purpose(purpose);
            let names = (name, None);
            return Self::BurnKey(
                vec![Key {
                    block,
                    usage,
                    names,
                    bytes,
                }],
                protection,
            );
        }
        let count = if random.below(4) == 0 { 2 } else { 1 };
        let mut keys: Vec<Key> = Vec::new();
        for _ in 0..count {
            let entry = random.pick(map.keys);
            let block = usize::from(entry.key.block);
            let shared = matches!(entry.role, KeyRole::Shared { .. });
            if !shared && keys.iter().any(|key| key.block == block) {
                continue;
            }
            let double = map.purpose_number(KeyPurpose::XtsAes256Key1).is_some();
            let (usage, name, length) = if double && random.below(6) == 0 {
                (KeyUse::FlashEncryption, "XTS_AES_256_KEY", 64)
            } else {
                let (_, purpose) = *random.pick(map.purposes);
                // These take a PEM file.
                let pem = matches!(purpose, KeyPurpose::EcdsaKey | KeyPurpose::EcdsaKeyP192);
                if pem || purpose == KeyPurpose::Reserved {
                    continue;
                }
                // espefuse has no names for what ESP-IDF calls these, and takes the numbers for custom.
                let external_ram = matches!(
                    purpose,
                    KeyPurpose::XtsAes128PsramKey
                        | KeyPurpose::XtsAes256PsramKey1
                        | KeyPurpose::XtsAes256PsramKey2
                );
                if chip.id == ChipId::Esp32P4 && external_ram {
                    continue;
                }
                let length = match purpose {
                    KeyPurpose::XtsAes128KeyDerived => 16,
                    _ => 32,
                };
                (KeyUse::Purpose(purpose), purpose.name().unwrap(), length)
            };
            let length = if random.below(12) == 0 { 24 } else { length };
            let bytes = random.bytes(length);
            keys.push(Key {
                block,
                usage,
                names: (entry.key.name, Some(name)),
                bytes,
            });
        }
        if keys.is_empty() {
            return Self::WriteProtect(vec![map.secure_version.name]);
        }
        Self::BurnKey(keys, protection)
    }

    /// Does to the twin what espefuse does.
    pub(crate) fn apply(&self, efuses: &mut Efuses) -> Result<(), EspefuseRefusal> {
        match self {
            Self::BurnEfuse(values) => espefuse_rules::burn_efuse(efuses, values),
            Self::BurnBit(block, bits) => espefuse_rules::burn_bits(efuses, *block, bits),
            Self::BurnBlockData(block, offset, data) => {
                espefuse_rules::burn_block_data(efuses, *block, *offset, data)
            }
            Self::BurnKey(keys, protection) => {
                let keys: Vec<_> = keys.iter().map(Key::to_burn).collect();
                espefuse_rules::burn_key(efuses, &keys, *protection)
            }
            Self::ReadProtect(names) => espefuse_rules::read_protect(efuses, names),
            Self::WriteProtect(names) => espefuse_rules::write_protect(efuses, names),
        }
    }

    /// The request to the driver.
    pub(crate) fn to_json(&self) -> Value {
        let block_name = |block: usize| format!("BLOCK{block}");
        match self {
            Self::BurnEfuse(values) => {
                let values: Vec<_> = values
                    .iter()
                    .map(|row| (row.0, row.1.to_string()))
                    .collect();
                json!({ "name": "burn_efuse", "values": values })
            }
            Self::BurnBit(block, bits) => {
                json!({ "name": "burn_bit", "block": block_name(*block), "bits": bits })
            }
            Self::BurnBlockData(block, offset, data) => json!({
                "name": "burn_block_data",
                "blocks": [block_name(*block)],
                "files": [to_hex(data)],
                "offset": offset,
            }),
            Self::BurnKey(keys, protection) => {
                let esp32 = keys.iter().any(|key| key.names.1.is_none());
                let options = match (esp32, protection) {
                    (_, KeyProtection::Usual) => json!({}),
                    (true, _) => json!({ "no_protect_key": true }),
                    (_, KeyProtection::Readable) => json!({ "no_read_protect": true }),
                    (_, KeyProtection::Writable) => json!({ "no_write_protect": true }),
                    _ => json!({ "no_read_protect": true, "no_write_protect": true }),
                };
                let all = |get: fn(&Key) -> Value| keys.iter().map(get).collect::<Vec<_>>();
                json!({
                    "name": "burn_key",
                    "blocks": all(|key| json!(key.names.0)),
                    "purposes": keys.iter().filter_map(|key| key.names.1).collect::<Vec<_>>(),
                    "files": all(|key| json!(to_hex(&key.bytes))),
                    "options": options,
                })
            }
            Self::ReadProtect(fields) => json!({ "name": "read_protect", "fields": fields }),
            Self::WriteProtect(fields) => json!({ "name": "write_protect", "fields": fields }),
        }
    }
}

impl Key {
    fn to_burn(&self) -> KeyToBurn<'_> {
        KeyToBurn {
            block: self.block,
            usage: self.usage,
            key: &self.bytes,
        }
    }
}

/// Numbers only; not the revision, by which espefuse chooses its own tables, and neither what would
/// end most histories at once.
fn burnable(chip: &Chip, field: &Field) -> bool {
    let number = field.width <= 32 && !field.name.contains("MAC");
    number && !settles(chip, field.name)
}

fn settles(chip: &Chip, name: &str) -> bool {
    name.contains("WAFER_VERSION")
        || name.starts_with("CHIP_VER_REV")
        || matches!(name, "WR_DIS" | "RD_DIS")
        || (chip.id == ChipId::Esp32C3 && name == "JTAG_SEL_ENABLE")
        || (chip.id == ChipId::Esp32C2 && name == "USER_DATA")
}

fn risky(chip: &Chip, bit: usize) -> bool {
    let mut fields = chip.efuse.fields.iter().filter(|field| field.block == 0);
    fields.any(|field| {
        let start = usize::from(field.bit);
        settles(chip, field.name) && (start..start + usize::from(field.width)).contains(&bit)
    })
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// SplitMix64 (Steele, Lea, Flood 2014).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub(crate) fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next() as u8).collect()
    }
}
