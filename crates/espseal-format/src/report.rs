//! What devices tell the server, and what the server keeps about them.
//!
//! ```text
//! poll          = { 1: product, 2: device id, 3: channel, 4: chip, 5: gen, 6: seq }
//! report        = { 1: product, 2: device id, 3: counter, 4: event, 5: gen, 6: seq,
//!                   7: manifest / null, 8: code }
//! device record = { 1: device id, 2: report public key }
//! subscription  = { 1: device id, 2: channel, 3: chip }
//! ```
//!
//! A poll is unsigned and advisory. A report is the payload of a COSE_Sign1 by the device's report
//! key.
//!
//! Source: `docs/protocol.md`, "Repository paths" and "Server requests".

use crate::cbor::{self, Document, EncodeError, Reader, Writer};
use crate::chip::ChipId;
use crate::metadata::{MetadataError, read_channel};
use crate::units::{ChannelName, DeviceId, Digest, Position, Product, PublicKeyBytes};

/// Longest poll in bytes.
pub const MAX_POLL_LEN: usize = 128;
/// Longest report in bytes, as COSE_Sign1.
pub const MAX_REPORT_LEN: usize = 256;
/// Longest device record or subscription in bytes.
pub const MAX_RECORD_LEN: usize = 128;

/// What a device runs and wants, when it asks for `now`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Poll {
    /// Product of the device.
    pub product: Product,
    /// The device.
    pub device: DeviceId,
    /// Channel that it follows.
    pub channel: ChannelName,
    /// Its chip.
    pub chip: ChipId,
    /// What it runs: generation and `seq`.
    pub installed: Position,
}

/// What became of an update.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Product of the device.
    pub product: Product,
    /// The device.
    pub device: DeviceId,
    /// Rises with each report, so that an old one cannot be told again.
    pub counter: u64,
    /// What happened.
    pub event: Event,
    /// Which release it is about: generation and `seq`.
    pub release: Position,
    /// Manifest of that release; `None` for the factory image.
    pub manifest: Option<Digest>,
    /// The agent's error code; 0 for none.
    pub code: u16,
}

/// What happened to a release on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// It runs and has confirmed itself.
    Confirmed,
    /// It stands in its slot and is about to be started.
    Staged,
    /// It was started and the device went back.
    RolledBack,
    /// A check refused it.
    Refused,
    /// It failed too often and will not be tried again.
    Quarantined,
}

/// How the server recognises an agent's reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceRecord {
    /// The device.
    pub device: DeviceId,
    /// Key that signs its reports.
    pub report_key: PublicKeyBytes,
}

/// What an unmodified ESP-IDF device follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdfSubscription {
    /// The device.
    pub device: DeviceId,
    /// Channel that it follows.
    pub channel: ChannelName,
    /// Its chip.
    pub chip: ChipId,
}

macro_rules! parse_and_encode {
    ($name:ident, $what:literal) => {
        impl $name {
            #[doc = concat!("Parses ", $what, ".")]
            ///
            /// # Errors
            /// [`MetadataError`] unless the bytes are the one encoding of a valid value.
            pub fn parse(bytes: &[u8]) -> Result<Self, MetadataError> {
                cbor::parse(bytes)
            }

            #[doc = concat!("Encodes ", $what, " to the start of `out` and returns its length.")]
            ///
            /// # Errors
            /// [`EncodeError`] when the value is invalid or `out` is too small.
            pub fn encode(&self, out: &mut [u8]) -> Result<usize, EncodeError<MetadataError>> {
                cbor::encode(self, out)
            }
        }
    };
}

parse_and_encode!(Poll, "a poll");
parse_and_encode!(Report, "the payload of a report");
parse_and_encode!(DeviceRecord, "a device record");
parse_and_encode!(IdfSubscription, "a subscription");

impl Event {
    /// Returns the number on the wire.
    #[must_use]
    pub const fn to_u8(self) -> u8 {
        match self {
            Self::Confirmed => 0,
            Self::Staged => 1,
            Self::RolledBack => 2,
            Self::Refused => 3,
            Self::Quarantined => 4,
        }
    }

    /// Reads the number on the wire; `None` when it is not assigned.
    #[must_use]
    pub const fn from_u8(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Confirmed),
            1 => Some(Self::Staged),
            2 => Some(Self::RolledBack),
            3 => Some(Self::Refused),
            4 => Some(Self::Quarantined),
            _ => None,
        }
    }
}

impl Document<'_> for Poll {
    type Error = MetadataError;
    const NAME: &'static str = "poll";
    const LIMIT: usize = MAX_POLL_LEN;

    const BLANK: Self = Self {
        product: Product([0; Product::LEN]),
        device: NO_DEVICE,
        channel: ChannelName::BLANK,
        chip: ChipId::Esp32,
        installed: Position::ZERO,
    };

    fn read(&mut self, reader: &mut Reader<'_>) -> Result<(), MetadataError> {
        reader.map("poll", 6);
        reader.key(1, "poll.product").copy_to(&mut self.product.0);
        reader.key(2, "poll.device").copy_to(&mut self.device.0);
        let channel = reader.key(3, "poll.channel");
        read_channel(channel, "poll.channel", &mut self.channel)?;
        self.chip = ChipId::from_u16(reader.key(4, "poll.chip").u16());
        self.installed.generation = reader.key(5, "poll.gen").u32();
        self.installed.version = reader.key(6, "poll.seq").u64();
        Ok(())
    }

    fn check(&self) -> Result<(), MetadataError> {
        Ok(())
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.map(6);
        writer.uint(1).bytes(&self.product.0);
        writer.uint(2).bytes(&self.device.0);
        writer.uint(3).text(self.channel.as_str());
        writer.uint(4).uint(self.chip.to_u16().into());
        writer.uint(5).uint(self.installed.generation.into());
        writer.uint(6).uint(self.installed.version);
    }
}

impl Document<'_> for Report {
    type Error = MetadataError;
    const NAME: &'static str = "report";
    const LIMIT: usize = crate::cose::max_sign1_payload(MAX_REPORT_LEN);

    const BLANK: Self = Self {
        product: Product([0; Product::LEN]),
        device: NO_DEVICE,
        counter: 0,
        event: Event::Confirmed,
        release: Position::ZERO,
        manifest: None,
        code: 0,
    };

    fn read(&mut self, reader: &mut Reader<'_>) -> Result<(), MetadataError> {
        reader.map("report", 8);
        reader.key(1, "report.product").copy_to(&mut self.product.0);
        reader.key(2, "report.device").copy_to(&mut self.device.0);
        self.counter = reader.key(3, "report.counter").u64();
        let found = reader.key(4, "report.event").u8();
        self.event = Event::from_u8(found).ok_or(MetadataError::Range {
            field: "report.event",
            min: 0,
            max: Event::Quarantined.to_u8().into(),
            found: found.into(),
        })?;
        self.release.generation = reader.key(5, "report.gen").u32();
        self.release.version = reader.key(6, "report.seq").u64();
        reader
            .key(7, "report.manifest")
            .digest_or_null(&mut self.manifest);
        self.code = reader.key(8, "report.code").u16();
        Ok(())
    }

    fn check(&self) -> Result<(), MetadataError> {
        Ok(())
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.map(8);
        writer.uint(1).bytes(&self.product.0);
        writer.uint(2).bytes(&self.device.0);
        writer.uint(3).uint(self.counter);
        writer.uint(4).uint(self.event.to_u8().into());
        writer.uint(5).uint(self.release.generation.into());
        writer.uint(6).uint(self.release.version);
        match &self.manifest {
            Some(digest) => writer.uint(7).bytes(&digest.0),
            None => writer.uint(7).null(),
        };
        writer.uint(8).uint(self.code.into());
    }
}

impl Document<'_> for DeviceRecord {
    type Error = MetadataError;
    const NAME: &'static str = "device record";
    const LIMIT: usize = MAX_RECORD_LEN;

    const BLANK: Self = Self {
        device: NO_DEVICE,
        report_key: PublicKeyBytes([0; PublicKeyBytes::LEN]),
    };

    fn read(&mut self, reader: &mut Reader<'_>) -> Result<(), MetadataError> {
        reader.map("record", 2);
        reader.key(1, "record.device").copy_to(&mut self.device.0);
        reader.key(2, REPORT_KEY).copy_to(&mut self.report_key.0);
        Ok(())
    }

    fn check(&self) -> Result<(), MetadataError> {
        match self.report_key.0[0] {
            0x04 => Ok(()),
            found => Err(MetadataError::PointFormat {
                field: REPORT_KEY,
                found,
            }),
        }
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.map(2);
        writer.uint(1).bytes(&self.device.0);
        writer.uint(2).bytes(&self.report_key.0);
    }
}

impl Document<'_> for IdfSubscription {
    type Error = MetadataError;
    const NAME: &'static str = "subscription";
    const LIMIT: usize = MAX_RECORD_LEN;

    const BLANK: Self = Self {
        device: NO_DEVICE,
        channel: ChannelName::BLANK,
        chip: ChipId::Esp32,
    };

    fn read(&mut self, reader: &mut Reader<'_>) -> Result<(), MetadataError> {
        reader.map("subscription", 3);
        reader
            .key(1, "subscription.device")
            .copy_to(&mut self.device.0);
        let field = "subscription.channel";
        read_channel(reader.key(2, field), field, &mut self.channel)?;
        self.chip = ChipId::from_u16(reader.key(3, "subscription.chip").u16());
        Ok(())
    }

    fn check(&self) -> Result<(), MetadataError> {
        Ok(())
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.map(3);
        writer.uint(1).bytes(&self.device.0);
        writer.uint(2).text(self.channel.as_str());
        writer.uint(3).uint(self.chip.to_u16().into());
    }
}

/// No device yet.
const NO_DEVICE: DeviceId = DeviceId([0; DeviceId::LEN]);
/// Name of the report key in error messages.
const REPORT_KEY: &str = "record.report-key";
