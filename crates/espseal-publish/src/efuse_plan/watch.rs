//! Which fields tell how far a chip has come on a plan, and whether it is the right chip.

use espseal_format::chip::Chip;
use espseal_format::efuse::Field;

use super::blocks::purpose_fields;
use super::plan::{Burn, PlannedKey, PlannedStep};
use super::present::Present;
use super::state::{MAC, Watched};

/// The fields that tell how far a chip has come, and whether it is the right one.
pub(super) fn watched(
    chip: &'static Chip,
    present: &Present,
    steps: &[PlannedStep],
) -> Vec<Watched> {
    let map = chip.efuse;
    let mut names: Vec<&'static str> = Vec::new();
    if present.mac().is_some() {
        names.push(MAC);
    }
    names.extend(map.field(CODING_SCHEME).map(|field| field.name));
    names.push(map.flash_crypt_cnt.name);
    names.extend(map.secure_boot_enable.iter().map(|(_, field)| field.name));
    names.extend(map.key_revoke.iter().map(|field| field.name));
    let locks = &chip.locks;
    names.extend(locks.jtag.iter().chain(locks.jtag_soft.as_slice()));
    names.extend(locks.download_secure);
    names.push(locks.download_off);
    let (mut wr_dis, mut rd_dis) = (guard(&map.rd_dis), 0);
    for step in steps {
        match &step.burn {
            Burn::Fields(fields) => names.extend(fields.iter().map(|(name, _)| *name)),
            Burn::WriteProtect(name) => wr_dis |= map.field(name).map_or(0, guard),
            Burn::ReadProtect(name) => {
                let block = map.field(name).map_or(0, |field| usize::from(field.block));
                rd_dis |= hiding(chip, block);
            }
            Burn::Keys(keys) => {
                for key in keys {
                    names.extend(halves(chip, key));
                    let block = map.blocks.get(key.number);
                    let bit = block.and_then(|block| block.write_protect);
                    wr_dis |= bit.map_or(0, |bit| 1 << bit);
                    rd_dis |= hiding(chip, key.number);
                }
            }
        }
    }
    for key in steps.iter().flat_map(|step| step.burn.keys()) {
        for field in purpose_fields(chip, key.number) {
            names.push(field.name);
            wr_dis |= guard(&field);
        }
    }
    let mut seen: Vec<&str> = Vec::new();
    let mut watched: Vec<Watched> = Vec::new();
    for name in names {
        if !seen.contains(&name) {
            seen.push(name);
            watched.extend(map.field(name).map(Watched::whole));
        }
    }
    for (name, mask) in [(map.wr_dis.name, wr_dis), (map.rd_dis.name, rd_dis)] {
        let field = map.field(name).filter(|_| mask != 0);
        watched.extend(field.map(|field| Watched { field, mask }));
    }
    watched
}

/// The bit of `WR_DIS` that guards a field.
fn guard(field: &Field) -> u64 {
    field.write_protect.map_or(0, |bit| 1 << bit)
}

/// The bits of `RD_DIS` that hide a block.
fn hiding(chip: &Chip, block: usize) -> u64 {
    let block = chip.efuse.blocks.get(block);
    let bits = block.map_or(&[][..], |block| block.read_protect);
    bits.iter().fold(0, |mask, bit| mask | 1 << bit)
}

/// The block that a key goes to, or both halves of it where they are hidden one by one.
fn halves(chip: &'static Chip, key: &PlannedKey) -> Vec<&'static str> {
    let fields = chip.efuse.fields.iter();
    let halves: Vec<_> = fields
        .filter(|field| usize::from(field.block) == key.number && field.width == 128)
        .map(|field| field.name)
        .collect();
    match halves.is_empty() || chip.efuse.keys.len() > 1 {
        true => vec![key.block],
        false => halves,
    }
}

/// The ESP32's field of how key blocks are coded.
pub(super) const CODING_SCHEME: &str = "CODING_SCHEME";
