//! Now: the short-lived statement of which `releases` holds, and how far.
//!
//! ```text
//! now = { 1: product, 2: gen, 3: version, 4: time, 5: expires, 6: releases, 7: root-version,
//!         8: [ 0*8 hold ] }
//! hold = { 1: channel, 2: chip, 3: seq, 4: ppm }
//! ```
//!
//! Source: `docs/protocol.md`, "Now".

use heapless::Vec;

use super::{MetadataError, check_ascending, check_range, read_channel, read_ppm};
use crate::cbor::{self, Document, EncodeError, Reader, Writer};
use crate::chip::ChipId;
use crate::cohort::Ppm;
use crate::units::{ChannelName, Digest, Position, Product};

use super::releases::Offer;

/// Most holds.
pub const MAX_HOLDS: usize = 8;
/// Longest `now` in bytes, as COSE_Sign1.
pub const MAX_LEN: usize = 1024;

/// What holds now; it may narrow `releases`, never widen it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Now {
    /// Product that this is about.
    pub product: Product,
    /// Generation of the role and version within it.
    pub position: Position,
    /// When it was signed, in seconds since 1970.
    pub time: u64,
    /// When a device with a clock refuses it, in seconds since 1970; not before `time`.
    pub expires: u64,
    /// SHA-256 of the COSE bytes of the current `releases`.
    pub releases: Digest,
    /// Version of the current root.
    pub root_version: u32,
    /// Holds, ascending by channel and chip number, each pair once.
    pub holds: Vec<Hold, MAX_HOLDS>,
}

/// Narrows one offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Channel of the offer.
    pub channel: ChannelName,
    /// Chip of the offer.
    pub chip: ChipId,
    /// `seq` of the offer.
    pub seq: u64,
    /// Largest share of the devices that may still take it; 0 stops it.
    pub ppm: Ppm,
}

impl Now {
    /// Nothing yet: something to [`parse_into`](Self::parse_into).
    pub const BLANK: Self = Self {
        product: Product([0; Product::LEN]),
        position: Position::ZERO,
        time: 0,
        expires: 0,
        releases: Digest([0; Digest::LEN]),
        root_version: 0,
        holds: Vec::new(),
    };

    /// As [`parse`](Self::parse), into memory of the caller, which holds anything after an error.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn parse_into(&mut self, bytes: &[u8]) -> Result<(), MetadataError> {
        cbor::parse_into(self, bytes)
    }

    /// Parses the payload of a `now`.
    ///
    /// # Errors
    /// [`MetadataError`] unless the bytes are the one encoding of a valid `now`.
    pub fn parse(bytes: &[u8]) -> Result<Self, MetadataError> {
        cbor::parse(bytes)
    }

    /// Encodes the payload to the start of `out` and returns its length.
    ///
    /// # Errors
    /// [`EncodeError`] when the value is invalid or `out` is too small.
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, EncodeError<MetadataError>> {
        cbor::encode(self, out)
    }

    /// Returns the share of devices that may take `offer`: the lower of its own and its hold's.
    #[must_use]
    pub fn effective_ppm(&self, offer: &Offer) -> Ppm {
        let holds = self.holds.iter().filter(|hold| {
            hold.channel == offer.channel
                && hold.chip.to_u16() == offer.chip.to_u16()
                && hold.seq == offer.seq
        });
        holds.map(|hold| hold.ppm).fold(offer.ppm, Ppm::min)
    }
}

impl Document<'_> for Now {
    type Error = MetadataError;
    const NAME: &'static str = "now";
    const LIMIT: usize = crate::cose::max_sign1_payload(MAX_LEN);

    const BLANK: Self = Self::BLANK;

    fn read(&mut self, reader: &mut Reader<'_>) -> Result<(), MetadataError> {
        reader.map("now", 8);
        reader.key(1, "now.product").copy_to(&mut self.product.0);
        self.position.generation = reader.key(2, "now.gen").u32();
        self.position.version = reader.key(3, "now.version").u64();
        self.time = reader.key(4, "now.time").u64();
        self.expires = reader.key(5, "now.expires").u64();
        reader.key(6, "now.releases").copy_to(&mut self.releases.0);
        self.root_version = reader.key(7, "now.root-version").u32();
        let holds = reader.key(8, "now.holds");
        holds.list(0, &mut self.holds, &Hold::BLANK, Hold::read)
    }

    fn check(&self) -> Result<(), MetadataError> {
        check_range("now.expires", self.time, u64::MAX, self.expires)?;
        let highest = u32::MAX.into();
        check_range("now.root-version", 1, highest, self.root_version.into())?;
        check_ascending("now.holds", &self.holds, |hold| {
            (&hold.channel, hold.chip.to_u16())
        })
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.map(8);
        writer.uint(1).bytes(&self.product.0);
        writer.uint(2).uint(self.position.generation.into());
        writer.uint(3).uint(self.position.version);
        writer.uint(4).uint(self.time);
        writer.uint(5).uint(self.expires);
        writer.uint(6).bytes(&self.releases.0);
        writer.uint(7).uint(self.root_version.into());
        writer.uint(8).array(self.holds.len());
        for hold in &self.holds {
            hold.write(writer);
        }
    }
}

impl Hold {
    const BLANK: Self = Self {
        channel: ChannelName::BLANK,
        chip: ChipId::Esp32,
        seq: 0,
        ppm: Ppm::NONE,
    };

    fn read(&mut self, reader: &mut Reader<'_>) -> Result<(), MetadataError> {
        reader.map("hold", 4);
        let channel = reader.key(1, "hold.channel");
        read_channel(channel, "hold.channel", &mut self.channel)?;
        self.chip = ChipId::from_u16(reader.key(2, "hold.chip").u16());
        self.seq = reader.key(3, "hold.seq").u64();
        read_ppm(reader.key(4, "hold.ppm"), "hold.ppm", &mut self.ppm)
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.map(4);
        writer.uint(1).text(self.channel.as_str());
        writer.uint(2).uint(self.chip.to_u16().into());
        writer.uint(3).uint(self.seq);
        writer.uint(4).uint(self.ppm.get().into());
    }
}
