//! What tells how far a chip has come on a plan.
//!
//! Nothing is noted down anywhere: the eFuses themselves say which steps are done, before a step and
//! after it.

use std::fmt::Write as _;

use espseal_format::efuse::Field;
use espseal_format::units::Digest;
use espseal_twin::efuse::Efuses;

/// A field, and the bits of it that count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watched {
    /// The field.
    pub field: &'static Field,
    /// Its bits; all ones for a key.
    pub mask: u64,
}

/// What a watched field holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Bits of a field, those of the mask.
    Bits(u64),
    /// A key block, or half of one, with nothing in it.
    Empty,
    /// One that software cannot read.
    Hidden,
    /// The digest of this slot.
    Digest(u8),
    /// Something that can be read.
    Burnt,
}

/// What the watched fields hold, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State(pub Vec<Seen>);

impl State {
    /// Looks at a chip.
    #[must_use]
    pub fn of(efuses: &Efuses, watched: &[Watched], digests: &[Digest]) -> Self {
        let see = |watched: &Watched| watched.see(efuses, digests);
        Self(watched.iter().map(see).collect())
    }

    /// Whether a chip in this state may be on its way from `before` to `after`.
    ///
    /// Bits burn one by one and key blocks before their purposes and protections. Whose key a block
    /// holds is for the caller to find out.
    #[must_use]
    pub fn is_between(&self, before: &Self, after: &Self) -> bool {
        let pairs = before.0.iter().zip(&after.0);
        self.0.len() == before.0.len()
            && self
                .0
                .iter()
                .zip(pairs)
                .all(|(now, (before, after))| now.is_between(before, after))
    }
}

impl Seen {
    fn is_between(&self, before: &Self, after: &Self) -> bool {
        match (self, before, after) {
            (Self::Bits(now), Self::Bits(before), Self::Bits(after)) => {
                before & !now == 0 && now & !after == 0
            }
            (Self::Burnt, Self::Empty, Self::Hidden) => true,
            (now, before, after) => now == before || now == after,
        }
    }
}

impl Watched {
    /// The field with all its bits.
    pub(super) const fn whole(field: &'static Field) -> Self {
        let mask = match field.width {
            64.. => u64::MAX,
            width => (1 << width) - 1,
        };
        Self { field, mask }
    }

    /// Whether it is a key, or half of one.
    #[must_use]
    pub const fn is_key(&self) -> bool {
        self.field.width > 64
    }

    fn see(&self, efuses: &Efuses, digests: &[Digest]) -> Seen {
        if !self.is_key() {
            return Seen::Bits(efuses.read(self.field.name).unwrap_or(0) & self.mask);
        }
        if is_hidden(efuses, self.field) {
            return Seen::Hidden;
        }
        let block = efuses.read_block(usize::from(self.field.block));
        let start = usize::from(self.field.bit / 8);
        let length = usize::from(self.field.width / 8);
        let bytes = block.get(start..start.saturating_add(length));
        let bytes = bytes.unwrap_or_default();
        if bytes.iter().all(|byte| *byte == 0) {
            return Seen::Empty;
        }
        // Half a block holds the first half of a digest.
        let mut slots = (0..).zip(digests);
        slots
            .find(|(_, digest)| digest.0.get(..length) == Some(bytes))
            .map_or(Seen::Burnt, |(slot, _)| Seen::Digest(slot))
    }
}

/// Whether software cannot read a key block, or this half of it.
pub(super) fn is_hidden(efuses: &Efuses, field: &Field) -> bool {
    let rd_dis = efuses.read(efuses.map().rd_dis.name).unwrap_or(0);
    let guards = efuses.map().blocks.get(usize::from(field.block));
    let guards = guards.map_or(&[][..], |block| block.read_protect);
    let own = field.read_protect.as_slice();
    let bits = if own.is_empty() { guards } else { own };
    bits.iter().any(|bit| rd_dis >> bit & 1 == 1)
}

/// What a watched field holds, as `espefuse summary --format json` has it: `0x` and digits, or a word.
#[must_use]
pub fn raw(watched: &Watched, seen: &Seen, digests: &[Digest]) -> String {
    match seen {
        Seen::Bits(bits) if watched.field.name == MAC => {
            // An address is bytes there, the last one first.
            let bytes = bits.to_le_bytes();
            hex(bytes.get(..6).unwrap_or(&bytes))
        }
        Seen::Bits(bits) => format!("{bits:#x}"),
        Seen::Empty => "empty".into(),
        Seen::Hidden => "hidden".into(),
        Seen::Burnt => "readable".into(),
        Seen::Digest(slot) => {
            let length = usize::from(watched.field.width / 8);
            let digest = digests.get(usize::from(*slot));
            digest
                .and_then(|digest| digest.0.get(..length))
                .map_or_else(String::new, hex)
        }
    }
}

/// Name of the field that says which chip it is.
pub(super) const MAC: &str = "MAC";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold("0x".to_owned(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
