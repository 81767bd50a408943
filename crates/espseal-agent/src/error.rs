//! Why the agent stopped, split by who has to act.
//!
//! Every error has a [`code`](AgentError::code) that travels in reports. Codes are written out,
//! never reordered and never reused: `0x01xx` server, `0x02xx` metadata, `0x03xx` body and image,
//! `0x04xx` device policy, `0x05xx` hardware, `0x06xx` misuse.

use core::fmt;

mod body;
mod device;
mod hardware;
mod metadata;
mod server;

pub use body::{BodyError, DescriptorField};
pub use device::{DeviceError, Misuse};
pub use hardware::{FlashOperation, HardwareError};
pub use metadata::MetadataError;
pub use server::ServerError;

/// Why the agent stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AgentError {
    /// The server or the network failed: try again later.
    Server(ServerError),
    /// The metadata is not acceptable: the server is stale or hostile, or the release authority
    /// has to publish anew.
    Metadata(MetadataError),
    /// Key wrap, body or image are not what was signed for.
    Body(BodyError),
    /// This device may not or cannot take the update.
    Device(DeviceError),
    /// The hardware failed.
    Hardware(HardwareError),
    /// The caller or the configuration is at fault.
    Misuse(Misuse),
}

/// A file of the repository, as errors name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Document {
    /// `now.cose`.
    Now,
    /// `root/<version>.cose`.
    Root {
        /// Its version.
        version: u32,
    },
    /// `releases/<digest>.cose`.
    Releases,
    /// `manifests/<digest>.cbor`.
    Manifest,
    /// The shard that holds this device's epoch key.
    Shard,
    /// The body's 40-byte key wrap.
    Wrap,
    /// A page of chunk hashes.
    Page {
        /// Its number, from 0.
        page: u32,
    },
    /// The body.
    Body,
    /// The direct manifest for this device and slot.
    Direct,
    /// The answer to a report.
    Report,
}

impl AgentError {
    /// The stable number of this error; part of the report format.
    #[must_use]
    pub const fn code(&self) -> u16 {
        match self {
            Self::Server(error) => error.code(),
            Self::Metadata(error) => error.code(),
            Self::Body(error) => error.code(),
            Self::Device(error) => error.code(),
            Self::Hardware(error) => error.code(),
            Self::Misuse(error) => error.code(),
        }
    }
}

macro_rules! blame {
    ($($variant:ident($error:ty)),*) => {$(
        impl From<$error> for AgentError {
            fn from(error: $error) -> Self {
                Self::$variant(error)
            }
        }
        impl core::error::Error for $error {}
    )*};
}

blame!(
    Server(ServerError),
    Metadata(MetadataError),
    Body(BodyError),
    Device(DeviceError),
    Hardware(HardwareError),
    Misuse(Misuse)
);

impl core::error::Error for AgentError {}

impl fmt::Display for AgentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(error) => write!(f, "server: {error}"),
            Self::Metadata(error) => write!(f, "metadata: {error}"),
            Self::Body(error) => write!(f, "release: {error}"),
            Self::Device(error) => write!(f, "device: {error}"),
            Self::Hardware(error) => write!(f, "hardware: {error}"),
            Self::Misuse(error) => write!(f, "misuse: {error}"),
        }
    }
}

impl fmt::Display for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Now => f.write_str("now"),
            Self::Root { version } => write!(f, "root {version}"),
            Self::Releases => f.write_str("releases"),
            Self::Manifest => f.write_str("manifest"),
            Self::Shard => f.write_str("epoch shard"),
            Self::Wrap => f.write_str("key wrap"),
            Self::Page { page } => write!(f, "hash page {page}"),
            Self::Body => f.write_str("body"),
            Self::Direct => f.write_str("direct manifest"),
            Self::Report => f.write_str("report"),
        }
    }
}
