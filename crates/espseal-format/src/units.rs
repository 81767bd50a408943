//! The units and identifiers that every other module speaks in.
//!
//! A flash offset is not a length and a digest is not a key: each has a type of its own, so that
//! the compiler refuses to mix them up.

use core::fmt;

use crate::sha256::Sha256;

/// Bytes in a flash sector, the smallest unit that NOR flash erases.
pub const SECTOR_SIZE: usize = 4096;
/// Bytes of ciphertext in one chunk of a sealed body.
pub const CHUNK_SIZE: usize = 4096;
/// Chunk hashes in one page of a body's page file.
pub const CHUNKS_PER_PAGE: usize = 128;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u32);

        impl $name {
            /// Wraps a plain number.
            #[must_use]
            pub const fn new(value: u32) -> Self {
                Self(value)
            }

            /// Returns the plain number.
            #[must_use]
            pub const fn get(self) -> u32 {
                self.0
            }
        }
    };
}

number!(
    /// Byte offset from the start of the flash chip.
    FlashOffset
);
number!(
    /// Number of a 4096-byte chunk within a sealed body, from 0.
    ChunkIndex
);
number!(
    /// Anti-rollback counter: compared with the number of bits burnt in eFuse.
    SecurityVersion
);

impl FlashOffset {
    /// Adds a number of bytes; `None` past the 32-bit address space.
    #[must_use]
    pub const fn checked_add(self, bytes: u32) -> Option<Self> {
        match self.0.checked_add(bytes) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }

    /// Whether the offset is the first byte of a flash sector.
    #[must_use]
    pub const fn is_sector_aligned(self) -> bool {
        self.0 & 0xFFF == 0
    }
}

impl fmt::Display for FlashOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::Display for ChunkIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for SecurityVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// Length in bytes.
            pub const LEN: usize = $len;

            /// Returns the bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }

            /// Reads exactly this many lower-case hexadecimal digits; `None` for anything else.
            #[must_use]
            pub fn from_hex(text: &str) -> Option<Self> {
                let mut bytes = [0; $len];
                parse_hex(text.as_bytes(), &mut bytes)?;
                Some(Self(bytes))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    };
}

identifier!(
    /// A SHA-256 digest (FIPS 180-4).
    Digest,
    32
);
identifier!(
    /// A SHA-384 digest (FIPS 180-4).
    Digest384,
    48
);
identifier!(
    /// Identifier of a product, random at `espseal init`.
    Product,
    16
);
identifier!(
    /// Pseudonym of a device: SHA-256 of its public key, never its MAC address.
    DeviceId,
    32
);
identifier!(
    /// A P-256 public key as an uncompressed SEC1 point, `0x04 || X || Y`.
    PublicKeyBytes,
    65
);
identifier!(
    /// First 8 bytes of the SHA-256 of a public key; names the key in a COSE header.
    KeyId,
    8
);

impl Digest {
    /// Hashes `bytes` with SHA-256.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Sha256::of(&[bytes])
    }
}

impl DeviceId {
    /// Names the device that holds the private half of `key`.
    #[must_use]
    pub fn of(key: &PublicKeyBytes) -> Self {
        Self(Digest::of(&key.0).0)
    }
}

impl KeyId {
    /// Names a signing key.
    #[must_use]
    pub fn of(key: &PublicKeyBytes) -> Self {
        let [a, b, c, d, e, f, g, h, ..] = Digest::of(&key.0).0;
        Self([a, b, c, d, e, f, g, h])
    }
}

/// Where a signed document or an installation stands in time: `(generation, version)`.
///
/// Only a root raises the generation, so a stolen key that counts to `u64::MAX` is overtaken by
/// the next generation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Generation of the role, assigned by root.
    pub generation: u32,
    /// Version of a document, or `seq` of an installation, within the generation.
    pub version: u64,
}

impl Position {
    /// Before everything.
    pub const ZERO: Self = Self {
        generation: 0,
        version: 0,
    };
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.generation, self.version)
    }
}

/// Name of a release channel: 1 to 24 bytes of `[a-z0-9-]`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelName(heapless::String<24>);

impl ChannelName {
    /// No name yet; only parsers hold it, until they have read one.
    pub(crate) const BLANK: Self = Self(heapless::String::new());

    /// Checks and copies a channel name; `None` when a character or the length is not allowed.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if name.is_empty() || !name.bytes().all(allowed) {
            return None;
        }
        heapless::String::try_from(name).ok().map(Self)
    }

    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Fills `out` from lower-case hexadecimal `text` of exactly twice its length.
fn parse_hex(text: &[u8], out: &mut [u8]) -> Option<()> {
    let (pairs, rest) = text.as_chunks::<2>();
    if !rest.is_empty() || pairs.len() != out.len() {
        return None;
    }
    for (byte, [high, low]) in out.iter_mut().zip(pairs) {
        *byte = (nibble(*high)? << 4) | nibble(*low)?;
    }
    Some(())
}

/// Value of one lower-case hexadecimal digit.
fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => digit.checked_sub(b'0'),
        b'a'..=b'f' => digit.checked_sub(b'a' - 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::string::ToString as _;

    use super::*;

    #[test]
    fn hexadecimal_round_trips_and_refuses_other_spellings() {
        let id = KeyId([0, 1, 0xAB, 0xFF, 9, 8, 7, 6]);
        assert_eq!(id.to_string(), "0001abff09080706");
        assert_eq!(KeyId::from_hex("0001abff09080706"), Some(id));
        for wrong in [
            "",
            "0001abff0908070",
            "0001abff090807061",
            "0001ABff09080706",
            "0001abff0908070g",
        ] {
            assert_eq!(KeyId::from_hex(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn generation_outranks_version() {
        let stolen = Position {
            generation: 1,
            version: u64::MAX,
        };
        let recovered = Position {
            generation: 2,
            version: 0,
        };
        assert!(recovered > stolen);
    }

    #[test]
    fn channel_names_allow_nothing_that_a_path_or_shell_could_misread() {
        assert!(ChannelName::new("production-2").is_some());
        for wrong in [
            "",
            "Production",
            "a/b",
            "..",
            "a b",
            "aaaaaaaaaaaaaaaaaaaaaaaaa",
        ] {
            assert_eq!(ChannelName::new(wrong), None, "{wrong}");
        }
    }
}
