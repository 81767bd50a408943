//! The HMAC peripheral in upstream mode: HMAC-SHA256 under an eFuse key that software cannot read.
//!
//! Source: ESP-IDF `components/esp_security/src/esp_hmac.c` (`esp_hmac_calculate`),
//! `docs/en/api-reference/peripherals/hmac.rst`.

use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use espseal_format::chip::HmacPeripheral as Presence;
use espseal_format::efuse::KeyPurpose;
use zeroize::Zeroizing;

use super::Efuses;

/// The peripheral, set to one key block.
pub struct HmacPeripheral(Key);

impl HmacPeripheral {
    /// Computes the MAC of a message.
    #[must_use]
    pub fn calculate(&self, message: &[u8]) -> Zeroizing<[u8; 32]> {
        let mac = sign(&self.0, message);
        Zeroizing::new(mac.as_ref().try_into().unwrap_or_default())
    }
}

impl Efuses {
    /// Sets the peripheral to key block `id`, counted from 0; `None` when the chip has no such
    /// peripheral or the block's purpose is not `HMAC_UP`. Read protection does not hide a key from
    /// it.
    #[must_use]
    pub fn hmac_peripheral(&self, id: usize) -> Option<HmacPeripheral> {
        if self.model().hmac == Presence::Absent {
            return None;
        }
        let block = usize::from(self.map().keys.get(id)?.key.block);
        if self.key_purpose(block) != Some(KeyPurpose::HmacUp) {
            return None;
        }
        let key = Zeroizing::new(self.silicon(block));
        Some(HmacPeripheral(Key::new(HMAC_SHA256, &*key)))
    }
}
