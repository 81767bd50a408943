//! What the tables of the chips are written with: one line for each field, and the parts that chips
//! with six key blocks share.
//!
//! Everything here is evaluated when the program is compiled; a name that is missing there does
//! not compile.
#![allow(
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "evaluated by the compiler: a panic is an error of compilation"
)]

use super::{Block, Coding, Field, KeyBlock, KeyPurpose, KeyRole, PurposeField, Registers};

/// A field that is write-protected by a bit of `WR_DIS` and can always be read.
pub(crate) const fn field(
    name: &'static str,
    block: u8,
    bit: u16,
    width: u16,
    write_protect: u8,
) -> Field {
    Field {
        write_protect: Some(write_protect),
        ..unguarded(name, block, bit, width)
    }
}

/// A field that nothing write-protects.
pub(crate) const fn unguarded(name: &'static str, block: u8, bit: u16, width: u16) -> Field {
    Field {
        name,
        block,
        bit,
        width,
        write_protect: None,
        read_protect: None,
    }
}

impl Field {
    /// The same field with a bit of `RD_DIS`.
    pub(crate) const fn read_protected_by(self, bit: u8) -> Self {
        Self {
            read_protect: Some(bit),
            ..self
        }
    }
}

/// The field of this name.
pub(crate) const fn find(fields: &[Field], name: &str) -> Field {
    let mut index = 0;
    while index < fields.len() {
        if equal(fields[index].name.as_bytes(), name.as_bytes()) {
            return fields[index];
        }
        index += 1;
    }
    panic!("the chip's table has no field of this name")
}

const fn equal(left: &[u8], right: &[u8]) -> bool {
    let mut index = 0;
    while index < left.len() && index < right.len() && left[index] == right[index] {
        index += 1;
    }
    index == left.len() && index == right.len()
}

/// Block 0: its fields have protections of their own.
pub(crate) const fn settings(words: u8) -> Block {
    Block {
        name: "BLOCK0",
        words,
        coding: Coding::Plain,
        write_protect: None,
        read_protect: &[],
    }
}

/// A block that is burnt once, as a whole.
pub(crate) const fn coded(
    name: &'static str,
    words: u8,
    write_protect: u8,
    read_protect: &'static [u8],
) -> Block {
    Block {
        name,
        words,
        coding: Coding::ReedSolomon,
        write_protect: Some(write_protect),
        read_protect,
    }
}

/// Blocks of the chips with six key blocks.
pub(crate) static SIX_KEY_BLOCKS: [Block; 11] = [
    settings(6),
    coded("BLOCK1", 6, 20, &[]),
    coded("BLOCK_SYS_DATA", 8, 21, &[]),
    coded("BLOCK_USR_DATA", 8, 22, &[]),
    coded("BLOCK_KEY0", 8, 23, &[0]),
    coded("BLOCK_KEY1", 8, 24, &[1]),
    coded("BLOCK_KEY2", 8, 25, &[2]),
    coded("BLOCK_KEY3", 8, 26, &[3]),
    coded("BLOCK_KEY4", 8, 27, &[4]),
    coded("BLOCK_KEY5", 8, 28, &[5]),
    coded("BLOCK_SYS_DATA2", 8, 29, &[6]),
];

/// Six key blocks, each with its purpose field; `last_refuses` is what the sixth cannot hold.
pub(crate) const fn six_keys(
    fields: &[Field],
    last_refuses: &'static [KeyPurpose],
) -> [KeyBlock; 6] {
    [
        key(fields, "BLOCK_KEY0", "KEY_PURPOSE_0", &[]),
        key(fields, "BLOCK_KEY1", "KEY_PURPOSE_1", &[]),
        key(fields, "BLOCK_KEY2", "KEY_PURPOSE_2", &[]),
        key(fields, "BLOCK_KEY3", "KEY_PURPOSE_3", &[]),
        key(fields, "BLOCK_KEY4", "KEY_PURPOSE_4", &[]),
        key(fields, "BLOCK_KEY5", "KEY_PURPOSE_5", last_refuses),
    ]
}

const fn key(
    fields: &[Field],
    block: &str,
    purpose: &str,
    refuses: &'static [KeyPurpose],
) -> KeyBlock {
    let low = find(fields, purpose);
    KeyBlock {
        key: find(fields, block),
        role: KeyRole::Purpose(PurposeField { low, high: None }),
        refuses,
    }
}

/// Six key blocks whose purposes have a fifth bit that stands apart.
pub(crate) const fn six_split_keys(fields: &[Field]) -> [KeyBlock; 6] {
    let mut keys = six_keys(fields, &[]);
    let high = [
        find(fields, "KEY_PURPOSE_0_H"),
        find(fields, "KEY_PURPOSE_1_H"),
        find(fields, "KEY_PURPOSE_2_H"),
        find(fields, "KEY_PURPOSE_3_H"),
        find(fields, "KEY_PURPOSE_4_H"),
        find(fields, "KEY_PURPOSE_5_H"),
    ];
    let mut index = 0;
    while index < keys.len() {
        if let KeyRole::Purpose(PurposeField { low, .. }) = keys[index].role {
            let high = Some(high[index]);
            keys[index].role = KeyRole::Purpose(PurposeField { low, high });
        }
        index += 1;
    }
    keys
}

/// What revokes the three digests.
pub(crate) const fn three_revokes(fields: &[Field]) -> [Field; 3] {
    [
        find(fields, "SECURE_BOOT_KEY_REVOKE0"),
        find(fields, "SECURE_BOOT_KEY_REVOKE1"),
        find(fields, "SECURE_BOOT_KEY_REVOKE2"),
    ]
}

/// Registers of the chips with six key blocks.
pub(crate) const fn six_key_registers(controller: &'static [(usize, u32)]) -> Registers {
    Registers {
        blocks: &[
            0x2C, 0x44, 0x5C, 0x7C, 0x9C, 0xBC, 0xDC, 0xFC, 0x11C, 0x13C, 0x15C,
        ],
        space: 0x200,
        controller,
        check: Some(0x20),
        emulator_size: 1024,
    }
}
