//! What is built into the image: which product it is, and the root of trust.

use espseal_agent::config::{Config, Floors, Layout, Policy, Polling, SignatureRule};
use espseal_format::chip::ChipId;
use espseal_format::metadata::manifest::{ClassId, VendorId};
use espseal_format::units::{ChannelName, FlashOffset, Product};

/// The product that `build.rs` found.
pub const BUILT_IN: BuiltIn = include!(concat!(env!("OUT_DIR"), "/product.rs"));

/// Who this firmware is. Secure boot signs it together with the code.
#[derive(Clone, Copy, Debug)]
pub struct BuiltIn {
    /// The product.
    pub product: Product,
    /// Vendor that manifests have to name.
    pub vendor: VendorId,
    /// Device class that manifests have to name.
    pub class: ClassId,
    /// The channel that is followed.
    pub channel: &'static str,
    /// The channel's recipient group.
    pub group: u32,
    /// Where the bootloader looks for the partition table.
    pub table_offset: u32,
    /// When a secure-boot signature is demanded.
    pub signature: SignatureRule,
    /// The root, as COSE bytes.
    pub root: &'static [u8],
    /// Where the repository is.
    pub base_url: &'static str,
    /// The certificate, in DER, that signs the server's.
    pub authority: &'static [u8],
}

impl BuiltIn {
    /// The agent's configuration on a chip with these partitions; `None` when the channel's name is
    /// none.
    #[must_use]
    pub fn config(&self, layout: Layout) -> Option<Config<'static>> {
        Some(Config {
            product: self.product,
            vendor: self.vendor,
            class: self.class,
            chip: ChipId::Esp32C3,
            channel: ChannelName::new(self.channel)?,
            group: self.group,
            built_in_root: self.root,
            floors: Floors::default(),
            layout,
            policy: Policy {
                signature: self.signature,
                polling: Polling::Announced,
                ..Policy::default()
            },
        })
    }

    /// Where the partition table is.
    #[must_use]
    pub const fn table_offset(&self) -> FlashOffset {
        FlashOffset::new(self.table_offset)
    }
}
