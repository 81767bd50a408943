//! What a chip shall be in the end.

use espseal_crypto::flash_encryption::FlashCryptConfig;
use espseal_format::chip::ChipId;
use espseal_format::signature_block::SignatureScheme;
use espseal_format::units::{Digest, SecurityVersion};
use espseal_twin::boot::EncryptionMode;

/// The wished end state of a chip. What is not wished for is to be off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// The chip.
    pub chip: ChipId,
    /// Secure boot; `None` leaves it off.
    pub secure_boot: Option<SecureBootWish>,
    /// Flash encryption; `None` leaves it off.
    pub flash_encryption: Option<FlashEncryptionWish>,
    /// Key of the HMAC peripheral that a device derives its own key from; `None` burns none.
    pub device_key: Option<HmacKeyWish>,
    /// Key of the HMAC peripheral that opens a softly shut JTAG port again; `None` burns none.
    pub jtag_key: Option<HmacKeyWish>,
    /// The JTAG port.
    pub jtag: JtagPolicy,
    /// The download mode of the ROM.
    pub download: DownloadPolicy,
    /// The anti-rollback counter: the lowest secure version that shall still boot.
    pub secure_version: SecurityVersion,
    /// What to think of secret keys that are burnt already.
    pub burnt_keys: BurntKeys,
}

impl Wish {
    /// A chip with nothing locked.
    #[must_use]
    pub const fn open(chip: ChipId) -> Self {
        Self {
            chip,
            secure_boot: None,
            flash_encryption: None,
            device_key: None,
            jtag_key: None,
            jtag: JtagPolicy::Open,
            download: DownloadPolicy::Open,
            secure_version: SecurityVersion::new(0),
            burnt_keys: BurntKeys::Refuse,
        }
    }
}

/// Secure boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecureBootWish {
    /// Version 1, on the ESP32.
    V1,
    /// Version 2.
    V2 {
        /// How images are signed.
        scheme: SignatureScheme,
        /// Digests of the keys, slot by slot.
        digests: Vec<Digest>,
        /// What becomes of slots without a key; has to be said where there are any that can be revoked.
        unused: Option<UnusedDigests>,
        /// What the ROM does when a signature is wrong.
        revocation: Revocation,
    },
}

/// What becomes of digest slots without a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnusedDigests {
    /// They stay free, for keys to come, and for whoever can burn one.
    Keep,
    /// They never hold a key.
    Revoke,
}

/// What the ROM does when a signature is wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Revocation {
    /// It goes on to the next signature.
    #[default]
    Lenient,
    /// It revokes the key.
    Aggressive,
}

/// Flash encryption.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlashEncryptionWish {
    /// For trying or for ever.
    pub mode: EncryptionMode,
    /// Bytes in the key file: 16, 24, 32 or 64, as far as the chip has them.
    pub key_length: usize,
    /// Number of the key block, as `BLOCK_KEYn` counts; the first free ones when left open.
    pub block: Option<u8>,
    /// Which address bits tweak the key; ESP32 only.
    pub config: FlashCryptConfig,
    /// What flash holds when encryption is turned on.
    pub flash: FlashContents,
}

/// What flash holds when encryption is turned on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FlashContents {
    /// What the host encrypted with the key that is burnt, or nothing yet.
    #[default]
    Encrypted,
    /// A bootloader in plaintext.
    Plaintext,
}

/// A key of the HMAC peripheral, 32 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HmacKeyWish {
    /// Number of the key block, as `BLOCK_KEYn` counts; the first free one when left open.
    ///
    /// Firmware names it: `CONFIG_NVS_SEC_HMAC_EFUSE_KEY_ID`, `HMAC_KEY0` and so on.
    pub block: Option<u8>,
}

/// The JTAG port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum JtagPolicy {
    /// A debugger attaches.
    #[default]
    Open,
    /// A debugger attaches once software has shown the JTAG key to the HMAC peripheral.
    Soft,
    /// No debugger attaches, ever.
    Shut,
}

/// The download mode of the ROM, over UART and USB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DownloadPolicy {
    /// It does everything.
    #[default]
    Open,
    /// It writes flash, and neither reads nor burns anything.
    Secure,
    /// There is none.
    Shut,
}

/// What to think of secret keys that are burnt already, and that nobody can compare.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BurntKeys {
    /// They may be anybody's: no plan.
    #[default]
    Refuse,
    /// They are the wished ones.
    Accept,
}
