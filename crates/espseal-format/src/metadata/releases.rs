//! Releases: what is on offer on each channel, and which epoch keys are current.
//!
//! ```text
//! releases = { 1: product, 2: gen, 3: version, 4: previous / null, 5: expires,
//!              6: [ 0*8 offer ], 7: [ 0*8 epoch ] }
//! offer = { 1: channel, 2: chip, 3: manifest, 4: seq, 5: salt, 6: ppm, 7: state }
//! epoch = { 1: group, 2: epoch, 3: commitment, 4: shard-nibbles }
//! ```
//!
//! Source: `docs/protocol.md`, "Releases".

use heapless::Vec;

use super::{MetadataError, check_ascending, read_channel, read_ppm};
use crate::cbor::{self, Document, EncodeError, Reader, Writer};
use crate::chip::ChipId;
use crate::cohort::{Ppm, Salt};
use crate::units::{ChannelName, Digest, Position, Product};
use crate::wrap::ShardNibbles;

/// Most offers.
pub const MAX_OFFERS: usize = 8;
/// Most epochs.
pub const MAX_EPOCHS: usize = 8;
/// Longest `releases` in bytes, as COSE_Sign1.
pub const MAX_LEN: usize = 2048;

/// What the maker has released.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Releases {
    /// Product that the offers are for.
    pub product: Product,
    /// Generation of the role and version within it.
    pub position: Position,
    /// SHA-256 of the COSE bytes of the `releases` before this one; `None` for the first.
    pub previous: Option<Digest>,
    /// When a device with a clock refuses this document, in seconds since 1970.
    pub expires: u64,
    /// Offers, ascending by channel and chip number, each pair once.
    pub offers: Vec<Offer, MAX_OFFERS>,
    /// Current epochs, ascending by group, each group once.
    pub epochs: Vec<Epoch, MAX_EPOCHS>,
}

/// One release on offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Channel that it is offered on.
    pub channel: ChannelName,
    /// Chip that it is built for.
    pub chip: ChipId,
    /// SHA-256 of the manifest.
    pub manifest: Digest,
    /// Rises with each release, within the generation of `releases`.
    pub seq: u64,
    /// Draws the cohort; kept while an offer is widened.
    pub salt: Salt,
    /// Share of the devices that it is offered to.
    pub ppm: Ppm,
    /// Whether devices may take it.
    pub state: OfferState,
}

/// Whether devices may take an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OfferState {
    /// They may.
    Active,
    /// They may not for now.
    Held,
}

/// The current epoch of a group of devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Epoch {
    /// The group.
    pub group: u32,
    /// The epoch.
    pub epoch: u32,
    /// `SHA-256("espseal/v1/epoch-commit\0" || product || group || epoch || EK)`.
    pub commitment: Digest,
    /// How many hexadecimal digits of its id name a device's shard.
    pub shard_nibbles: ShardNibbles,
}

impl Releases {
    /// Nothing yet: something to [`parse_into`](Self::parse_into).
    pub const BLANK: Self = Self {
        product: Product([0; Product::LEN]),
        position: Position::ZERO,
        previous: None,
        expires: 0,
        offers: Vec::new(),
        epochs: Vec::new(),
    };

    /// As [`parse`](Self::parse), into memory of the caller, which holds anything after an error.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn parse_into(&mut self, bytes: &[u8]) -> Result<(), MetadataError> {
        cbor::parse_into(self, bytes)
    }

    /// Parses the payload of a `releases`.
    ///
    /// # Errors
    /// [`MetadataError`] unless the bytes are the one encoding of a valid `releases`.
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

    /// Returns what is offered on a channel for a chip.
    #[must_use]
    pub fn offer(&self, channel: &ChannelName, chip: ChipId) -> Option<&Offer> {
        self.offers
            .iter()
            .find(|offer| offer.channel == *channel && offer.chip.to_u16() == chip.to_u16())
    }

    /// Returns the current epoch of a group.
    #[must_use]
    pub fn epoch(&self, group: u32) -> Option<&Epoch> {
        self.epochs.iter().find(|epoch| epoch.group == group)
    }
}

impl Document<'_> for Releases {
    type Error = MetadataError;
    const NAME: &'static str = "releases";
    const LIMIT: usize = crate::cose::max_sign1_payload(MAX_LEN);

    const BLANK: Self = Self::BLANK;

    fn read(&mut self, reader: &mut Reader<'_>) -> Result<(), MetadataError> {
        reader.map("releases", 7);
        reader
            .key(1, "releases.product")
            .copy_to(&mut self.product.0);
        self.position.generation = reader.key(2, "releases.gen").u32();
        self.position.version = reader.key(3, "releases.version").u64();
        reader
            .key(4, "releases.previous")
            .digest_or_null(&mut self.previous);
        self.expires = reader.key(5, "releases.expires").u64();
        let offers = reader.key(6, "releases.offers");
        offers.list(0, &mut self.offers, &Offer::BLANK, Offer::read)?;
        let epochs = reader.key(7, "releases.epochs");
        epochs.list(0, &mut self.epochs, &Epoch::BLANK, Epoch::read)
    }

    fn check(&self) -> Result<(), MetadataError> {
        check_ascending("releases.offers", &self.offers, |offer| {
            (&offer.channel, offer.chip.to_u16())
        })?;
        check_ascending("releases.epochs", &self.epochs, |epoch| epoch.group)
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.map(7);
        writer.uint(1).bytes(&self.product.0);
        writer.uint(2).uint(self.position.generation.into());
        writer.uint(3).uint(self.position.version);
        match &self.previous {
            Some(digest) => writer.uint(4).bytes(&digest.0),
            None => writer.uint(4).null(),
        };
        writer.uint(5).uint(self.expires);
        writer.uint(6).array(self.offers.len());
        for offer in &self.offers {
            offer.write(writer);
        }
        writer.uint(7).array(self.epochs.len());
        for epoch in &self.epochs {
            epoch.write(writer);
        }
    }
}

impl Offer {
    const BLANK: Self = Self {
        channel: ChannelName::BLANK,
        chip: ChipId::Esp32,
        manifest: Digest([0; Digest::LEN]),
        seq: 0,
        salt: Salt([0; 16]),
        ppm: Ppm::NONE,
        state: OfferState::Active,
    };

    #[inline(never)]
    fn read(&mut self, reader: &mut Reader<'_>) -> Result<(), MetadataError> {
        reader.map("offer", 7);
        let channel = reader.key(1, "offer.channel");
        read_channel(channel, "offer.channel", &mut self.channel)?;
        self.chip = ChipId::from_u16(reader.key(2, "offer.chip").u16());
        reader
            .key(3, "offer.manifest")
            .copy_to(&mut self.manifest.0);
        self.seq = reader.key(4, "offer.seq").u64();
        reader.key(5, "offer.salt").copy_to(&mut self.salt.0);
        read_ppm(reader.key(6, "offer.ppm"), "offer.ppm", &mut self.ppm)?;
        self.state = match reader.key(7, "offer.state").u8() {
            0 => OfferState::Active,
            1 => OfferState::Held,
            found => {
                return Err(MetadataError::Range {
                    field: "offer.state",
                    min: 0,
                    max: 1,
                    found: found.into(),
                });
            }
        };
        Ok(())
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.map(7);
        writer.uint(1).text(self.channel.as_str());
        writer.uint(2).uint(self.chip.to_u16().into());
        writer.uint(3).bytes(&self.manifest.0);
        writer.uint(4).uint(self.seq);
        writer.uint(5).bytes(&self.salt.0);
        writer.uint(6).uint(self.ppm.get().into());
        writer.uint(7).uint(match self.state {
            OfferState::Active => 0,
            OfferState::Held => 1,
        });
    }
}

impl Epoch {
    const BLANK: Self = Self {
        group: 0,
        epoch: 0,
        commitment: Digest([0; Digest::LEN]),
        shard_nibbles: ShardNibbles::NONE,
    };

    #[inline(never)]
    fn read(&mut self, reader: &mut Reader<'_>) -> Result<(), MetadataError> {
        reader.map("epoch", 4);
        self.group = reader.key(1, "epoch.group").u32();
        self.epoch = reader.key(2, "epoch.epoch").u32();
        reader
            .key(3, "epoch.commitment")
            .copy_to(&mut self.commitment.0);
        let field = "epoch.shard-nibbles";
        let found = reader.key(4, field).u8();
        self.shard_nibbles = ShardNibbles::new(found).ok_or(MetadataError::Range {
            field,
            min: 0,
            max: ShardNibbles::MAX.into(),
            found: found.into(),
        })?;
        Ok(())
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.map(4);
        writer.uint(1).uint(self.group.into());
        writer.uint(2).uint(self.epoch.into());
        writer.uint(3).bytes(&self.commitment.0);
        writer.uint(4).uint(self.shard_nibbles.get().into());
    }
}
