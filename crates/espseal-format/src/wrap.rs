//! Key wraps: a body's content key for a group, and an epoch's key for each device.
//!
//! ```text
//! body wrap     40 bytes   AES-256-KW of the content key under the body's KEK
//! epoch shard   n entries, strictly ascending by device id, no header, at most 65,536 bytes
//! shard entry   0..32 device id | 32..97 enc (HPKE) | 97..145 ciphertext and tag of EK
//! ```
//!
//! The byte strings that bind a key to its purpose are built here, as arrays of fixed length, so
//! that the side that wraps and the side that unwraps cannot disagree; the cryptography lives in
//! `espseal-crypto`.
//!
//! Source: `docs/protocol.md`, "Key wraps"; RFC 3394, RFC 5869, RFC 9180.

use core::fmt;

use crate::units::{DeviceId, Digest, Product};

mod shard;

pub use shard::{MAX_SHARD_LEN, ShardError, ShardFinder, find_in_shard};

/// A content key wrapped under the KEK of its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyWrap(pub [u8; BodyWrap::LEN]);

impl BodyWrap {
    /// Length in bytes: an RFC 3394 wrap of 32.
    pub const LEN: usize = 40;
}

/// The key of an epoch, wrapped for one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardEntry {
    /// The device.
    pub device: DeviceId,
    /// Encapsulated key of HPKE: an uncompressed point.
    pub enc: [u8; 65],
    /// Encrypted epoch key with its tag.
    pub ciphertext: [u8; 48],
}

impl ShardEntry {
    /// Length in bytes.
    pub const LEN: usize = DeviceId::LEN + 65 + 48;

    /// Splits an entry into its fields; whether they are genuine shows when the key is opened.
    #[must_use]
    pub fn parse(bytes: &[u8; Self::LEN]) -> Self {
        let mut entry = Self {
            device: DeviceId([0; 32]),
            enc: [0; 65],
            ciphertext: [0; 48],
        };
        for (slot, byte) in entry.bytes_mut().zip(bytes) {
            *slot = *byte;
        }
        entry
    }

    /// Joins the fields.
    #[must_use]
    pub fn encode(&self) -> [u8; Self::LEN] {
        concat(&[&self.device.0, &self.enc, &self.ciphertext])
    }

    /// The entry's bytes in order.
    fn bytes_mut(&mut self) -> impl Iterator<Item = &mut u8> {
        let fields = self.device.0.iter_mut().chain(&mut self.enc);
        fields.chain(&mut self.ciphertext)
    }
}

/// How many hexadecimal digits of a device id name its shard, 0 to 6.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardNibbles(u8);

impl ShardNibbles {
    /// Most digits: 16,777,216 shards.
    pub const MAX: u8 = 6;

    /// No digits: one shard for all.
    pub const NONE: Self = Self(0);

    /// Checks a number of digits; `None` above [`ShardNibbles::MAX`].
    #[must_use]
    pub const fn new(digits: u8) -> Option<Self> {
        if digits <= Self::MAX {
            Some(Self(digits))
        } else {
            None
        }
    }

    /// Returns the number of digits.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

/// Names a shard by the digits that its devices' ids begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardPrefix {
    /// The digits, of which only the last `nibbles` are not zero.
    value: u32,
    nibbles: ShardNibbles,
}

impl ShardPrefix {
    /// Names the shard of a device.
    #[must_use]
    pub fn of(device: &DeviceId, nibbles: ShardNibbles) -> Self {
        let [a, b, c, ..] = device.0;
        let first_six = u32::from_be_bytes([0, a, b, c]);
        let unused = ShardNibbles::MAX.saturating_sub(nibbles.0);
        Self {
            value: first_six >> (u32::from(unused).saturating_mul(4)),
            nibbles,
        }
    }

    /// Spells the shard's name, as [`parse`](Self::parse) reads it.
    #[must_use]
    pub fn name(&self) -> heapless::String<{ ShardNibbles::MAX as usize }> {
        let mut name = heapless::String::new();
        if self.nibbles.0 == 0 {
            // Six places, three letters.
            let _ = name.push_str(ALL);
        }
        for place in (0..u32::from(self.nibbles.0)).rev() {
            let nibble = (self.value >> place.saturating_mul(4)) & 0xF;
            let _ = name.push(char::from_digit(nibble, 16).unwrap_or_default());
        }
        name
    }

    /// Reads a shard's name: `all`, or 1 to 6 lower-case hexadecimal digits.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        if name == ALL {
            return Some(Self {
                value: 0,
                nibbles: ShardNibbles(0),
            });
        }
        let lower_hex = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
        if name.is_empty() || !name.bytes().all(lower_hex) {
            return None;
        }
        Some(Self {
            nibbles: u8::try_from(name.len()).ok().and_then(ShardNibbles::new)?,
            value: u32::from_str_radix(name, 16).ok()?,
        })
    }

    /// Whether the shard is the one of that device.
    #[must_use]
    pub fn covers(&self, device: &DeviceId) -> bool {
        *self == Self::of(device, self.nibbles)
    }
}

impl fmt::Display for ShardPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

/// Name of the shard of no digits.
const ALL: &str = "all";

/// Length of [`kek_info`].
pub const KEK_INFO_LEN: usize = 15 + Product::LEN + 4 + 4 + Digest::LEN;
/// Length of [`epoch_info`].
pub const EPOCH_INFO_LEN: usize = 17 + Product::LEN + 4 + 4 + DeviceId::LEN;
/// Length of [`epoch_commitment_prefix`].
pub const EPOCH_COMMITMENT_PREFIX_LEN: usize = 24 + Product::LEN + 4 + 4;
/// Length of [`cek_commitment_prefix`].
pub const CEK_COMMITMENT_PREFIX_LEN: usize = 22 + Digest::LEN;

/// `info` of HKDF-Expand for the key that wraps one body's content key:
/// `"espseal/v1/kek\0" || product || group u32be || epoch u32be || body digest`.
#[must_use]
pub fn kek_info(product: &Product, group: u32, epoch: u32, body: &Digest) -> [u8; KEK_INFO_LEN] {
    concat(&[
        b"espseal/v1/kek\0",
        &product.0,
        &group.to_be_bytes(),
        &epoch.to_be_bytes(),
        &body.0,
    ])
}

/// `info` of HPKE for the wrap of an epoch key to one device:
/// `"espseal/v1/epoch\0" || product || group u32be || epoch u32be || device id`.
#[must_use]
pub fn epoch_info(
    product: &Product,
    group: u32,
    epoch: u32,
    device: &DeviceId,
) -> [u8; EPOCH_INFO_LEN] {
    concat(&[
        b"espseal/v1/epoch\0",
        &product.0,
        &group.to_be_bytes(),
        &epoch.to_be_bytes(),
        &device.0,
    ])
}

/// What stands before the epoch key in the hash that commits to it:
/// `"espseal/v1/epoch-commit\0" || product || group u32be || epoch u32be`.
#[must_use]
pub fn epoch_commitment_prefix(
    product: &Product,
    group: u32,
    epoch: u32,
) -> [u8; EPOCH_COMMITMENT_PREFIX_LEN] {
    concat(&[
        b"espseal/v1/epoch-commit\0",
        &product.0,
        &group.to_be_bytes(),
        &epoch.to_be_bytes(),
    ])
}

/// What stands before the content key in the hash that commits to it:
/// `"espseal/v1/cek-commit\0" || body digest`.
#[must_use]
pub fn cek_commitment_prefix(body: &Digest) -> [u8; CEK_COMMITMENT_PREFIX_LEN] {
    concat(&[b"espseal/v1/cek-commit\0", &body.0])
}

/// Joins `parts`, whose lengths add up to `N`.
fn concat<const N: usize>(parts: &[&[u8]]) -> [u8; N] {
    let mut joined = [0; N];
    let bytes = parts.iter().copied().flatten();
    for (slot, byte) in joined.iter_mut().zip(bytes) {
        *slot = *byte;
    }
    joined
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::string::ToString as _;
    use std::vec::Vec;

    use super::*;

    const PRODUCT: Product = Product([0xAA; 16]);

    /// Writes the definition of `docs/protocol.md` down a second time.
    fn spelled(label: &str, parts: &[&[u8]]) -> Vec<u8> {
        let mut bytes = label.as_bytes().to_vec();
        bytes.push(0);
        bytes.extend(parts.iter().copied().flatten());
        bytes
    }

    #[test]
    fn labels_keep_every_byte_and_tell_group_from_epoch() {
        let (group, epoch) = ([0, 0, 0, 1], [0, 0, 1, 0]);
        let product = PRODUCT.0.as_slice();
        assert_eq!(
            kek_info(&PRODUCT, 1, 256, &Digest([0xBB; 32])).as_slice(),
            spelled("espseal/v1/kek", &[product, &group, &epoch, &[0xBB; 32]])
        );
        assert_eq!(
            epoch_info(&PRODUCT, 1, 256, &DeviceId([0xCC; 32])).as_slice(),
            spelled("espseal/v1/epoch", &[product, &group, &epoch, &[0xCC; 32]])
        );
        assert_eq!(
            epoch_commitment_prefix(&PRODUCT, 1, 256).as_slice(),
            spelled("espseal/v1/epoch-commit", &[product, &group, &epoch])
        );
        assert_eq!(
            cek_commitment_prefix(&Digest([0xBB; 32])).as_slice(),
            spelled("espseal/v1/cek-commit", &[&[0xBB; 32]])
        );
    }

    #[test]
    fn shard_entry_round_trips_with_every_byte_in_its_place() {
        let mut bytes = [0; ShardEntry::LEN];
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::try_from(index).unwrap();
        }
        let entry = ShardEntry::parse(&bytes);
        assert_eq!(
            (entry.device.0[0], entry.enc[0], entry.ciphertext[0]),
            (0, 32, 97)
        );
        assert_eq!(entry.ciphertext[47], 144);
        assert_eq!(entry.encode(), bytes);
    }

    #[test]
    fn shard_name_is_the_first_digits_of_the_id() {
        let mut id = [0; 32];
        id[..4].copy_from_slice(&[0x0A, 0xBC, 0xDE, 0xF0]);
        let device = DeviceId(id);
        for (nibbles, name) in [(0, "all"), (1, "0"), (2, "0a"), (3, "0ab"), (6, "0abcde")] {
            let prefix = ShardPrefix::of(&device, ShardNibbles::new(nibbles).unwrap());
            assert_eq!(prefix.to_string(), name);
            assert_eq!(ShardPrefix::parse(name), Some(prefix));
            assert!(prefix.covers(&device));
            assert_eq!(prefix.covers(&DeviceId([0xFF; 32])), nibbles == 0);
        }
        for wrong in ["", "ALL", "0A", "0abcdef", "+1", "g", "a "] {
            assert_eq!(ShardPrefix::parse(wrong), None, "{wrong}");
        }
        assert_eq!(ShardNibbles::new(7), None);
    }
}
