//! Why there is no plan: the ways in which makers brick chips, and what contradicts itself.
//!
//! Source: ESP-IDF `docs/en/security/security-features-enablement-workflows.rst`, `secure-boot-v2.rst`,
//! `flash-encryption.rst`; ESP-IDF issues 11888, 10927, 16084, 13909 (read protection locked too early), 6886
//! (a digest of zeros), 12979 (slots revoked unasked), 3788 and 10340 (plaintext in release mode).

use espseal_format::chip::{ChipId, SecureBootScheme};
use espseal_format::efuse::KeyPurpose;
use espseal_format::signature_block::SignatureScheme;
use espseal_twin::boot::EncryptionMode;
use espseal_twin::efuse::espefuse_rules::EspefuseRefusal;
use espseal_twin::efuse::{EfuseError, Jtag};

use super::plan::KeyName;
use crate::blame::Blame;

/// Why there is no plan. Nothing was burnt.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// espseal has no table for the chip, or none for this revision.
    #[error(transparent)]
    Chip(EfuseError),
    /// The present state is that of another chip.
    #[error("the wish is for {wished}, the present state is of {found}: read the right chip")]
    OtherChip {
        /// The chip of the wish.
        wished: ChipId,
        /// The chip that was read.
        found: ChipId,
    },

    // What the silicon does not have.
    /// The ROM of this revision does not verify such signatures.
    #[error(
        "{chip} v{}.{} has no secure boot v2 with {scheme}: once it were on, nothing would boot; \
         it has {offered}", revision / 100, revision % 100
    )]
    NoSecureBoot {
        /// The chip.
        chip: ChipId,
        /// Its revision, `major * 100 + minor`.
        revision: u16,
        /// The scheme asked for.
        scheme: SignatureScheme,
        /// What the chip has.
        offered: Box<str>,
    },
    /// The chip has no secure boot v1.
    #[error("{chip} has no secure boot v1: choose v2; it has {offered}")]
    NoSecureBootV1 {
        /// The chip.
        chip: ChipId,
        /// What the chip has.
        offered: Box<str>,
    },
    /// The chip has no flash encryption key of this length.
    #[error("{chip} has no flash encryption with a key of {bits} bits; it takes {offered}")]
    NoFlashKey {
        /// The chip.
        chip: ChipId,
        /// Bits in the key asked for.
        bits: usize,
        /// What the chip has.
        offered: Box<str>,
    },
    /// `FLASH_CRYPT_CONFIG` is the ESP32's.
    #[error("{chip} has no FLASH_CRYPT_CONFIG: leave flash-crypt-config out")]
    NoCryptConfig {
        /// The chip.
        chip: ChipId,
    },
    /// The chip has no HMAC peripheral.
    #[error(
        "{chip} has no HMAC peripheral for {key}: keep the device's key in encrypted flash instead"
    )]
    NoHmac {
        /// The chip.
        chip: ChipId,
        /// The key asked for.
        key: KeyName,
    },
    /// The chip's JTAG cannot be shut softly.
    #[error("{chip} cannot open JTAG again by software: choose jtag open or shut")]
    NoSoftJtag {
        /// The chip.
        chip: ChipId,
    },
    /// The ROM has no secure download mode.
    #[error("{chip} has no secure download mode: choose uart-download open or shut")]
    NoSecureDownload {
        /// The chip.
        chip: ChipId,
    },
    /// The bit means something else on this silicon.
    #[error(
        "{chip} v{}.{} cannot shut its download mode, the bit came with v3.0: choose uart-download open",
        revision / 100, revision % 100
    )]
    DownloadStays {
        /// The chip.
        chip: ChipId,
        /// Its revision, `major * 100 + minor`.
        revision: u16,
    },
    /// The anti-rollback counter is too short.
    #[error("secure version {wished} does not fit the {bits} bits of the counter of {chip}")]
    SecureVersionTooHigh {
        /// The chip.
        chip: ChipId,
        /// Bits in the counter.
        bits: u8,
        /// What was asked for.
        wished: u32,
    },
    /// The flash key and the digest do not fit the chip's only key block.
    #[error(
        "a flash encryption key of 256 bits fills the only key block of {chip} and leaves no room for the \
         secure-boot digest: take one of 128 bits"
    )]
    OneKeyBlock {
        /// The chip.
        chip: ChipId,
    },
    /// A coded key block is too short for a digest.
    #[error(
        "the key blocks of this ESP32 are coded 3/4 and hold 24 bytes; the digest of secure boot v2 has 32, so \
         nothing would boot: take a chip with coding scheme none, or secure boot v1"
    )]
    CodedDigest,
    /// The key's length is for another coding scheme.
    #[error(
        "the key blocks of this ESP32 hold {expected} bytes, a flash key of {found} was asked for: \
         choose flash-key-bits {}", expected * 8
    )]
    CodedFlashKey {
        /// Bytes that a block holds.
        expected: usize,
        /// Bytes asked for.
        found: usize,
    },
    /// Coded blocks cannot count.
    #[error(
        "the anti-rollback counter of this ESP32 is coded 3/4 and can be burnt once only, so it cannot count: \
         leave the secure version at 0"
    )]
    CodedCounter,
    /// espefuse does not know the third coding scheme.
    #[error("the key blocks of this ESP32 are coded \"repeat\", which espefuse cannot burn")]
    RepeatCoding,

    // What would brick the chip or give it away.
    /// The digest is blank: no image has a key with it.
    #[error(
        "secure-boot digest {slot} is blank: burnt, it would be no key's, and nothing would ever boot; give the \
         digest that `espsecure digest-sbv2-public-key` or `espseal sign` prints"
    )]
    BlankDigest {
        /// The slot.
        slot: usize,
    },
    /// Two slots for one key.
    #[error(
        "secure-boot digests {first} and {second} are the same key's: losing it would lose both; give each once"
    )]
    SameDigest {
        /// The first slot.
        first: usize,
        /// The second.
        second: usize,
    },
    /// No digest, or more than the chip has slots.
    #[error("secure boot on {chip} takes 1 to {slots} key digests, {found} were given")]
    DigestCount {
        /// The chip.
        chip: ChipId,
        /// Slots of the chip.
        slots: u8,
        /// Digests given.
        found: usize,
    },
    /// Nobody said what becomes of free digest slots.
    #[error(
        "{free} digest slot(s) stay without a key, and nobody said what becomes of them: unused-digests = \"revoke\" \
         shuts them for ever, \"keep\" leaves them for keys to come"
    )]
    UnusedDigests {
        /// Slots without a key that can be revoked.
        free: usize,
    },
    /// Flash holds plaintext: it would be decrypted into noise.
    #[error(
        "flash holds a plaintext bootloader: once encryption is on ({mode:?} mode), the chip decrypts it into noise \
         and {}; encrypt the image first (`espseal encrypt`), or let the bootloader encrypt on its first boot",
        match mode {
            EncryptionMode::Release => "never boots again",
            EncryptionMode::Development => "does not boot",
        }
    )]
    PlaintextFlash {
        /// The mode asked for.
        mode: EncryptionMode,
    },
    /// Development is not over, and the tools for it would be gone.
    #[error(
        "flash encryption in development mode means that debugging is not over, but {lock} would be shut for ever: \
         leave it open, or choose release"
    )]
    LockedWhileDeveloping {
        /// What would be shut.
        lock: &'static str,
    },
    /// A softly shut JTAG port needs its key.
    #[error(
        "jtag = \"soft\" without a key never opens again, and an odd count can be made even by firmware: burn a JTAG \
         key as well (jtag-key = true), or choose shut"
    )]
    SoftJtagWithoutKey,
    /// `RD_DIS` is write-protected: what is burnt stays readable.
    #[error(
        "RD_DIS is write-protected on this chip, which happens when secure boot is turned on first: {key} could never \
         be hidden, and anybody could read it; take another chip and burn secret keys before secure boot"
    )]
    ReadProtectionLocked {
        /// The key that has to be hidden.
        key: KeyName,
    },
    /// The ROM cannot read the digest.
    #[error(
        "{block} is read-protected: the ROM would read digest {slot} as zeros, and nothing would boot with secure boot \
         on; this chip cannot have that key"
    )]
    DigestHidden {
        /// Slot of the digest.
        slot: usize,
        /// Name of its block.
        block: &'static str,
    },

    // What contradicts what is burnt.
    /// What is burnt cannot be undone.
    #[error("{what} is wished to be {wished}, but {field} is burnt already ({found}) and stays so")]
    Irreversible {
        /// What it is about.
        what: &'static str,
        /// What it should be.
        wished: &'static str,
        /// The field.
        field: &'static str,
        /// What it is.
        found: Box<str>,
    },
    /// The field has another value.
    #[error("{field} holds {found:#x} and cannot become {wished:#x}: bits are never unburnt")]
    OtherValue {
        /// The field.
        field: &'static str,
        /// What it holds.
        found: u64,
        /// What it should hold.
        wished: u64,
    },
    /// The slot has another key.
    #[error(
        "digest slot {slot} holds another key's digest ({block}): the ROM would go on trusting it; wish for that one, \
         or revoke the slot knowingly first"
    )]
    OtherDigest {
        /// The slot.
        slot: usize,
        /// Name of its block.
        block: &'static str,
    },
    /// The slot never holds a key.
    #[error(
        "digest slot {slot} is revoked: a key in it never counts; put the keys into other slots"
    )]
    RevokedSlot {
        /// The slot.
        slot: usize,
    },
    /// A secret key is there, and nobody can say whose.
    #[error(
        "{block} holds {key} already, and nobody can compare it with yours; if you burnt it yourself (an interrupted \
         run), plan with --accept-burnt-keys"
    )]
    BurntKey {
        /// The key.
        key: KeyName,
        /// Name of its block.
        block: &'static str,
    },
    /// Half of a key is there.
    #[error(
        "{block} holds half of {key}, the other half is missing: it never works; take another chip"
    )]
    HalfKey {
        /// The key.
        key: KeyName,
        /// Name of the block that is burnt.
        block: &'static str,
    },
    /// The key that is there is of another kind.
    #[error("{block} holds a key for {found}, {wished} was asked for: wish for what is burnt")]
    OtherKey {
        /// Name of the block.
        block: &'static str,
        /// What it is for.
        found: KeyPurpose,
        /// What it should be for.
        wished: KeyPurpose,
    },
    /// The block is in use.
    #[error("{block} is in use and cannot hold {key}: name another block, or none")]
    BlockTaken {
        /// The key.
        key: KeyName,
        /// Name of the block.
        block: &'static str,
    },
    /// The hardware does not take the key from this block.
    #[error(
        "{block} cannot hold a key for {purpose}, the hardware gets it wrong (flash would be decrypted into noise): \
         name another block"
    )]
    BlockRefuses {
        /// Name of the block.
        block: &'static str,
        /// What it would be for.
        purpose: KeyPurpose,
    },
    /// The chip has no such block.
    #[error("there is no BLOCK_KEY{number} on this chip: name one that it has, or none")]
    NoSuchBlock {
        /// The number asked for.
        number: u8,
    },
    /// No key block is left.
    #[error(
        "no key block is left for {key}: {refusing} free block(s) cannot hold it, the others are in use"
    )]
    NoBlock {
        /// The key.
        key: KeyName,
        /// Free blocks that the hardware excludes.
        refusing: usize,
    },
    /// The counter has no bit left for development.
    #[error(
        "{field} has one bit left: turning encryption on again makes it release mode; wish for release"
    )]
    CounterUsedUp {
        /// The counter.
        field: &'static str,
    },
    /// A write protection is in the way.
    #[error(
        "{field} is write-protected and can never be burnt: this chip cannot become what is wished"
    )]
    WriteProtected {
        /// Name of the field or block.
        field: &'static str,
    },
    /// Nothing can be burnt over the cable any more.
    #[error(
        "the download mode of this chip is {mode}: no tool can burn anything, and {steps} step(s) are missing; only \
         firmware that is built for it could"
    )]
    DownloadClosed {
        /// How far it is closed.
        mode: &'static str,
        /// Steps that are missing.
        steps: usize,
    },
    /// A step would not come out as planned.
    #[error("{step} would fail: {cause}")]
    Step {
        /// The step.
        step: Box<str>,
        /// Why.
        cause: EspefuseRefusal,
    },
}

impl Refusal {
    /// Who has to act.
    #[must_use]
    pub const fn blame(&self) -> Blame {
        Blame::Refused
    }
}

/// A scheme by the name that the configuration has for it.
pub(super) const fn scheme_name(scheme: SecureBootScheme) -> &'static str {
    match scheme {
        SecureBootScheme::V1 => "v1",
        SecureBootScheme::V2Rsa => "v2 with RSA-3072",
        SecureBootScheme::V2Ecdsa => "v2 with ECDSA",
    }
}

/// A state of JTAG in words.
pub(super) const fn jtag_name(jtag: Jtag) -> &'static str {
    match jtag {
        Jtag::Open => "open",
        Jtag::SoftOff => "softly shut",
        Jtag::Off => "shut",
    }
}

#[cfg(test)]
mod tests;
