//! What the chips of the family have in common, and one table for each chip.
//!
//! A chip that is not in [`CHIPS`] still has a [`ChipId`], so that its images parse; only what needs
//! its table is refused. To add a chip, add its file and name it twice below: its `mod` line and in
//! `tables!`. Silicon of the same chip whose eFuses lie elsewhere has a table of its own, in that file's
//! folder.
//!
//! A device that only checks images links [`mapping`], a few dozen bytes for each chip. [`chip`]
//! brings every eFuse field of every chip with it.
//!
//! Source: ESP-IDF `components/soc/<chip>/include/soc`, `components/efuse/<chip>`.

use core::ops::Range;

use crate::app_desc::AppDescriptor;
use crate::efuse::EfuseMap;
use crate::signature_block::{Curve, SignatureScheme};
use crate::units::FlashOffset;

mod id;
mod locks;
mod security;
#[cfg(test)]
mod tests;

mod esp32;
mod esp32c2;
mod esp32c3;
mod esp32c5;
mod esp32c6;
mod esp32c61;
mod esp32h2;
mod esp32p4;
mod esp32s2;
mod esp32s3;

pub use id::{ChipId, UnknownChip};
pub use locks::{Burn, FirstBoot, Locks, Release};
pub use security::{
    EcdsaCurve, FlashEncryptionKey, HmacPeripheral, SchemeId, SecureBoot, SecureBootScheme,
    SupportedCurve,
};

/// Lists the chips that have a table, and after `earlier` the silicon that was sold before.
macro_rules! tables {
    ($($chip:ident),+; earlier $($before:path),+) => {
        /// Every table: first that of the newest silicon of each chip, then those of earlier silicon.
        pub static CHIPS: &[&Chip] = &[$(&$chip::CHIP,)+ $(&$before),+];

        static MAPPINGS: &[&Mapping] = &[$(&$chip::MAPPING),+];
    };
}

tables![
    esp32, esp32s2, esp32s3, esp32c2, esp32c3, esp32c5, esp32c6, esp32c61, esp32h2, esp32p4;
    earlier esp32p4::before_revision_3::CHIP
];

/// Returns the table of a chip's newest silicon; `None` when espseal does not know the chip well enough.
#[must_use]
pub fn chip(id: ChipId) -> Option<&'static Chip> {
    CHIPS.iter().copied().find(|chip| chip.id == id)
}

/// Returns the table of a chip of this revision, as major * 100 + minor; `None` when there is none.
#[must_use]
pub fn chip_of_revision(id: ChipId, revision: u16) -> Option<&'static Chip> {
    let of = |chip: &&Chip| chip.id == id && chip.revisions.contains(&revision);
    CHIPS.iter().copied().find(of)
}

/// Returns the table of the silicon that an image is built for, given the limits in its header; that of the
/// newest silicon when they exclude all. A highest revision of 0 or 65535 is none.
///
/// Source: ESP-IDF `bootloader_common_loader.c`, `IS_MAX_REV_SET`.
#[must_use]
pub fn chip_for(id: ChipId, lowest: u16, highest: u16) -> Option<&'static Chip> {
    let highest = if highest == 0 { u16::MAX } else { highest };
    let fits = |chip: &&Chip| chip.revisions.start <= highest && lowest < chip.revisions.end;
    let mut tables = CHIPS.iter().copied().filter(|chip| chip.id == id);
    tables.find(fits).or_else(|| chip(id))
}

/// Returns how a chip maps flash; `None` for the chips that [`chip`] does not know.
#[must_use]
pub fn mapping(id: ChipId) -> Option<&'static Mapping> {
    MAPPINGS.iter().copied().find(|mapping| mapping.chip == id)
}

/// The facts about a chip that image layout, boot and eFuse planning depend on.
#[derive(Debug)]
pub struct Chip {
    /// Number in the image header.
    pub id: ChipId,
    /// Where the ROM looks for the second-stage bootloader.
    pub bootloader_offset: FlashOffset,
    /// Revision of chips that are sold, as major * 100 + minor: what a rehearsal assumes.
    pub usual_revision: u16,
    /// The revisions that the table describes.
    pub revisions: Range<u16>,
    /// How flash is mapped into memory.
    pub mapping: &'static Mapping,
    /// RAM that the bootloader copies segments to; a segment lies within one of the ranges.
    pub ram: &'static [Range<u32>],
    /// The flash encryption keys that eFuses can hold. The first one leaves room for secure boot.
    pub flash_encryption: &'static [FlashEncryptionKey],
    /// Bytes that an encrypted write to flash is aligned to, and a multiple of.
    pub encryption_row: usize,
    /// Secure boot schemes of the ROM, with the chip revision that brought them.
    pub secure_boot: &'static [SecureBoot],
    /// Curves of secure boot v2 with ECDSA.
    pub curves: &'static [SupportedCurve],
    /// Secure boot v2 public-key digests that eFuses hold.
    pub digest_slots: u8,
    /// Secure boot v2 signature blocks that the ROM looks at.
    pub signature_blocks: u8,
    /// Bits of the anti-rollback counter: the highest secure version.
    pub secure_version_bits: u8,
    /// Whether eFuses can hold a key for the HMAC peripheral.
    pub hmac: HmacPeripheral,
    /// Where each eFuse field lies.
    pub efuse: &'static EfuseMap,
    /// Which eFuses lock what, and which are burnt for release and by the bootloader.
    pub locks: Locks,
}

impl Chip {
    /// Returns the name as ESP-IDF prints it, such as `ESP32-C3`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.id.name().unwrap_or_default()
    }

    /// Whether a segment with this load address is mapped from flash, not copied to RAM.
    #[must_use]
    pub fn is_mapped(&self, load_addr: u32) -> bool {
        self.mapping.is_mapped(load_addr)
    }

    /// Whether the whole stretch is in one kind of RAM.
    #[must_use]
    pub fn is_loadable(&self, address: u32, length: u32) -> bool {
        let Some(end) = address.checked_add(length) else {
            return false;
        };
        self.ram
            .iter()
            .any(|range| range.contains(&address) && end <= range.end)
    }

    /// Bytes in a page of the flash MMU, unless an app is built for another size.
    #[must_use]
    pub const fn mmu_page_size(&self) -> u32 {
        self.mapping.page_size
    }

    /// Whether eFuses can hold a key of this flash encryption scheme.
    #[must_use]
    pub fn encrypts_with(&self, scheme: SchemeId) -> bool {
        self.flash_encryption.iter().any(|key| key.scheme == scheme)
    }

    /// Whether the ROM of this revision verifies with a secure boot scheme.
    #[must_use]
    pub fn boots_with(&self, scheme: SecureBootScheme, revision: u16) -> bool {
        self.secure_boot
            .iter()
            .any(|boot| boot.scheme == scheme && boot.from_revision <= revision)
    }

    /// Whether the ROM of some revision verifies images that are signed like this (secure boot v2).
    #[must_use]
    pub fn verifies(&self, scheme: SignatureScheme) -> bool {
        match scheme {
            SignatureScheme::Rsa3072 => self.boots_with(SecureBootScheme::V2Rsa, u16::MAX),
            SignatureScheme::Ecdsa(curve) => {
                self.curves.iter().any(|supported| supported.curve == curve)
            }
        }
    }

    /// The schemes of secure boot v2 that [`verifies`](Self::verifies) knows for this chip.
    #[must_use]
    pub fn signature_schemes(&self) -> heapless::Vec<SignatureScheme, 4> {
        let curves = [Curve::P192, Curve::P256, Curve::P384].map(SignatureScheme::Ecdsa);
        let all = [SignatureScheme::Rsa3072].into_iter().chain(curves);
        all.filter(|scheme| self.verifies(*scheme)).collect()
    }

    /// Whether ESP-IDF warns of a secure boot scheme on this chip, see [`SecureBoot::flawed`].
    #[must_use]
    pub fn is_flawed(&self, scheme: SecureBootScheme) -> bool {
        let mut schemes = self.secure_boot.iter();
        schemes.any(|boot| boot.scheme == scheme && boot.flawed)
    }
}

/// How a chip maps flash into memory.
#[derive(Debug)]
pub struct Mapping {
    /// The chip.
    pub chip: ChipId,
    /// Bytes in a page of the flash MMU: a secure-padded app ends on such a page.
    pub page_size: u32,
    /// Other page sizes that an app can be built for, in bytes; empty when the size is fixed.
    ///
    /// The app descriptor says which one the app is built for.
    pub other_page_sizes: &'static [u32],
    /// Address ranges that map flash: instructions, then data. They are the same on chips with one
    /// address space for both.
    pub ranges: [Range<u32>; 2],
}

impl Mapping {
    /// Whether a segment with this load address is mapped from flash, not copied to RAM.
    #[must_use]
    pub fn is_mapped(&self, load_addr: u32) -> bool {
        self.ranges.iter().any(|range| range.contains(&load_addr))
    }

    /// Bytes in the MMU pages that an app is built for: what its descriptor says where the size can
    /// be chosen.
    #[must_use]
    pub fn page_size_of(&self, descriptor: Option<&AppDescriptor>) -> u32 {
        descriptor
            .and_then(AppDescriptor::mmu_page_size)
            .filter(|size| self.other_page_sizes.contains(size))
            .unwrap_or(self.page_size)
    }
}
