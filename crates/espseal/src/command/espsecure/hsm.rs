//! The flags that name a key in an HSM.

use clap::Args;
use espseal_publish::blame::Blame;
use espseal_publish::keys::KeyError;
use espseal_publish::pkcs11::HsmConfig;

use super::file::Input;
use crate::failure::Failure;

/// A key in an HSM, in the place of a key file.
#[derive(Debug, Args)]
pub(super) struct Hsm {
    /// Use a key in an HSM, through PKCS#11 (of secure boot, version 2 only).
    #[arg(long)]
    hsm: bool,
    /// Where that key is: INI with a section [hsm_config] and the keys pkcs11_lib, slot, label,
    /// label_pubkey, and credentials (the PIN), credentials_env or credentials_file.
    #[arg(long, value_name = "FILE")]
    hsm_config: Option<Input>,
}

impl Hsm {
    /// Whether the flag is there.
    pub(super) const fn is_wanted(&self) -> bool {
        self.hsm
    }

    /// Reads the configuration when an HSM is asked for.
    pub(super) fn config(&self) -> Result<Option<HsmConfig>, Failure> {
        match (self.hsm, &self.hsm_config) {
            (false, _) => Ok(None),
            (true, None) => Err(Failure::new(
                Blame::Usage,
                "--hsm needs to know where the key is; name a file with --hsm-config",
            )),
            (true, Some(file)) => {
                let config = HsmConfig::parse(file.path(), &file.read()?);
                Ok(Some(config.map_err(KeyError::from)?))
            }
        }
    }
}
