//! Where each artefact lies, relative to the repository's base address.
//!
//! The publisher writes, the server serves and the agent requests under these names; nobody else
//! spells a path. Digests and ids are 64 lower-case hexadecimal digits, numbers are decimal
//! without leading zeros, so that each artefact has one path.
//!
//! Source: `docs/protocol.md`, "Repository paths".

use core::fmt;
use core::str::FromStr;

use heapless::String;

use crate::units::{DeviceId, Digest};
use crate::wrap::ShardPrefix;

/// Longest path in bytes, with room to spare.
pub const MAX_PATH: usize = 192;

/// An artefact, borrowed from whoever asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Resource<'a> {
    /// `now.cose`: the newest `now`.
    Now,
    /// `root/<version>.cose`.
    Root(u32),
    /// `releases/<digest>.cose`.
    Releases(&'a Digest),
    /// `manifests/<digest>.cbor`.
    Manifest(&'a Digest),
    /// `bodies/<body digest>.bin`: ciphertext.
    Body(&'a Digest),
    /// `bodies/<body digest>.pages`: hashes of the chunks.
    Pages(&'a Digest),
    /// `wraps/<body digest>/<group>-<epoch>.kw`.
    BodyWrap {
        /// Digest of the body.
        body: &'a Digest,
        /// Group that may open it.
        group: u32,
        /// Epoch of the key that it is wrapped under.
        epoch: u32,
    },
    /// `epochs/<group>/<epoch>/<prefix>.shard`.
    EpochShard {
        /// The group.
        group: u32,
        /// The epoch.
        epoch: u32,
        /// The shard.
        prefix: ShardPrefix,
    },
    /// `devices/<device id>.cbor`: public record of an agent.
    Device(&'a DeviceId),
    /// `idf/<device id>.cbor`: subscription of an ESP-IDF device.
    IdfSubscription(&'a DeviceId),
    /// `idf/<device id>/<body digest>.header`.
    IdfHeader {
        /// The device.
        device: &'a DeviceId,
        /// Digest of the body.
        body: &'a Digest,
    },
    /// `idf/<device id>/<body digest>.link`: digest of the file that one ESP-IDF device gets in place
    /// of a body (ECIES scheme), 32 bytes.
    IdfLink {
        /// The device.
        device: &'a DeviceId,
        /// Digest of the body that all others get.
        body: &'a Digest,
    },
    /// `idf/<device id>/<file digest>.bin`: header and body for one ESP-IDF device.
    IdfFile {
        /// The device.
        device: &'a DeviceId,
        /// Digest of the whole file.
        file: &'a Digest,
    },
    /// `direct/<manifest digest>/<device id>-<slot>.cose`: a release for one device's flash key.
    Direct {
        /// Digest of the release's manifest.
        manifest: &'a Digest,
        /// The device.
        device: &'a DeviceId,
        /// Number of the OTA slot.
        slot: u8,
    },
}

/// An artefact, as read from a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OwnedResource {
    /// See [`Resource::Now`].
    Now,
    /// See [`Resource::Root`].
    Root(u32),
    /// See [`Resource::Releases`].
    Releases(Digest),
    /// See [`Resource::Manifest`].
    Manifest(Digest),
    /// See [`Resource::Body`].
    Body(Digest),
    /// See [`Resource::Pages`].
    Pages(Digest),
    /// See [`Resource::BodyWrap`].
    BodyWrap {
        /// Digest of the body.
        body: Digest,
        /// Group that may open it.
        group: u32,
        /// Epoch of the key that it is wrapped under.
        epoch: u32,
    },
    /// See [`Resource::EpochShard`].
    EpochShard {
        /// The group.
        group: u32,
        /// The epoch.
        epoch: u32,
        /// The shard.
        prefix: ShardPrefix,
    },
    /// See [`Resource::Device`].
    Device(DeviceId),
    /// See [`Resource::IdfSubscription`].
    IdfSubscription(DeviceId),
    /// See [`Resource::IdfHeader`].
    IdfHeader {
        /// The device.
        device: DeviceId,
        /// Digest of the body.
        body: Digest,
    },
    /// See [`Resource::IdfLink`].
    IdfLink {
        /// The device.
        device: DeviceId,
        /// Digest of the body that all others get.
        body: Digest,
    },
    /// See [`Resource::IdfFile`].
    IdfFile {
        /// The device.
        device: DeviceId,
        /// Digest of the whole file.
        file: Digest,
    },
    /// See [`Resource::Direct`].
    Direct {
        /// Digest of the release's manifest.
        manifest: Digest,
        /// The device.
        device: DeviceId,
        /// Number of the OTA slot.
        slot: u8,
    },
}

impl Resource<'_> {
    /// Returns the path, without a leading slash.
    #[must_use]
    pub fn path(&self) -> String<MAX_PATH> {
        let mut path = Path(String::new());
        match self {
            Self::Now => path.text("now.cose"),
            Self::Root(version) => path.text("root/").number(*version).text(".cose"),
            Self::Releases(digest) => path.named("releases/", &digest.0, ".cose"),
            Self::Manifest(digest) => path.named("manifests/", &digest.0, ".cbor"),
            Self::Body(digest) => path.named("bodies/", &digest.0, ".bin"),
            Self::Pages(digest) => path.named("bodies/", &digest.0, ".pages"),
            Self::BodyWrap { body, group, epoch } => {
                path.named("wraps/", &body.0, "/");
                path.number(*group).text("-").number(*epoch).text(".kw")
            }
            Self::EpochShard {
                group,
                epoch,
                prefix,
            } => {
                path.text("epochs/").number(*group).text("/");
                path.number(*epoch).text("/");
                path.text(&prefix.name()).text(".shard")
            }
            Self::Device(device) => path.named("devices/", &device.0, ".cbor"),
            Self::IdfSubscription(device) => path.named("idf/", &device.0, ".cbor"),
            Self::IdfHeader { device, body } => path.idf(device, body, ".header"),
            Self::IdfLink { device, body } => path.idf(device, body, ".link"),
            Self::IdfFile { device, file } => path.idf(device, file, ".bin"),
            Self::Direct {
                manifest,
                device,
                slot,
            } => {
                path.named("direct/", &manifest.0, "/");
                path.hex(&device.0).text("-");
                path.number((*slot).into()).text(".cose")
            }
        };
        path.0
    }

    /// Reads a path without a leading slash; `None` for anything but the one spelling of an
    /// artefact's path.
    #[must_use]
    pub fn parse(path: &str) -> Option<OwnedResource> {
        let resource = if path == "now.cose" {
            OwnedResource::Now
        } else {
            let (folder, rest) = path.split_once('/')?;
            read_in_folder(folder, rest)?
        };
        Some(resource)
    }
}

impl OwnedResource {
    /// Borrows the artefact, to ask for its path.
    #[must_use]
    pub const fn as_resource(&self) -> Resource<'_> {
        match self {
            Self::Now => Resource::Now,
            Self::Root(version) => Resource::Root(*version),
            Self::Releases(digest) => Resource::Releases(digest),
            Self::Manifest(digest) => Resource::Manifest(digest),
            Self::Body(digest) => Resource::Body(digest),
            Self::Pages(digest) => Resource::Pages(digest),
            Self::BodyWrap { body, group, epoch } => Resource::BodyWrap {
                body,
                group: *group,
                epoch: *epoch,
            },
            Self::EpochShard {
                group,
                epoch,
                prefix,
            } => Resource::EpochShard {
                group: *group,
                epoch: *epoch,
                prefix: *prefix,
            },
            Self::Device(device) => Resource::Device(device),
            Self::IdfSubscription(device) => Resource::IdfSubscription(device),
            Self::IdfHeader { device, body } => Resource::IdfHeader { device, body },
            Self::IdfLink { device, body } => Resource::IdfLink { device, body },
            Self::IdfFile { device, file } => Resource::IdfFile { device, file },
            Self::Direct {
                manifest,
                device,
                slot,
            } => Resource::Direct {
                manifest,
                device,
                slot: *slot,
            },
        }
    }
}

impl fmt::Display for Resource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path())
    }
}

/// A path in the making: formatting without `core::fmt`, which a device may not need otherwise.
///
/// Nothing is ever cut off: the longest path, that of a direct manifest, takes 145 bytes.
struct Path(String<MAX_PATH>);

impl Path {
    #[inline(never)]
    fn text(&mut self, text: &str) -> &mut Self {
        let _ = self.0.push_str(text);
        self
    }

    #[inline(never)]
    fn hex(&mut self, bytes: &[u8; 32]) -> &mut Self {
        for byte in bytes {
            for nibble in [byte >> 4, byte & 0xF] {
                self.digit(nibble.into(), 16);
            }
        }
        self
    }

    /// What a digest or an id names.
    #[inline(never)]
    fn named(&mut self, folder: &str, name: &[u8; 32], suffix: &str) -> &mut Self {
        self.text(folder).hex(name).text(suffix)
    }

    /// What one ESP-IDF device gets of a release.
    fn idf(&mut self, device: &DeviceId, name: &Digest, suffix: &str) -> &mut Self {
        self.named("idf/", &device.0, "/");
        self.hex(&name.0).text(suffix)
    }

    #[inline(never)]
    fn number(&mut self, number: u32) -> &mut Self {
        if number >= 10 {
            self.number(number / 10);
        }
        self.digit(number % 10, 10);
        self
    }

    #[inline(never)]
    fn digit(&mut self, digit: u32, radix: u32) {
        let _ = self
            .0
            .push(char::from_digit(digit, radix).unwrap_or_default());
    }
}

/// Reads what follows the first slash of a path.
fn read_in_folder(folder: &str, rest: &str) -> Option<OwnedResource> {
    match folder {
        "root" => match number(rest.strip_suffix(".cose")?)? {
            0 => None,
            version => Some(OwnedResource::Root(version)),
        },
        "releases" => digest(rest, ".cose").map(OwnedResource::Releases),
        "manifests" => digest(rest, ".cbor").map(OwnedResource::Manifest),
        "bodies" => {
            let pages = || digest(rest, ".pages").map(OwnedResource::Pages);
            digest(rest, ".bin").map(OwnedResource::Body).or_else(pages)
        }
        "wraps" => {
            let (body, name) = rest.split_once('/')?;
            let (group, epoch) = name.strip_suffix(".kw")?.split_once('-')?;
            Some(OwnedResource::BodyWrap {
                body: Digest::from_hex(body)?,
                group: number(group)?,
                epoch: number(epoch)?,
            })
        }
        "epochs" => {
            let (group, rest) = rest.split_once('/')?;
            let (epoch, name) = rest.split_once('/')?;
            Some(OwnedResource::EpochShard {
                group: number(group)?,
                epoch: number(epoch)?,
                prefix: ShardPrefix::parse(name.strip_suffix(".shard")?)?,
            })
        }
        "direct" => {
            let (manifest, name) = rest.split_once('/')?;
            let (id, slot) = name.strip_suffix(".cose")?.split_once('-')?;
            Some(OwnedResource::Direct {
                manifest: Digest::from_hex(manifest)?,
                device: device(id)?,
                slot: u8::try_from(number(slot)?).ok()?,
            })
        }
        "devices" => device(rest.strip_suffix(".cbor")?).map(OwnedResource::Device),
        "idf" => match rest.split_once('/') {
            None => device(rest.strip_suffix(".cbor")?).map(OwnedResource::IdfSubscription),
            Some((id, name)) => {
                let (device, (name, kind)) = (device(id)?, name.split_once('.')?);
                let name = Digest::from_hex(name)?;
                Some(match kind {
                    "header" => OwnedResource::IdfHeader { device, body: name },
                    "link" => OwnedResource::IdfLink { device, body: name },
                    "bin" => OwnedResource::IdfFile { device, file: name },
                    _ => return None,
                })
            }
        },
        _ => None,
    }
}

/// Reads `<digest><suffix>`.
fn digest(name: &str, suffix: &str) -> Option<Digest> {
    Digest::from_hex(name.strip_suffix(suffix)?)
}

/// Reads a device id.
fn device(id: &str) -> Option<DeviceId> {
    DeviceId::from_hex(id)
}

/// Reads a decimal number without sign or leading zeros.
fn number(text: &str) -> Option<u32> {
    let canonical = match text.as_bytes() {
        [b'0'] => true,
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if canonical {
        u32::from_str(text).ok()
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wrap::ShardNibbles;

    const D: Digest = Digest([0xAB; 32]);
    const HEX: &str = "abababababababababababababababababababababababababababababababab";
    const ID: DeviceId = DeviceId([0x01; 32]);
    const ID_HEX: &str = "0101010101010101010101010101010101010101010101010101010101010101";

    extern crate std;
    use std::format;
    use std::string::String as StdString;
    use std::vec::Vec;

    fn each() -> Vec<(Resource<'static>, StdString)> {
        let shard = |nibbles| Resource::EpochShard {
            group: 0,
            epoch: u32::MAX,
            prefix: ShardPrefix::of(&ID, ShardNibbles::new(nibbles).unwrap()),
        };
        let wrap = Resource::BodyWrap {
            body: &D,
            group: 7,
            epoch: 10,
        };
        let header = Resource::IdfHeader {
            device: &ID,
            body: &D,
        };
        let link = Resource::IdfLink {
            device: &ID,
            body: &D,
        };
        let file = Resource::IdfFile {
            device: &ID,
            file: &D,
        };
        let direct = |slot| Resource::Direct {
            manifest: &D,
            device: &ID,
            slot,
        };
        std::vec![
            (Resource::Now, "now.cose".into()),
            (Resource::Root(12), "root/12.cose".into()),
            (Resource::Releases(&D), format!("releases/{HEX}.cose")),
            (Resource::Manifest(&D), format!("manifests/{HEX}.cbor")),
            (Resource::Body(&D), format!("bodies/{HEX}.bin")),
            (Resource::Pages(&D), format!("bodies/{HEX}.pages")),
            (wrap, format!("wraps/{HEX}/7-10.kw")),
            (shard(0), "epochs/0/4294967295/all.shard".into()),
            (shard(3), "epochs/0/4294967295/010.shard".into()),
            (Resource::Device(&ID), format!("devices/{ID_HEX}.cbor")),
            (Resource::IdfSubscription(&ID), format!("idf/{ID_HEX}.cbor")),
            (header, format!("idf/{ID_HEX}/{HEX}.header")),
            (link, format!("idf/{ID_HEX}/{HEX}.link")),
            (file, format!("idf/{ID_HEX}/{HEX}.bin")),
            (direct(0), format!("direct/{HEX}/{ID_HEX}-0.cose")),
            (direct(255), format!("direct/{HEX}/{ID_HEX}-255.cose")),
        ]
    }

    #[test]
    fn each_artefact_has_the_path_of_the_protocol_and_is_read_back_from_it() {
        for (resource, path) in each() {
            assert_eq!(resource.path(), path.as_str());
            assert_eq!(Resource::parse(&path).unwrap().as_resource(), resource);
        }
    }

    #[test]
    fn every_other_spelling_is_refused() {
        for (_, path) in each() {
            for (at, _) in path.char_indices() {
                assert_eq!(Resource::parse(&path[..at]), None, "{}", &path[..at]);
            }
            for wrong in [
                format!("/{path}"),
                format!("./{path}"),
                format!("{path}/"),
                format!("{path} "),
                format!("{path}\0"),
                path.to_uppercase(),
                path.replace('/', "//"),
                path.replace('/', "/../"),
                path.replace('/', "\\"),
                path.replace("/0/", "/00/"),
            ] {
                if wrong != path {
                    assert_eq!(Resource::parse(&wrong), None, "{wrong}");
                }
            }
        }
        for wrong in [
            "root/0.cose",
            "root/+1.cose",
            "root/01.cose",
            "root/-1.cose",
        ] {
            assert_eq!(Resource::parse(wrong), None, "{wrong}");
        }
        for slot in ["256", "00", "-1", "", "0-0"] {
            let wrong = format!("direct/{HEX}/{ID_HEX}-{slot}.cose");
            assert_eq!(Resource::parse(&wrong), None, "{wrong}");
        }
        assert_eq!(Resource::parse("root/4294967296.cose"), None);
        assert_eq!(
            Resource::parse("root/4294967295.cose"),
            Some(OwnedResource::Root(u32::MAX))
        );
    }
}
