//! A device's flash key out of escrow: the folder, the chip's address, and the identity that opens it.

use std::path::PathBuf;

use clap::Args;
use espseal_format::chip::ChipId;
use espseal_publish::blame::Blame;
use espseal_publish::escrow::{Escrow, EscrowedKey, Identities};
use espseal_publish::factory::order;
use espseal_twin::efuse::Mac;

use crate::failure::Failure;

/// Where an escrowed key is.
#[derive(Clone, Debug, Args)]
pub(crate) struct EscrowOptions {
    /// Folder of escrowed flash keys, as `espseal factory --escrow` fills it: finds the key by --mac.
    #[arg(
        long,
        value_name = "DIR",
        requires_all = ["mac", "identity"],
        conflicts_with = "flash_key"
    )]
    pub(super) keys_by_mac: Option<PathBuf>,
    /// MAC address of the chip.
    #[arg(long, requires = "keys_by_mac", value_parser = mac)]
    mac: Option<Mac>,
    /// age identity that opens the key; only its owner may read it.
    #[arg(long, value_name = "FILE", requires = "keys_by_mac")]
    identity: Option<PathBuf>,
}

impl EscrowOptions {
    /// Opens the key, if one is asked for.
    pub(super) fn open(&self) -> Result<Option<EscrowedKey>, Failure> {
        let (Some(folder), Some(mac), Some(identity)) =
            (&self.keys_by_mac, self.mac, &self.identity)
        else {
            return Ok(None);
        };
        let identities = Identities::read(identity)?;
        Ok(Some(Escrow::list(folder)?.find_mac(mac, &identities)?))
    }
}

/// Refuses a key of another chip than the one that is named.
pub(super) fn same_chip(key: &EscrowedKey, chip: Option<ChipId>) -> Result<(), Failure> {
    match chip.filter(|chip| *chip != key.chip) {
        None => Ok(()),
        Some(named) => Err(Failure::new(
            Blame::Refused,
            format_args!("the escrowed key is for {}, --chip names {named}", key.chip),
        )),
    }
}

/// Reads a MAC address.
pub(super) fn mac(text: &str) -> Result<Mac, String> {
    order::mac(text).ok_or_else(|| "expected an address such as 7c:df:a1:00:00:01".into())
}
